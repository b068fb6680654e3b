"""Mixtures of geometric means, weighted by how far the experts agree (Hoelder pooling)."""

from typing import Any

import keras
import tensorflow as tf

from tf_mopoe.experts import Experts, masked
from tf_mopoe.mixture import ABSENT
from tf_mopoe.pooling.geometric_mean import GeometricMean
from tf_mopoe.pooling.pooling import Pooling


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Hoelder(GeometricMean):
    """A mixture of geometric means that weighs each by how far its experts agree.

    Of single experts and pairs it is Hoelder pooling with exponent 1/2: q(z | X) is proportional to

        ( sum{ sqrt( q[m](z) ) : m } )^2  =  sum{ q[i](z) : i } + 2 * sum{ S[i, j] * q[i, j](z) : i < j }

    where q[i, j] is the geometric mean of two experts, normalised, and S[i, j], by which it was divided, their Bhattacharyya
    coefficient: 1 for experts that are the same. In general a subset of n experts weighs n! * S, with S the integral of
    prod{ q[m] : m }^(1/n), times its weight in the layer; normalised over the subsets that a row can form. Other lists than
    singles and pairs give another mixture than ( ... )^2. `Hellinger` is the one Gaussian of the same moments.

    The weights depend on the data. `ELBO`, which draws a component, passes them no gradient of the reconstruction; `IWAE`
    does.

    Reference: Vo, Martinez-Garcia, Valera, "Hoelder++: Improving the quality-coherence trade-off in multimodal VAEs", ICML
    2026 (known here from its abstract and summaries).
    """

    def __init__(self, **kwargs):
        super().__init__(with_prior=False, **kwargs)

    def weigh(
        self, weights: tf.Tensor, experts: Experts, members: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor
    ) -> tf.Tensor:
        # log S = sum{ log(scale) - mean(log scale[m]) - 1/2 mean(((loc[m] - loc) / scale[m])^2) : D }
        own, spread = masked(experts)
        members = tf.cast(members, tf.float32)
        count = tf.reduce_sum(members, axis=-1)  # [B, S]
        share = members / tf.maximum(count, 1.0)[..., None]
        log_spread = tf.math.log(scale) - tf.einsum("bsm,bmd->bsd", share, tf.math.log(spread))
        apart = tf.square((own[:, None] - loc[:, :, None]) / spread[:, None])  # [B, S, M, D]
        log_overlap = tf.reduce_sum(log_spread - 0.5 * tf.einsum("bsm,bsmd->bsd", share, apart), axis=-1)
        log_weights = tf.math.log(tf.where(weights > 0.0, weights, 1.0)) + tf.math.lgamma(count + 1.0) + log_overlap
        return tf.nn.softmax(tf.where(weights > 0.0, log_weights, ABSENT))

    def get_config(self) -> dict[str, Any]:
        return Pooling.get_config(self)  # `with_prior` is no choice here
