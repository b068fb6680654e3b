"""Gradients of equal size: no modality's reconstruction outweighs another's at the latent variables.

A plain form of what Javaloy, Meghdadi & Valera propose, "Mitigating modality collapse in multimodal VAEs via impartial
optimization", ICML 2022: all that the encoders learn of reconstruction passes through z, so there it is balanced.
"""

from collections.abc import Sequence

import tensorflow as tf


def branches(z: tf.Tensor, available: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
    """Return z once for each of several modalities; backward, each one's gradient is scaled to the size of the largest.

    The size is the root mean square over the rows that have the modality, so one that few rows have does not count for less.

    Args:
        z: [..., B, D].
        available: bool [B] of each modality, M of them.
    """
    rows = [tf.maximum(tf.reduce_sum(tf.cast(has, z.dtype)), 1.0) for has in available]

    @tf.custom_gradient
    def split(z):
        def gradient(*upstream):
            sizes = [tf.sqrt(tf.reduce_sum(tf.square(u)) / count) for u, count in zip(upstream, rows)]
            largest = tf.reduce_max(tf.stack(sizes))
            return tf.add_n([u * tf.math.divide_no_nan(largest, size) for u, size in zip(upstream, sizes)])

        return [tf.identity(z) for _ in rows], gradient

    return split(z)
