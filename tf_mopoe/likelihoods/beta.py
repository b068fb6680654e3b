"""A likelihood of shares, numbers from 0 to 1."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe.checks import is_number
from tf_mopoe.families import bounded
from tf_mopoe.likelihoods.likelihood import Likelihood, independent
from tf_mopoe.units import Moments, Units, units_shape

tfd = tfp.distributions

EDGE = 1e-3  # x nearer to 0 or 1 counts as this far away: a density is infinite or 0 there
LOGIT_BOUNDS = (-14.0, 14.0)
LOG_CONCENTRATION_BOUNDS = (-2.0, 7.0)  # beyond, float32 cannot distinguish the density's two large terms


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Beta(Likelihood):
    """Independent Beta(mean * concentration, (1 - mean) * concentration) for every number of x, from 0 to 1.

    The network gives the logit of the mean, beside that of each variable's mean in the data (0 until
    `MultimodalVAE.adapt`). x nearer to 0 or 1 than 0.001 counts as 0.001 away.

    Args:
        concentration: "learned" (default): one weight per variable, from 10 on; "predicted": by the network, which then
            gives two numbers per variable, side by side on its last axis, the other the log of a tenth of the
            concentration; or a positive number.

    Raises:
        ValueError: for any other `concentration`.
    """

    def __init__(self, concentration: str | float = "learned", **kwargs):
        super().__init__(**kwargs)
        known = concentration in ("learned", "predicted") if isinstance(concentration, str) else False
        if not known and not (is_number(concentration) and concentration > 0):
            raise ValueError(
                '`concentration` must be "learned", "predicted" or a positive number. '
                f"Received: concentration={concentration!r}"
            )
        self.concentration = concentration if known else float(concentration)
        self.num_parameters = 2 if self.concentration == "predicted" else 1
        self.units = Units(name="units")  # its center is the logit of the means

    def build(self, input_shape: Sequence[int | None]) -> None:
        """`input_shape`: (None, *O)."""
        shape = self.event_shape(input_shape[1:])
        if not self.units.built:
            self.units.build(units_shape(shape))
        if self.concentration == "learned":
            self.log_concentration = self.add_weight(name="log_concentration", shape=shape, initializer="zeros")
        self.built = True

    def call(self, output: tf.Tensor) -> tfd.Distribution:
        logit, *raw = self.parameters(output)
        mean = tf.sigmoid(bounded(logit + tf.convert_to_tensor(self.units.center), *LOGIT_BOUNDS))
        mean = EDGE / 10 + (1.0 - EDGE / 5) * mean
        if isinstance(self.concentration, float):
            concentration = self.concentration
        else:
            log = raw[0] if raw else tf.convert_to_tensor(self.log_concentration)
            concentration = 10.0 * tf.exp(bounded(log, *LOG_CONCENTRATION_BOUNDS))
        return independent(tfd.Beta(mean * concentration, (1.0 - mean) * concentration), len(mean.shape))

    def log_prob(self, distribution: tfd.Distribution, x: tf.Tensor, observed: tf.Tensor | None = None) -> tf.Tensor:
        x = tf.clip_by_value(x if observed is None else tf.where(observed, x, 0.5), EDGE, 1.0 - EDGE)
        return super().log_prob(distribution, x, observed)

    def check(self, name: str, x: np.ndarray, observed: np.ndarray | None = None) -> None:
        x = x if observed is None else x[observed]
        if x.size and not (x.min() >= 0.0 and x.max() <= 1.0):
            raise ValueError(f"`{name}` must be in [0, 1] (Beta). Received: numbers from {x.min():g} to {x.max():g}")

    def adapt_input(self, x: np.ndarray) -> np.ndarray:
        return x

    def adapt(self, moments: Moments) -> None:
        self.units.adapt(moments)
        mean = np.clip(np.asarray(self.units.center), EDGE, 1.0 - EDGE)
        self.units.center.assign(np.where(moments.known(mean.shape), np.log(mean) - np.log1p(-mean), 0.0))
        self.units.spread.assign(np.ones_like(mean))

    @property
    def adapted(self) -> bool:
        return self.units.adapted

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"concentration": self.concentration}
