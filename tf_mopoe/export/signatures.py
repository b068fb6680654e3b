"""The signatures of an export: the model's methods on flat, named tensors, each row computed independently."""

import re

import tensorflow as tf

from tf_mopoe import inputs as reading
from tf_mopoe.batch import Batch
from tf_mopoe.posteriors.posterior import Posterior, one_component
from tf_mopoe.streams import RowStream

TAKEN = ("seed", "loc", "scale")  # names of other inputs and outputs


def signatures(model, num_samples):
    """What each signature computes, and of what: see `saved_model`.

    `fuse` is left out where the joint posterior reads the inputs themselves; `encode`, and what of it `fuse` gives, where
    the experts have no product.

    Args:
        model: `MultimodalVAE`.
        num_samples: K of `log_likelihood`.

    Returns:
        {name: (function of flat tensors -> {name: tensor}, list of its inputs' `tf.TensorSpec`)}; the first is the default.

    Raises:
        ValueError: for a modality that cannot be the name of an input.
    """
    check_names(model.modalities)
    latent = [None, model.latent_dim]
    values = [tf.TensorSpec([None, *shape], tf.float32, name=name) for name, shape in model.event_shapes.items()]
    flags = [tf.TensorSpec([None], tf.bool, name=reading.FLAG + name) for name in model.modalities]
    parts = [
        tf.TensorSpec(latent, tf.float32, name=f"{part}_{name}") for part in TAKEN[1:] for name in model.modalities
    ]
    seed = tf.TensorSpec([None, 2], tf.int32, name="seed")
    rows, experts = values + flags, parts + flags
    has_product = model.mixture.has_product(model.modalities)

    def posterior(q):
        product = q.subset()
        return {"loc": product.loc[:, 0], "scale": product.scale[:, 0]}

    def shaped(made):
        # A likelihood's mean may have lost a static size, such as one channel.
        return {name: tf.ensure_shape(x, (None, *model.event_shapes[name])) for name, x in made.items()}

    def encode(*tensors):
        return posterior(model.encode(named(rows, tensors)))

    def joint_posterior(*tensors):  # subsets that are drawn are the same for every row
        return model.encode(named(rows, tensors)).joint.parameters()

    def translate(*tensors):
        return shaped(model.translate(named(rows, tensors[:-1]), seed=RowStream(tensors[-1])))

    def generate(seed):
        return shaped(model.generate_rows(tf.shape(seed)[0], RowStream(seed)))

    def fuse(*tensors):
        given = named(experts, tensors[:-1])
        q = of_experts(model, given)
        z, private = model.sample_latents(q, RowStream(tensors[-1]))
        made = shaped(model.decode(z, private=private))
        return posterior(q) | made if has_product else made

    def log_likelihood(*tensors):
        nats = model.log_likelihood(named(rows, tensors[:-1]), num_samples, RowStream(tensors[-1]))
        return {"log_likelihood": nats}

    result = {
        "translate": (translate, [*rows, seed]),
        "encode": (encode, rows),
        "joint_posterior": (joint_posterior, rows),
        "generate": (generate, [seed]),
        "fuse": (fuse, [*experts, seed]),
        "log_likelihood": (log_likelihood, [*rows, seed]),
    }
    absent = {"fuse"} if model.mixture.reads_inputs else set()
    absent |= set() if has_product else {"encode"}
    return {name: signature for name, signature in result.items() if name not in absent}


def check_names(modalities):
    for name in modalities:
        if name in TAKEN or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise ValueError(
                f"A modality's name must be letters, digits and underscores, a letter first, and none of "
                f"{list(TAKEN)}, to be the name of an exported input. Received: {name!r}"
            )


def named(specs, tensors):
    return {spec.name: tensor for spec, tensor in zip(specs, tensors)}


def of_experts(model, given):
    """The `Posterior` of loc_<name> and scale_<name> [B, D] and flags; the prior in rows that lack a modality."""
    available = {name: given[reading.FLAG + name] for name in model.modalities}
    experts = {}
    for name in model.modalities:
        has = available[name][:, None]
        loc, scale = tf.where(has, given[f"loc_{name}"], 0.0), tf.where(has, given[f"scale_{name}"], 1.0)
        experts[name] = one_component(loc, scale, model.family, name)
    return Posterior(model.mixture, Batch({}, available, frozenset()), experts, {})
