"""The signatures of an export: functions of flat, named tensors with a leading batch axis, each row for itself."""

import re

import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe import inputs as reading
from tf_mopoe.export import row_draws

tfd = tfp.distributions

TAKEN = ("seed", "loc", "scale")  # names of other inputs and outputs


def signatures(model, num_samples):
    """What each signature computes, and of what: see `saved_model`.

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

    def posterior(q, available):
        product = model.mixture.product(q, available)
        return {"loc": product.loc, "scale": product.stddev()}

    def decode(z):
        # A likelihood's mean may have lost a static size, such as one channel.
        return {name: tf.ensure_shape(x, (None, *model.event_shapes[name])) for name, x in model.decode(z).items()}

    def translations(q, available, seed):
        return decode(row_draws.sample(model.mixture.largest(q, available), seed))

    def encode(*tensors):
        q, available, _ = model.encode(named(rows, tensors))
        return posterior(q, available)

    def joint_posterior(*tensors):
        q, available, _ = model.encode(named(rows, tensors))
        return model.mixture.components(q, available)._asdict()

    def translate(*tensors):
        q, available, _ = model.encode(named(rows, tensors[:-1]))
        return translations(q, available, tensors[-1])

    def generate(seed):
        return decode(row_draws.noise(seed, model.latent_dim))

    def fuse(*tensors):
        given = named(experts, tensors[:-1])
        available = {name: given[reading.FLAG + name] for name in model.modalities}
        q = {name: expert(given[f"loc_{name}"], given[f"scale_{name}"], available[name]) for name in model.modalities}
        return posterior(q, available) | translations(q, available, tensors[-1])

    def log_likelihood(*tensors):
        q, available, x = model.encode(named(rows, tensors[:-1]))

        def of_one(row):
            *row, seed = row
            return model.importance_weighted(*tf.nest.map_structure(lambda t: t[None], row), num_samples, seed)[0]

        # Row by row: never more than K rows are decoded at once, however many come.
        every = model.mixture.components(q, available), x, available, tensors[-1]
        spec = tf.TensorSpec([], tf.float32)
        return {"log_likelihood": tf.map_fn(of_one, every, fn_output_signature=spec, parallel_iterations=1)}

    return {
        "translate": (translate, [*rows, seed]),
        "encode": (encode, rows),
        "joint_posterior": (joint_posterior, rows),
        "generate": (generate, [seed]),
        "fuse": (fuse, [*experts, seed]),
        "log_likelihood": (log_likelihood, [*rows, seed]),
    }


def check_names(modalities):
    for name in modalities:
        if name in TAKEN or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise ValueError(
                f"A modality's name must be letters, digits and underscores, a letter first, and none of "
                f"{list(TAKEN)}, to be the name of an exported input. Received: {name!r}"
            )


def named(specs, tensors):
    return {spec.name: tensor for spec, tensor in zip(specs, tensors)}


def expert(loc, scale, available):
    """The expert of a modality, N(0, I) in the rows that lack it, whatever they hold: [B] x [D]."""
    loc = tf.where(available[:, None], loc, 0.0)
    return tfd.MultivariateNormalDiag(loc, tf.where(available[:, None], scale, 1.0))
