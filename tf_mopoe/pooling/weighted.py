"""A product of experts with learned weights (gPoE)."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mopoe.pooling.pooling import Pooling


@keras.saving.register_keras_serializable(package="tf_mopoe")
class WeightedProduct(Pooling):
    """The product of experts, each to the power of a learned weight per latent variable (Cao & Fleet 2014, gPoE).

        precision = sum{ a[m] / scale[m]^2 : m };   loc = sum{ a[m] * loc[m] / scale[m]^2 : m } / precision

    The weights a[m] of the experts that a row has sum to 1 in each subset: so precision does not grow with the number of
    experts, and a lone expert is itself. They start equal: the geometric mean. The prior is no expert.
    """

    def build_for(self, modalities: Sequence[str], latent_dim: int) -> None:
        self.logits = self.add_weight(name="logits", shape=(len(modalities), latent_dim), initializer="zeros")
        super().build_for(modalities, latent_dim)

    def pool(
        self, loc: tf.Tensor, scale: tf.Tensor, members: tf.Tensor, names: Sequence[str]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        order = sorted(self.modalities)  # of the weights, whatever the model's
        numbers = [order.index(name) for name in names]
        weights = tf.gather(tf.nn.softmax(tf.convert_to_tensor(self.logits), axis=0), numbers)  # [M, D]
        members = tf.cast(members, tf.float32)
        precision = weights / tf.square(scale)  # [B, M, D]
        share = tf.einsum("bsm,md->bsd", members, weights)
        share = tf.where(share > 0.0, share, 1.0)
        total = tf.einsum("bsm,bmd->bsd", members, precision)
        total = tf.where(total > 0.0, total, 1.0)
        loc = tf.einsum("bsm,bmd->bsd", members, precision * loc) / total
        return loc, tf.sqrt(share / total)

    def fusion(self) -> dict[str, Any]:
        weights = tf.nn.softmax(tf.convert_to_tensor(self.logits), axis=0).numpy()
        return {"pooling": "weighted", "weights": dict(zip(sorted(self.modalities), weights.tolist()))}
