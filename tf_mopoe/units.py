"""The data's own units: the mean and the spread of each variable, taken from data once and kept with the model."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Units(keras.layers.Layer):
    """Maps x in the data's units to (x - center) / spread, and back.

    center and spread are weights of the shape given to `build`, of no gradient: 0 and 1 until `adapt`. A variable that does
    not vary keeps the spread 1.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False} | kwargs)

    def build(self, shape: Sequence[int]) -> None:
        """`shape`: of the variables, without the axis of rows."""
        self.center = self.add_weight(name="center", shape=shape, initializer="zeros", trainable=False)
        self.spread = self.add_weight(name="spread", shape=shape, initializer="ones", trainable=False)
        self.num_rows = self.add_weight(name="num_rows", shape=(), initializer="zeros", trainable=False)
        self.built = True

    @property
    def adapted(self) -> bool:
        """Whether `adapt` was called, in this process or before the model was saved."""
        return bool(np.asarray(self.num_rows) > 0)

    def adapt(self, moments: "Moments") -> None:
        """Take center and spread from `Moments` of the data."""
        mean, spread = moments.mean_and_spread(self.center.shape)
        self.center.assign(mean)
        self.spread.assign(spread)
        self.num_rows.assign(float(moments.rows))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return (x - tf.convert_to_tensor(self.center)) / tf.convert_to_tensor(self.spread)

    def back(self, x: tf.Tensor) -> tf.Tensor:
        """Apply the inverse of the call."""
        return tf.convert_to_tensor(self.center) + tf.convert_to_tensor(self.spread) * x


class Moments:
    """Counts, means and variances of variables, added up batch by batch in float64 (Chan et al. 1979)."""

    def __init__(self):
        self.rows, self.count, self.mean, self.squares = 0, 0.0, 0.0, 0.0

    def add(self, x: ArrayLike, observed: ArrayLike | None = None) -> None:
        """Add rows x [N, E]; `observed`, bool [N, E], says which cells count. Default: all."""
        x = np.asarray(x, np.float64)
        observed = np.ones(x.shape, bool) if observed is None else np.broadcast_to(observed, x.shape)
        x = np.where(observed, x, 0.0)
        count = observed.sum(axis=0)
        mean = x.sum(axis=0) / np.maximum(count, 1)
        squares = np.where(observed, np.square(x - mean), 0.0).sum(axis=0)
        total = self.count + count
        apart = mean - self.mean
        self.squares = self.squares + squares + np.square(apart) * self.count * count / np.maximum(total, 1)
        self.mean = self.mean + apart * count / np.maximum(total, 1)
        self.count, self.rows = total, self.rows + len(x)

    def of_variables(self, numbers: np.ndarray | slice | list[int]) -> "Moments":
        """Return the moments of some variables of the last axis, by their numbers."""
        other = Moments()
        other.rows = self.rows
        other.count, other.mean, other.squares = (
            np.broadcast_to(part, np.shape(self.mean))[..., numbers] for part in (self.count, self.mean, self.squares)
        )
        return other

    def mean_and_spread(self, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return float32 mean and standard deviation in a shape that E broadcasts from: [E], [1, .., C] or []."""
        count, mean, squares = (
            np.broadcast_to(part, np.shape(self.mean)) for part in (self.count, self.mean, self.squares)
        )
        axes = self.axes_over(shape)
        total = np.maximum(count.sum(axis=axes, keepdims=True), 1)
        pooled = (count * mean).sum(axis=axes, keepdims=True) / total
        variance = (squares + count * np.square(mean - pooled)).sum(axis=axes, keepdims=True) / total
        spread = np.sqrt(variance)
        spread = np.where(spread > 1e-7 * np.abs(pooled), spread, 1.0)  # less is the rounding of x, float32
        return pooled.reshape(shape).astype(np.float32), spread.reshape(shape).astype(np.float32)

    def known(self, shape: Sequence[int]) -> np.ndarray:
        """Return which variables have any value, bool in such a shape."""
        count = np.broadcast_to(self.count, np.shape(self.mean))
        return (count.sum(axis=self.axes_over(shape), keepdims=True) > 0).reshape(shape)

    def axes_over(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the axes of E that are pooled in such a shape."""
        sizes = np.shape(self.mean)
        lead = (1,) * (len(sizes) - len(shape)) + tuple(shape)
        return tuple(axis for axis, (size, wanted) in enumerate(zip(sizes, lead)) if size != wanted)


def units_shape(event_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the units of x of shape E: one per variable of a table, one per channel of more axes."""
    return tuple(event_shape) if len(event_shape) == 1 else (*(1,) * (len(event_shape) - 1), event_shape[-1])
