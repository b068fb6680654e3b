"""A likelihood of pictures of whole numbers: a logistic density, summed over the width of each level."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe.checks import check_count, is_number
from tf_mopoe.families import bounded
from tf_mopoe.likelihoods.likelihood import Likelihood, independent

tfd = tfp.distributions

START = 0.1  # of a scale that is learned or predicted
LOG_SCALE_BOUNDS = (-5.0, 3.0)  # around that


@keras.saving.register_keras_serializable(package="tf_mopoe")
class DiscretizedLogistic(Likelihood):
    """Independent logistic densities, rounded to the levels 0, 1, .. L - 1, which x holds as float32: uint8 pictures.

        p(x) = sigmoid((x + 1/2 - loc) / scale) - sigmoid((x - 1/2 - loc) / scale)

    and the whole tail at either end. The network's output 0 is the middle of the range, -1 and 1 are its ends. These are
    probabilities, so that `evaluation.bits_per_dimension` of them compares with published numbers. What is reported as the
    mean is that of the logistic cut off at the ends but not rounded, closer than half a level. Reference: Salimans et al.,
    "PixelCNN++", ICLR 2017, without mixtures; Kingma et al., "Improving variational inference with inverse autoregressive
    flow", NeurIPS 2016.

    Args:
        scale: in halves of the range, as the output: "predicted" (default), by the network, which then gives two numbers per
            variable, loc and the log of ten times the scale, side by side on its last axis; "learned", one weight for the
            modality, from 0.1 on; or a positive number.
        levels: L, 2 or more. Default 256.

    Raises:
        ValueError: for any other `scale` or `levels`.
    """

    standardize = True  # the scale is relative to the range, not in the data's units

    def __init__(self, scale="predicted", levels=256, **kwargs):
        super().__init__(**kwargs)
        known = isinstance(scale, str) and scale in ("predicted", "learned")
        if not known and not (is_number(scale) and scale > 0):
            raise ValueError(f'`scale` must be "predicted", "learned" or a positive number. Received: scale={scale!r}')
        self.scale = scale if known else float(scale)
        self.levels = check_count("levels", levels, low=2)
        self.num_parameters = 2 if scale == "predicted" else 1

    def build(self, input_shape):
        """`input_shape`: (None, *O)."""
        self.event_shape(input_shape[1:])
        if self.scale == "learned":
            self.log_scale = self.add_weight(name="log_scale", shape=(), initializer="zeros")
        self.built = True

    def call(self, output):
        loc, *raw = self.parameters(output)
        half = 0.5 * (self.levels - 1)
        if isinstance(self.scale, float):
            scale = tf.constant(self.scale)
        else:
            log = raw[0] if raw else tf.convert_to_tensor(self.log_scale)
            scale = START * tf.exp(bounded(log, *LOG_SCALE_BOUNDS))
        return independent(RoundedLogistic(half * (1.0 + loc), half * scale, self.levels), len(loc.shape))

    def check(self, name, x, observed=None):
        x = x if observed is None else x[observed]
        if x.size and not (x.min() >= 0 and x.max() < self.levels and np.array_equal(x, np.round(x))):
            received = x[(x < 0) | (x >= self.levels) | (x != np.round(x))][0]
            raise ValueError(
                f"`{name}` must hold levels, integers from 0 to {self.levels - 1} (DiscretizedLogistic). "
                f"Received: {received:g}, for example"
            )

    def get_config(self):
        return super().get_config() | {"scale": self.scale, "levels": self.levels}


class RoundedLogistic(tfd.Distribution):
    """A logistic density rounded to the levels 0 .. L - 1, for each variable.

    Args:
        loc, scale: in levels, of shapes that broadcast to that of loc.
        levels: L.
    """

    def __init__(self, loc, scale, levels, name="RoundedLogistic"):
        parameters = dict(locals())
        self.loc, self.scale, self.levels = loc, scale, levels
        super().__init__(
            dtype=tf.float32,
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
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)): each factor has a logarithm of full precision.
        x, last = tf.convert_to_tensor(x), self.levels - 1.0
        upper = tf.math.log_sigmoid((x + 0.5 - self.loc) / self.scale)
        lower = tf.math.log_sigmoid((self.loc - x + 0.5) / self.scale)
        width = tf.math.log(-tf.math.expm1(-1.0 / self.scale))
        return (
            tf.where(x < last, upper, 0.0)
            + tf.where(x > 0.0, lower, 0.0)
            + tf.where((x > 0.0) & (x < last), width, 0.0)
        )

    def _mean(self):
        """Of the logistic, cut off at the ends: the integral of its survival function from 0 to L - 1."""
        last = self.levels - 1.0
        at_0, at_last = (tf.math.softplus(-tf.abs(self.loc - end) / self.scale) for end in (0.0, last))
        mean = tf.clip_by_value(self.loc, 0.0, last) + self.scale * (at_0 - at_last)
        return tf.clip_by_value(mean, 0.0, last)

    def _sample_n(self, n, seed=None):
        seed = tfp.random.sanitize_seed(seed, salt="rounded_logistic")
        x = tfd.Logistic(self.loc, self.scale).sample(n, seed=seed)
        return tf.clip_by_value(tf.round(x), 0.0, self.levels - 1.0)
