"""Pooling by the squared Hellinger distance, with moments matched (HELVAE)."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mopoe.pooling.pooling import Pooling


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Hellinger(Pooling):
    """The Gaussian with the first two moments of ( sum{ sqrt(q[i]) : i } )^2, normalised ("HELVAE", AISTATS 2026).

        ( sum sqrt(q[i]) )^2 = sum{ S[i, j] * N(mu[i, j], v[i, j]) : all pairs i, j },   with precisions T = 1 / scale^2
        v[i, j]  = 2 / (T[i] + T[j]);   mu[i, j] = (T[i] loc[i] + T[j] loc[j]) / (T[i] + T[j])
        S[i, j]  = the Bhattacharyya coefficient of q[i] and q[j], 1 for i = j

    A lone expert is itself; the prior is no expert. With `subsets="full"` it is HELVAE's posterior, with the powerset
    MoHELVAE's.
    """

    def pool(
        self, loc: tf.Tensor, scale: tf.Tensor, members: tf.Tensor, names: Sequence[str]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # Moments around a centre of the experts: little is lost in the variance where they are near each other.
        center = tf.reduce_mean(loc, axis=1, keepdims=True)  # [B, 1, D]
        loc = loc - center
        precision = 1.0 / tf.square(scale)
        total = precision[:, :, None] + precision[:, None]  # [B, M, M, D]
        mean = (precision * loc)[:, :, None] / total + (precision * loc)[:, None] / total
        variance = 2.0 / total
        spread = tf.square(scale)[:, :, None] + tf.square(scale)[:, None]
        log_scale = tf.math.log(scale)
        log_overlap = math.log(2.0) + log_scale[:, :, None] + log_scale[:, None] - tf.math.log(spread)
        log_overlap -= 0.5 * tf.square(loc[:, :, None] - loc[:, None]) / spread
        overlap = tf.exp(0.5 * tf.reduce_sum(log_overlap, axis=-1))  # S, [B, M, M]
        members = tf.cast(members, tf.float32)
        weights = members[..., None] * members[..., None, :] * overlap[:, None]  # [B, S, M, M]
        mass = tf.reduce_sum(weights, axis=(-2, -1), keepdims=True)
        weights /= tf.where(mass > 0.0, mass, 1.0)
        first = tf.einsum("bsij,bijd->bsd", weights, mean)
        within = tf.einsum("bsij,bijd->bsd", weights, variance)
        between = tf.einsum("bsij,bijd->bsd", weights, tf.square(mean)) - tf.square(first)
        variance = within + tf.nn.relu(between)
        return first + center, tf.sqrt(tf.where(variance > 0.0, variance, 1.0))

    def fusion(self) -> dict[str, Any]:
        return {"pooling": "hellinger"}
