"""Densities of real numbers with a loc from the network and a scale: Normal, Laplace, Student's t."""

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

LEARNED, PER_VARIABLE, PREDICTED = "learned", "learned_per_variable", "predicted"
FLOOR = 1e-3  # of a predicted scale
STANDARD_BOUNDS = (-5.0, 3.0)  # of the logarithm of a scale in standard deviations
BOUNDS = (-14.0, 14.0)  # in any other unit


class LocationScale(Likelihood):
    """A density with a loc per variable from the network, and a scale.

    A subclass has `density(loc, scale)` -> tfd distribution of [B, E].
    """

    def __init__(self, scale: Any = 1.0, standardize: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.scale = checked_scale(scale)
        self.standardize = bool(standardize)
        self.num_parameters = 2 if self.scale == PREDICTED else 1
        self.units = Units(name="units") if self.standardize else None

    def build(self, input_shape: Sequence[int | None]) -> None:
        """`input_shape`: (None, *O)."""
        shape = self.event_shape(input_shape[1:])
        # Its logarithm is learned, from 0 on: the scale starts at 1 and stays positive.
        if self.scale == LEARNED:
            self.log_scale = self.add_weight(name="log_scale", shape=(), initializer="zeros")
        elif self.scale == PER_VARIABLE:
            self.log_scale = self.add_weight(name="log_scale", shape=shape, initializer="zeros")
        elif not isinstance(self.scale, str):
            np.broadcast_to(np.asarray(self.scale), shape)  # an error for numbers of another shape
        if self.units is not None and not self.units.built:
            self.units.build(units_shape(shape))
        self.built = True

    def scale_value(self, raw: tf.Tensor | None = None) -> tf.Tensor:
        """Return the scale, in the units of the network's output; `raw`: the network's output for it, if there is one."""
        bounds = STANDARD_BOUNDS if self.standardize else BOUNDS
        if self.scale == PREDICTED:
            return FLOOR + tf.exp(bounded(raw, *bounds))
        if isinstance(self.scale, str):
            return tf.exp(bounded(tf.convert_to_tensor(self.log_scale), *bounds))
        return tf.constant(self.scale, tf.float32)

    def call(self, output: tf.Tensor) -> tfd.Distribution:
        loc, *raw = self.parameters(output)
        scale = self.scale_value(*raw)
        if self.units is not None:
            loc, scale = self.units.back(loc), scale * tf.convert_to_tensor(self.units.spread)
        return independent(self.density(loc, scale), len(loc.shape))

    def adapt_input(self, x: np.ndarray) -> np.ndarray | None:
        return x if self.standardize else None

    def adapt(self, moments: Moments) -> None:
        self.units.adapt(moments)

    @property
    def adapted(self) -> bool:
        return not self.standardize or self.units.adapted

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"scale": self.scale, "standardize": self.standardize}


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Normal(LocationScale):
    """Independent Normal(loc, scale) for every number of x.

    Args:
        scale: a positive number (default 1.0); numbers in the shape of x, one per variable; "learned": one weight for the
            modality, from 1 on; "learned_per_variable": one for each variable; or "predicted": by the network, which then
            gives two numbers per variable, loc and log of the scale, side by side on its last axis (at least 0.001).
        standardize: whether the network's loc and the scale are in standard deviations of each variable around its mean,
            which `MultimodalVAE.adapt` (called by the first `fit`) takes from the data: for variables of any unit. x, draws
            and means stay in the data's units. For pictures [.., C], per channel. Default False.

    Raises:
        ValueError: if `scale` is anything else.
    """

    def density(self, loc: tf.Tensor, scale: tf.Tensor) -> tfd.Distribution:
        return tfd.Normal(loc, scale)


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Laplace(LocationScale):
    """Independent Laplace(loc, scale) for every number of x. The paper's choice for pictures, with scale 0.75.

    Args:
        scale, standardize: as of `Normal`.

    Raises:
        ValueError: if `scale` is anything else.
    """

    def density(self, loc: tf.Tensor, scale: tf.Tensor) -> tfd.Distribution:
        return tfd.Laplace(loc, scale)


@keras.saving.register_keras_serializable(package="tf_mopoe")
class StudentT(LocationScale):
    """Independent Student's t for every number of x: as Normal, but outliers weigh less.

    Args:
        scale, standardize: as of `Normal`.
        df: degrees of freedom, a positive number; default 4.0. Its mean is reported as loc, for a df up to 1 too.

    Raises:
        ValueError: for any other `scale` or `df`.
    """

    def __init__(self, scale: Any = 1.0, standardize: bool = False, df: float = 4.0, **kwargs):
        super().__init__(scale, standardize, **kwargs)
        if not (is_number(df) and df > 0):
            raise ValueError(f"`df` must be a positive number. Received: df={df!r}")
        self.df = float(df)

    def density(self, loc: tf.Tensor, scale: tf.Tensor) -> tfd.Distribution:
        return tfd.StudentT(self.df, loc, scale)

    def mean(self, distribution: tfd.Distribution) -> tf.Tensor:
        return distribution.distribution.loc

    def moments(self, distribution: tfd.Distribution, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """E[x^2] is infinite for a df up to 2."""
        loc, scale = distribution.distribution.loc, distribution.distribution.scale
        variance = tf.square(scale) * (self.df / (self.df - 2.0) if self.df > 2.0 else float("inf"))
        return loc, tf.square(loc) + variance

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"df": self.df}


def checked_scale(scale):
    """Check a scale: one of the names, a float, or nested lists of positive floats."""
    if isinstance(scale, str) and scale in (LEARNED, PER_VARIABLE, PREDICTED):
        return scale
    if is_number(scale) and scale > 0:
        return float(scale)
    if isinstance(scale, list | tuple | np.ndarray):
        try:
            array = np.asarray(scale)
        except ValueError:  # rows of several lengths
            array = np.zeros([0])
        if array.size and array.dtype.kind in "fiu" and np.all(np.isfinite(array)) and np.all(array > 0):
            return array.astype(float).tolist()
    names = f'"{LEARNED}", "{PER_VARIABLE}" or "{PREDICTED}"'
    raise ValueError(f"`scale` must be a positive number, one per variable, or {names}. Received: scale={scale!r}")
