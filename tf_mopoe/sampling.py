"""Draws of components of a mixture, and of subsets of what a row has."""

import math

import numpy as np
import tensorflow as tf

from tf_mopoe.streams import as_stream


def stratified(weights, stream):
    """Draw a component for each row, evenly over the batch and unbiased for each row.

    The number u of each row is uniform on [0, 1), whatever B and S, while over the batch every component is drawn as
    often as its weight says, to within one (with a `Stream`; with a `RowStream` rows are independent).

    Args:
        weights: [B, S], rows summing to 1. A component of weight 0 is never drawn.
        stream: of `tf_mopoe.streams`.

    Returns:
        int32 [B].
    """
    rows = tf.shape(weights)[0]
    if weights.shape[-1] == 1:
        return tf.zeros([rows], tf.int32)
    return inverse_cdf(weights, stream.strata(rows))


def stratified_samples(weights, num_samples, stream):
    """Draw `num_samples` components for each row, evenly over its own samples: int32 [K, B]."""
    rows = tf.shape(weights)[0]
    stratum = tf.range(num_samples, dtype=weights.dtype)[:, None]
    return inverse_cdf(weights, (stratum + stream.child("shift").uniform([rows])) / tf.cast(num_samples, weights.dtype))


def inverse_cdf(weights, u):
    """Return the component in whose share of [0, 1) u falls: weights [B, S] or [S], u [..., B] -> int32 [..., B]."""
    total = tf.cumsum(weights, axis=-1)
    # Less than the last total, so that u stays before the last component with a weight: a product is so, a quotient not.
    u = tf.minimum(u, 1.0 - 2.0**-24) * total[..., -1]
    return tf.reduce_sum(tf.cast(total <= u[..., None], tf.int32), axis=-1)


def subsets(available, num_subsets, stream=None):
    """Draw subsets of what each row has, together uniform over all its non-empty ones.

    Their sizes are stratified over the draws of a row, small ones first: draw one of them by a uniform index. A subset of
    k of the n modalities is k neighbours in one random order of them all, from a random place on, around the end: any k of
    them are equally likely, and no sort is of size S.

    Args:
        available: bool [B, M].
        num_subsets: S.
        stream: of `tf_mopoe.streams`. Default: a fixed one, with the same numbers for every row, so that the draws of a
            row do not depend on the batch it comes in.

    Returns:
        membership: float [B, S, M]; no members in a row that has nothing.
    """
    modalities = available.shape[1]
    rows, stream = (tf.shape(available)[0], stream) if stream else (1, as_stream(0))

    def uniform(name, size):
        return stream.child(name).uniform([rows, size], row_axis=0)

    count = tf.reduce_sum(tf.cast(available, tf.int32), axis=1)  # n, [B]
    u = (tf.range(num_subsets, dtype=tf.float32) + uniform("size", 1)) / num_subsets  # [B, S]
    u = tf.minimum(u, 1.0 - 2.0**-24)
    cdf = tf.gather(tf.constant(size_cdf(modalities), tf.float32), count)  # [B, M]
    size = 1 + tf.reduce_sum(tf.cast(cdf[:, None] <= u[..., None], tf.int32), axis=-1)  # [B, S]
    keys = tf.where(available, uniform("order", modalities), 2.0)
    place = tf.argsort(tf.argsort(keys, axis=-1), axis=-1)  # of each modality in the order of the row, [B, M]
    some = tf.maximum(count, 1)[:, None]  # [B, 1]
    begin = tf.minimum(tf.cast(uniform("begin", num_subsets) * tf.cast(some, tf.float32), tf.int32), some - 1)  # [B, S]
    distance = tf.math.floormod(place[:, None] - begin[..., None], some[..., None])  # [B, S, M]
    return tf.cast((distance < size[..., None]) & available[:, None], tf.float32)


def size_cdf(modalities):
    """Compute P(size <= k) of a uniform non-empty subset of n modalities: NumPy [M + 1, M], row n, column k - 1."""
    counts = [[math.comb(n, k) for k in range(1, modalities + 1)] for n in range(modalities + 1)]
    return np.array([[sum(row[: k + 1]) / max(sum(row), 1) for k in range(modalities)] for row in counts])
