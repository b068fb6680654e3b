"""A likelihood of integers 0 .. levels - 1, such as the bytes of pictures: a logistic density, summed over each level."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe.checks import check_count, is_number
from tf_mopoe.families import bounded
from tf_mopoe.likelihoods.likelihood import Likelihood, independent

tfd = tfp.distributions

LOG_SCALE_BOUNDS = (-6.0, 3.0)  # of a scale in sixteenths of the range


@keras.saving.register_keras_serializable(package="tf_mopoe")
class DiscretizedLogistic(Likelihood):
    """Independent discretized logistic for every integer of x, 0 to levels - 1 (Kingma et al. 2016; Salimans et al. 2017).

        p(x) = F(x + 1/2) - F(x - 1/2),   F = sigmoid((. - loc) / scale);   the two end levels have the tails

    The network gives loc such that 0 is the middle of the range and -1 and 1 are its ends. `evaluation.bits_per_dimension`
    gives the usual measure of log p(x). What is reported is the mean of the logistic density cut off at the ends, which is
    within half a level of that of x.

    Args:
        scale: "learned" (default): one weight for the modality, from a sixteenth of the range on; "predicted": by the
            network, which then gives two numbers per variable, side by side on its last axis, the other the log of the
            scale in sixteenths of the range; or a positive number, in levels.
        levels: how many, default 256. Pictures of uint8 are taken as they are.

    Raises:
        ValueError: for any other `scale`, or fewer than 2 levels.
    """

    def __init__(self, scale: str | float = "learned", levels: int = 256, **kwargs):
        super().__init__(**kwargs)
        known = scale in ("learned", "predicted") if isinstance(scale, str) else False
        if not known and not (is_number(scale) and scale > 0):
            raise ValueError(f'`scale` must be "learned", "predicted" or a positive number. Received: scale={scale!r}')
        self.scale = scale if known else float(scale)
        self.levels = check_count("levels", levels, low=2)
        self.num_parameters = 2 if self.scale == "predicted" else 1

    def build(self, input_shape: Sequence[int | None]) -> None:
        """`input_shape`: (None, *O)."""
        self.event_shape(input_shape[1:])
        if self.scale == "learned":
            self.log_scale = self.add_weight(name="log_scale", shape=(), initializer="zeros")
        self.built = True

    def call(self, output: tf.Tensor) -> tfd.Distribution:
        loc, *raw = self.parameters(output)
        loc = (loc + 1.0) * (self.levels - 1) / 2.0
        if isinstance(self.scale, float):
            scale = tf.constant(self.scale)
        else:
            log = raw[0] if raw else tf.convert_to_tensor(self.log_scale)
            scale = self.levels / 16.0 * tf.exp(bounded(log, *LOG_SCALE_BOUNDS))
        return independent(DiscretizedLogisticDistribution(loc, scale, self.levels), len(loc.shape))

    def check(self, name: str, x: np.ndarray, observed: np.ndarray | None = None) -> None:
        x = x if observed is None else x[observed]
        if x.size and not (x.min() >= 0 and x.max() < self.levels and (x == x.round()).all()):
            bad = x[(x < 0) | (x >= self.levels) | (x != x.round())][0]
            raise ValueError(
                f"`{name}` must hold integers from 0 to {self.levels - 1} (DiscretizedLogistic). "
                f"Received: {bad:g}, for example"
            )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"scale": self.scale, "levels": self.levels}


class DiscretizedLogisticDistribution(tfd.Distribution):
    """Logistic(loc, scale), rounded to integers and held in 0 .. levels - 1, for each variable.

    (`tfd.QuantizedDistribution` subtracts logarithms that float32 cannot distinguish far from loc, which makes -inf.)

    Args:
        loc: batch shape, in levels.
        scale: of a shape that loc's broadcasts over, positive, in levels.
        levels: int.
    """

    def __init__(self, loc: tf.Tensor, scale: tf.Tensor, levels: int, name: str = "DiscretizedLogistic"):
        parameters = dict(locals())
        self.loc, self.scale, self.levels = loc, scale, levels
        super().__init__(
            dtype=loc.dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    def _batch_shape(self):
        return self.loc.shape

    def _batch_shape_tensor(self):
        return tf.shape(self.loc)

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.zeros([0], tf.int32)

    def _log_prob(self, x):
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)): nothing is subtracted that is nearly equal.
        above = tf.math.log_sigmoid((x + 0.5 - self.loc) / self.scale)  # log F(x + 1/2)
        below = tf.math.log_sigmoid((self.loc - x + 0.5) / self.scale)  # log of 1 - F(x - 1/2)
        width = tf.math.log(-tf.math.expm1(-1.0 / self.scale))
        middle = above + below + width
        return tf.where(x <= 0.0, above, tf.where(x >= self.levels - 1.0, below, middle))

    def _mean(self):
        """Of the logistic density cut off at the ends: loc, cut off too, and what the tails change."""
        last = self.levels - 1.0
        at_0, at_last = (tf.math.softplus(-tf.abs(self.loc - end) / self.scale) for end in (0.0, last))
        mean = tf.clip_by_value(self.loc, 0.0, last) + self.scale * (at_0 - at_last)
        return tf.clip_by_value(mean, 0.0, last)  # of a scale far beyond the levels: rounding

    def _sample_n(self, n, seed=None):
        seed = tfp.random.sanitize_seed(seed, salt="discretized_logistic")
        x = tfd.Logistic(self.loc, self.scale).sample(n, seed=seed)
        return tf.clip_by_value(tf.round(x), 0.0, self.levels - 1.0)
