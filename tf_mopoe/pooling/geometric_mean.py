"""The geometric mean of experts, and mixtures of it that are weighted by how far the experts agree (Hoelder pooling)."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mopoe.experts import Experts, masked
from tf_mopoe.mixture import ABSENT
from tf_mopoe.pooling.pooling import Pooling


@keras.saving.register_keras_serializable(package="tf_mopoe")
class GeometricMean(Pooling):
    """The normalised geometric mean of the experts of a subset: their product, with the spread of one of them.

        precision = mean{ 1 / scale[m]^2 : m };   loc = mean{ loc[m] / scale[m]^2 : m } / precision

    With the prior it is mmJSD's dynamic prior, prod{ q[m] : m }^(1/(n+1)) * p(z)^(1/(n+1)) (Sutter et al. 2020), from which
    that method may translate:

        MultimodalVAE(model.encoders, model.decoders, joint_posterior=MixtureOfProducts("full", pooling=GeometricMean(True)))

    Args:
        with_prior: whether the prior N(0, I) is one more expert. Default: False; then a lone expert is itself.
    """

    def __init__(self, with_prior: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.with_prior = bool(with_prior)

    def pool(
        self, loc: tf.Tensor, scale: tf.Tensor, members: tf.Tensor, names: Sequence[str]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        members = tf.cast(members, tf.float32)
        count = tf.reduce_sum(members, axis=-1, keepdims=True) + float(self.with_prior)  # [B, S, 1]
        precision = 1.0 / tf.square(scale)
        total = tf.einsum("bsm,bmd->bsd", members, precision) + float(self.with_prior)
        total = tf.where(count > 0.0, total, 1.0)
        loc = tf.einsum("bsm,bmd->bsd", members, precision * loc) / total
        return loc, tf.sqrt(count / total)

    def fusion(self) -> dict[str, Any]:
        return {"pooling": "geometric", "prior_expert": "all" if self.with_prior else "none"}

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"with_prior": self.with_prior}


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Hoelder(GeometricMean):
    """Geometric means, each in proportion to how far its experts agree: with single experts and pairs, Hoelder pooling.

        q(z | X)  ~  ( sum{ sqrt( q[m](z) ) : m } )^2  =  sum{ q[i] : i } + 2 * sum{ S[i, j] * q[i, j] : i < j }

    The pair q[i, j] is the geometric mean, S[i, j] the Bhattacharyya coefficient, 1 for experts that are the same. So the
    weights depend on the data: n! * S of a subset of n, normalised over those that a row can form. `ELBO`, which draws a
    component, passes no gradient to them; `IWAE` does. `Hellinger` is the one Gaussian of the same moments.

    Reference: "Hoelder" pooling (ICML 2026), as it is described by others.
    """

    def __init__(self, **kwargs):
        super().__init__(with_prior=False, **kwargs)

    def weigh(
        self, weights: tf.Tensor, experts: Experts, members: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor
    ) -> tf.Tensor:
        # The log of S: 1/2 the sum over D of log(scale^2) - mean(log scale[m]^2) - (mean(T loc[m]^2) - mean(T) loc^2).
        own, spread = masked(experts)
        center = tf.reduce_mean(own, axis=1, keepdims=True)  # near the experts: little is lost in the difference
        own, loc = own - center, loc - center
        members = tf.cast(members, tf.float32)
        count = tf.reduce_sum(members, axis=-1)  # [B, S]
        share = members / tf.maximum(count, 1.0)[..., None]
        log_spread = tf.math.log(scale) - tf.einsum("bsm,bmd->bsd", share, tf.math.log(spread))
        distance = tf.einsum("bsm,bmd->bsd", share, tf.square(own / spread)) - tf.square(loc / scale)
        log_overlap = tf.reduce_sum(log_spread - 0.5 * tf.nn.relu(distance), axis=-1)
        log_weights = tf.math.log(tf.where(weights > 0.0, weights, 1.0)) + tf.math.lgamma(count + 1.0) + log_overlap
        return tf.nn.softmax(tf.where(weights > 0.0, log_weights, ABSENT))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["with_prior"]
        return config
