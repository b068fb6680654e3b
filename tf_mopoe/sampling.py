"""Random draws: which component of a mixture, and z from it. Stateless: the same seed gives the same draw."""

import random

import tensorflow as tf


def as_seed(seed=None):
    """An int (or None: a new one) as the seed of a stateless op: int32 [2]."""
    if seed is None:
        seed = random.randrange(2**31)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ValueError(f"`seed` must be an integer or None. Received: seed={seed!r}")
    return tf.constant([seed % 2**31, seed // 2**31 % 2**31], tf.int32)


def stratified(weights, seed):
    """Draws a component for each row, evenly over the batch and unbiased for each row.

    One number u per row: the centre of no fixed stratum, but of a stratum drawn without replacement, moved by one
    uniform shift. So u is uniform on [0, 1) for every row, whatever B and S, while over the batch every component is
    drawn as often as its weight says, to within one.

    Args:
        weights: [B, S], rows summing to 1. A component of weight 0 is never drawn.
        seed: int32 [2].

    Returns:
        int32 [B].
    """
    shuffle_seed, shift_seed = tf.unstack(tf.random.split(seed, 2))
    rows = tf.shape(weights)[0]
    stratum = tf.random.experimental.stateless_shuffle(tf.range(rows), shuffle_seed)
    return inverse_cdf(weights, (tf.cast(stratum, weights.dtype) + shift(shift_seed, [], weights)) / rows_of(weights))


def stratified_samples(weights, num_samples, seed):
    """Draws `num_samples` components for each row, evenly over its own samples: int32 [K, B]."""
    rows = tf.shape(weights)[0]
    stratum = tf.range(num_samples, dtype=weights.dtype)[:, None]
    return inverse_cdf(weights, (stratum + shift(seed, [rows], weights)) / tf.cast(num_samples, weights.dtype))


def inverse_cdf(weights, u):
    """The component in whose share of [0, 1) u falls: weights [B, S], u [..., B] -> int32 [..., B]."""
    total = tf.cumsum(weights, axis=-1)
    total /= total[:, -1:]  # exactly 1 from the last component with a weight on, so that u < 1 stays before it
    u = tf.minimum(u, 1.0 - 2.0**-24)
    return tf.reduce_sum(tf.cast(total <= u[..., None], tf.int32), axis=-1)


def shift(seed, shape, like):
    return tf.random.stateless_uniform(shape, seed, dtype=like.dtype)


def rows_of(weights):
    return tf.cast(tf.maximum(tf.shape(weights)[0], 1), weights.dtype)


def sample_component(loc, scale, index, seed):
    """z from the component `index` of each row, reparameterised: [B, S, D] and int32 [..., B] -> z [..., B, D]."""
    rows = tf.broadcast_to(tf.range(tf.shape(loc)[0]), tf.shape(index))
    where = tf.stack([rows, index], axis=-1)  # [..., B, 2]
    loc, scale = tf.gather_nd(loc, where), tf.gather_nd(scale, where)
    return loc + scale * tf.random.stateless_normal(tf.shape(loc), seed, dtype=loc.dtype)
