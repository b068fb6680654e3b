"""The signatures of an export: functions of flat, named tensors with a leading batch axis, each row for itself."""

import re

import tensorflow as tf

from tf_mopoe import inputs as reading
from tf_mopoe.densities import Normal, loc_and_scale
from tf_mopoe.export import row_draws
from tf_mopoe.posterior import Encoded

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
    density = model.mixture.density
    has_product = density is Normal or len(model.modalities) == 1

    def posterior(encoded):
        product = model.mixture.whole(*encoded[:3])
        return {"loc": product.loc[:, 0], "scale": product.scale[:, 0]}

    def decode(z, private):
        # A likelihood's mean may have lost a static size, such as one channel.
        made = model.decode(z, private=private)
        return {name: tf.ensure_shape(x, (None, *model.event_shapes[name])) for name, x in made.items()}

    def translations(encoded, seed):
        z = row_draws.sample(model.mixture.largest(*encoded[:3]), seed)
        return decode(z, row_draws.private(model, encoded, seed))

    def encode(*tensors):
        return posterior(model.encode(named(rows, tensors)))

    def joint_posterior(*tensors):  # subsets that are drawn are the same for every row
        return model.mixture.components(*model.encode(named(rows, tensors))[:3]).parameters()

    def translate(*tensors):
        return translations(model.encode(named(rows, tensors[:-1])), tensors[-1])

    def generate(seed):
        nothing = Encoded({}, {}, {}, {})
        z = row_draws.noise(seed, model.latent_dim, density)
        return decode(z, row_draws.private(model, nothing, seed))

    def fuse(*tensors):
        given = named(experts, tensors[:-1])
        available = {name: given[reading.FLAG + name] for name in model.modalities}
        q = {
            name: expert(given[f"loc_{name}"], given[f"scale_{name}"], available[name], density)
            for name in model.modalities
        }
        encoded = Encoded(q, available, {}, {})
        made = translations(encoded, tensors[-1])
        return posterior(encoded) | made if has_product else made

    def log_likelihood(*tensors):
        encoded = model.encode(named(rows, tensors[:-1]))
        kept = encoded._replace(experts=parameters(encoded.experts), private=parameters(encoded.private))

        def of_one(row):
            one, seed = tf.nest.map_structure(lambda t: t[None], row)
            experts, private = distributions(one.experts, density), distributions(one.private, Normal)
            components = model.mixture.components(experts, one.available, one.x, seed[0])
            return model.importance_weighted(components, one._replace(private=private), num_samples, seed[0])[0]

        # Row by row: never more than K rows are decoded at once, however many come.
        spec = tf.TensorSpec([], tf.float32)
        nats = tf.map_fn(of_one, (kept, tensors[-1]), fn_output_signature=spec, parallel_iterations=1)
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


def parameters(experts):
    """{name: distribution} -> {name: (loc, scale)}, which `tf.map_fn` can take apart."""
    return {name: loc_and_scale(q) for name, q in experts.items()}


def distributions(pairs, density):
    return {name: density.distribution(*pair) for name, pair in pairs.items()}


def check_names(modalities):
    for name in modalities:
        if name in TAKEN or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise ValueError(
                f"A modality's name must be letters, digits and underscores, a letter first, and none of "
                f"{list(TAKEN)}, to be the name of an exported input. Received: {name!r}"
            )


def named(specs, tensors):
    return {spec.name: tensor for spec, tensor in zip(specs, tensors)}


def expert(loc, scale, available, density):
    """The expert of a modality, the prior in the rows that lack it, whatever they hold: [B] x [D]."""
    loc = tf.where(available[:, None], loc, 0.0)
    return density.distribution(loc, tf.where(available[:, None], scale, 1.0))
