"""The geometric mean of experts, with or without the prior (mmJSD's dynamic prior)."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mopoe.pooling.pooling import Pooling


@keras.saving.register_keras_serializable(package="tf_mopoe")
class GeometricMean(Pooling):
    """The normalised geometric mean of the experts of a subset: the mean of their product, with n times its variance.

        precision = mean{ 1 / scale[m]^2 : m };   loc = mean{ loc[m] / scale[m]^2 : m } / precision

    With the prior it is mmJSD's dynamic prior, ( p(z) * prod{ q[m] : m } )^(1/(n+1)) with p(z) = N(0, I) (Sutter et al.
    2020). To translate from it, make a second model of the trained one's parts:

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
