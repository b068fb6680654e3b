"""Random draws: which component of a mixture, and z from it. Stateless: the same seed gives the same draw."""

import math
import random

import numpy as np
import tensorflow as tf

from tf_mopoe.checks import is_integer


def as_seed(seed=None):
    """An int (or None: a new one, in a graph at each of its calls) as the seed of a stateless op: int32 [2]."""
    if seed is None and not tf.executing_eagerly():
        return tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
    if seed is None:
        seed = random.randrange(2**31)
    if not is_integer(seed):
        raise ValueError(f"`seed` must be an integer or None. Received: seed={seed!r}")
    seed = int(seed)
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
    rows = tf.shape(weights)[0]
    if weights.shape[-1] == 1:
        return tf.zeros([rows], tf.int32)
    shuffle_seed, shift_seed = tf.unstack(tf.random.split(seed, 2))
    stratum = shuffled(rows, shuffle_seed)
    return inverse_cdf(weights, (tf.cast(stratum, weights.dtype) + shift(shift_seed, [], weights)) / rows_of(weights))


def stratified_samples(weights, num_samples, seed):
    """Draws `num_samples` components for each row, evenly over its own samples: int32 [K, B]."""
    rows = tf.shape(weights)[0]
    stratum = tf.range(num_samples, dtype=weights.dtype)[:, None]
    return inverse_cdf(weights, (stratum + shift(seed, [rows], weights)) / tf.cast(num_samples, weights.dtype))


def shuffled(count, seed):
    """0..count - 1 in random order, int32. (TensorFlow's own shuffle cannot be compiled by XLA.)"""
    return tf.argsort(tf.random.stateless_uniform([count], seed))


def inverse_cdf(weights, u):
    """The component in whose share of [0, 1) u falls: weights [B, S], u [..., B] -> int32 [..., B]."""
    total = tf.cumsum(weights, axis=-1)
    # Less than the last total, so that u stays before the last component with a weight: a product is so, a quotient not.
    u = tf.minimum(u, 1.0 - 2.0**-24) * total[:, -1]
    return tf.reduce_sum(tf.cast(total <= u[..., None], tf.int32), axis=-1)


def shift(seed, shape, like):
    return tf.random.stateless_uniform(shape, seed, dtype=like.dtype)


def rows_of(weights):
    return tf.cast(tf.maximum(tf.shape(weights)[0], 1), weights.dtype)


def subsets(available, num_subsets, seed=None):
    """Draws subsets of what each row has, together uniform over all its non-empty ones.

    Their sizes are stratified over a row's draws, small ones first: draw one of them by a uniform index. A subset of k of
    the n modalities is k neighbours in one random order of them all, from a random place on, around the end: any k of them
    are equally likely, and no sort is of size S.

    Args:
        available: bool [B, M].
        num_subsets: S.
        seed: int32 [2]. Default: a fixed one, with the same numbers for every row, so that a row's draws do not depend on
            the batch it comes in.

    Returns:
        membership: float [B, S, M]; no members in a row that has nothing.
    """
    modalities = available.shape[1]
    rows = 1 if seed is None else tf.shape(available)[0]
    # Not of `split(seed, n)` itself, whose first seeds are the same for every n: z is drawn from these.
    own = tf.random.fold_in(tf.constant([0, 0]) if seed is None else seed, 0)
    seeds = tf.unstack(tf.random.split(own, 3))
    count = tf.reduce_sum(tf.cast(available, tf.int32), axis=1)  # n, [B]
    shifts = tf.random.stateless_uniform([rows, 1], seeds[0])
    u = (tf.range(num_subsets, dtype=tf.float32) + shifts) / num_subsets  # [B, S]
    u = tf.minimum(u, 1.0 - 2.0**-24)
    cdf = tf.gather(tf.constant(size_cdf(modalities), tf.float32), count)  # [B, M]
    size = 1 + tf.reduce_sum(tf.cast(cdf[:, None] <= u[..., None], tf.int32), axis=-1)  # [B, S]
    keys = tf.where(available, tf.random.stateless_uniform([rows, modalities], seeds[1]), 2.0)
    place = tf.argsort(tf.argsort(keys, axis=-1), axis=-1)  # of each modality in the row's order, [B, M]
    some = tf.maximum(count, 1)[:, None]  # [B, 1]
    begin = tf.random.stateless_uniform([rows, num_subsets], seeds[2]) * tf.cast(some, tf.float32)
    begin = tf.minimum(tf.cast(begin, tf.int32), some - 1)  # [B, S]
    distance = tf.math.floormod(place[:, None] - begin[..., None], some[..., None])  # [B, S, M]
    return tf.cast((distance < size[..., None]) & available[:, None], tf.float32)


def size_cdf(modalities):
    """P(size <= k) of a uniform non-empty subset of n modalities: NumPy [M + 1, M], row n, column k - 1."""
    counts = [[math.comb(n, k) for k in range(1, modalities + 1)] for n in range(modalities + 1)]
    return np.array([[sum(row[: k + 1]) / max(sum(row), 1) for k in range(modalities)] for row in counts])
