"""The signatures of an export: the model's methods on flat, named tensors, each row computed independently."""

import tensorflow as tf

from tf_mopoe.batch import Batch
from tf_mopoe.inputs import FLAG
from tf_mopoe.names import plain_names
from tf_mopoe.posteriors.posterior import Posterior, one_component
from tf_mopoe.streams import RowStream

SCALES = ("scale_", "private_scale_")  # how the names of inputs that are positive begin


def signatures(model, num_samples):
    """Return each signature's function and input specifications: see `saved_model`.

    `fuse` is left out where the joint posterior reads the inputs themselves; `encode`, and what of it `fuse` gives, where
    the experts have no product.

    Args:
        model: `MultimodalVAE`.
        num_samples: K of `log_likelihood`.

    Returns:
        {name: (function of flat tensors -> {name: tensor}, list of its inputs' `tf.TensorSpec`)}; the first is the default.
    """
    plain = plain_names(model.modalities)
    values = [tf.TensorSpec([None, *spec.shape], spec.dtype, name=plain[n]) for n, spec in model.specs.items()]
    flags = [tf.TensorSpec([None], tf.bool, name=FLAG + plain[name]) for name in model.modalities]
    parts = [tf.TensorSpec([None, size], tf.float32, name=part) for part, size in expert_parts(model).items()]
    keys = [*model.modalities, *(FLAG + name for name in model.modalities)]
    seed = tf.TensorSpec([None, 2], tf.int32, name="seed")
    rows, experts = values + flags, parts + flags
    has_product = model.mixture.has_product(model.modalities)

    def posterior(q):
        product = q.subset()
        return {"loc": product.loc[:, 0], "scale": product.scale[:, 0]}

    def shaped(made):
        # A likelihood's mean may have lost a static size, such as one channel.
        return {plain[name]: tf.ensure_shape(x, (None, *model.event_shapes[name])) for name, x in made.items()}

    def encode(*tensors):
        return posterior(model.encode(dict(zip(keys, tensors))))

    def joint_posterior(*tensors):  # subsets that are drawn are the same for every row
        return model.encode(dict(zip(keys, tensors))).joint.parameters()

    def translate(*tensors):
        return shaped(model.translate(dict(zip(keys, tensors)), seed=RowStream(tensors[-1])))

    def generate(seed):
        return shaped(model.generate_rows(tf.shape(seed)[0], RowStream(seed)))

    def fuse(*tensors):
        q = of_experts(model, dict(zip([spec.name for spec in experts], tensors)))
        z, private = model.sample_latents(q, RowStream(tensors[-1]))
        made = shaped(model.decode(z, private=private))
        return posterior(q) | made if has_product else made

    def log_likelihood(*tensors):
        nats = model.log_likelihood(dict(zip(keys, tensors)), num_samples, RowStream(tensors[-1]))
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


def expert_parts(model):
    """Return {name of an input of `fuse`: its size}: loc and scale of each expert and of each q(w | x)."""
    plain = plain_names(model.modalities)
    parts = {f"{part}_{plain[n]}": model.latent_dim for part in ("loc", "scale") for n in model.modalities}
    private = {
        f"private_{part}_{plain[n]}": size for part in ("loc", "scale") for n, size in model.private_dims.items()
    }
    return parts | private


def of_experts(model, parts):
    """Return the `Posterior` of parts [B, D], [B, P] and flags [B], by name; the prior in rows whose parts are not valid."""
    plain, available, experts, private = plain_names(model.modalities), {}, {}, {}
    for name in model.modalities:
        expert = [parts[f"{part}_{plain[name]}"] for part in ("loc", "scale")]
        available[name] = parts[FLAG + plain[name]] & valid(*expert)
        if name in model.private_dims:
            own = [parts[f"private_{part}_{plain[name]}"] for part in ("loc", "scale")]
            available[name] &= valid(*own)
            private[name] = where_valid(available[name], *own, model.family, name)
        experts[name] = where_valid(available[name], *expert, model.family, name)
    return Posterior(model.mixture, Batch({}, available, frozenset()), experts, private)


def where_valid(there, loc, scale, family, name):
    there = there[:, None]
    return one_component(tf.where(there, loc, 0.0), tf.where(there, scale, 1.0), family, name)


def valid(loc, scale):
    """Return the rows with a valid density, [B]: loc finite, scale positive, and the numbers of its product finite.

    A batch on a server has rows of several clients: a row that is wrong must not fail those of the others.
    """
    precision = tf.square(tf.math.reciprocal(scale))
    finite = tf.math.is_finite(scale) & tf.math.is_finite(precision) & tf.math.is_finite(precision * loc)
    return tf.reduce_all(finite & (scale > 0.0), axis=-1)
