"""The signatures of an export: functions of flat, named tensors with a leading batch axis, each row for itself."""

import tensorflow as tf

from tf_mopoe import inputs as reading
from tf_mopoe.densities import Normal, loc_and_scale
from tf_mopoe.export import row_draws
from tf_mopoe.names import plain_names
from tf_mopoe.posterior import Encoded


def signatures(model, num_samples):
    """What each signature computes, and of what: see `saved_model`.

    `fuse` is left out where the joint posterior reads the inputs themselves; `encode`, and what of it `fuse` gives, where
    the experts have no product.

    Args:
        model: `MultimodalVAE`.
        num_samples: K of `log_likelihood`.

    Returns:
        {name: (function of flat tensors -> {name: tensor}, list of its inputs' `tf.TensorSpec`)}; the first is the default.
    """
    plain = plain_names(model.modalities)
    latent = [None, model.latent_dim]
    values = [tf.TensorSpec([None, *shape], tf.float32, name=plain[n]) for n, shape in model.event_shapes.items()]
    flags = [tf.TensorSpec([None], tf.bool, name=reading.FLAG + plain[name]) for name in model.modalities]
    parts = [
        tf.TensorSpec(latent, tf.float32, name=f"{part}_{plain[name]}")
        for part in ("loc", "scale")
        for name in model.modalities
    ]
    flag_names = [reading.FLAG + name for name in model.modalities]
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
        return {plain[name]: tf.ensure_shape(x, (None, *model.event_shapes[name])) for name, x in made.items()}

    def translations(encoded, seed):
        z = row_draws.sample(model.mixture.largest(*encoded[:3]), seed)
        return decode(z, row_draws.private(model, encoded, seed))

    def encoded_rows(tensors):
        return model.encode(dict(zip([*model.modalities, *flag_names], tensors)))

    def encode(*tensors):
        return posterior(encoded_rows(tensors))

    def joint_posterior(*tensors):  # subsets that are drawn are the same for every row
        return model.mixture.components(*encoded_rows(tensors)[:3]).parameters()

    def translate(*tensors):
        return translations(encoded_rows(tensors[:-1]), tensors[-1])

    def generate(seed):
        nothing = Encoded({}, {}, {}, {})
        z = row_draws.noise(seed, model.latent_dim, density)
        return decode(z, row_draws.private(model, nothing, seed))

    def fuse(*tensors):
        count, q, available = len(model.modalities), {}, {}
        for name, loc, scale, flag in zip(model.modalities, *(tensors[i * count : (i + 1) * count] for i in range(3))):
            available[name] = flag & valid(loc, scale)
            q[name] = expert(loc, scale, available[name], density)
        encoded = Encoded(q, available, {}, {})
        made = translations(encoded, tensors[-1])
        return posterior(encoded) | made if has_product else made

    def log_likelihood(*tensors):
        encoded = encoded_rows(tensors[:-1])
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


def valid(loc, scale):
    """The rows in which an expert is one, [B]: loc finite, scale positive, and the numbers of its product finite.

    A batch on a server has rows of several clients: a row that is wrong must not fail those of the others.
    """
    precision = tf.square(tf.math.reciprocal(scale))
    finite = tf.math.is_finite(scale) & tf.math.is_finite(precision) & tf.math.is_finite(precision * loc)
    return tf.reduce_all(finite & (scale > 0.0), axis=-1)


def expert(loc, scale, available, density):
    """The expert of a modality, the prior in the rows that lack it, whatever they hold: [B] x [D]."""
    loc = tf.where(available[:, None], loc, 0.0)
    return density.distribution(loc, tf.where(available[:, None], scale, 1.0))
