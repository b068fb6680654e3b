"""Pooling of experts whose errors are correlated (CoDE)."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mopoe.checks import check_number
from tf_mopoe.pooling.pooling import Pooling


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Correlated(Pooling):
    """The consensus of dependent experts (Winkler 1981; "CoDE-VAE", Mancisidor et al., ICML 2025).

        precision = 1' C^-1 1;   loc = 1' C^-1 (loc of the members) / precision,   per latent variable
        C[i, i] = scale[i]^2,   C[i, j] = correlation * scale[i] * scale[j]

    With correlation 0 it is the product without prior. A lone expert is itself; the prior is no expert.

    Args:
        correlation: between the errors of any two experts, 0 or more and below 1; default 0.5.
        learned: whether it is learned, from that number on. Default: False.
    """

    def __init__(self, correlation: float = 0.5, learned: bool = False, **kwargs):
        super().__init__(**kwargs)
        correlation = check_number("correlation", correlation)
        if correlation >= 1.0 or (learned and not correlation):
            raise ValueError(
                "`correlation` must be a number from 0 to below 1, and above 0 if it is learned. "
                f"Received: correlation={correlation!r}, learned={learned!r}"
            )
        self.correlation, self.learned = correlation, bool(learned)

    def build(self, input_shape: Any = None) -> None:
        if self.learned:
            start = keras.initializers.Constant(self.correlation)
            self.logit = self.add_weight(
                name="logit", shape=(), initializer=lambda *args, **kw: logit(start(*args, **kw))
            )
        self.built = True

    def value(self) -> float | tf.Tensor:
        """The correlation, a number or a tensor []."""
        return tf.sigmoid(tf.convert_to_tensor(self.logit)) if self.learned else self.correlation

    def pool(
        self, loc: tf.Tensor, scale: tf.Tensor, members: tf.Tensor, names: Sequence[str]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # C = D R D with D of the scales and R[i, j] = correlation, whose inverse is closed (Sherman & Morrison).
        rho = self.value()
        members = tf.cast(members, tf.float32)
        count = tf.reduce_sum(members, axis=-1, keepdims=True)  # [B, S, 1]
        shrink = rho / (1.0 + (count - 1.0) * rho)

        def total(values):
            return tf.einsum("bsm,bmd->bsd", members, values)

        inverse = 1.0 / scale
        sums = total(inverse)
        precision = (total(tf.square(inverse)) - shrink * tf.square(sums)) / (1.0 - rho)
        weighted = (total(tf.square(inverse) * loc) - shrink * sums * total(inverse * loc)) / (1.0 - rho)
        precision = tf.where(count > 0.0, precision, 1.0)
        return weighted / precision, 1.0 / tf.sqrt(precision)

    def fusion(self) -> dict[str, Any]:
        return {"pooling": "correlated", "correlation": float(self.value())}

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"correlation": self.correlation, "learned": self.learned}


def logit(x):
    return tf.math.log(x) - tf.math.log1p(-x)
