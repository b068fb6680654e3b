"""The base class of likelihoods p(x | z): a layer from a decoder's output to a tfd distribution over one modality."""

import inspect
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe.units import Moments

tfd = tfp.distributions
DRAWS = 32  # behind a mean that has no formula


class Likelihood(keras.layers.Layer):
    """A layer: the network's output [B, O] float32 -> tfd distribution with batch shape [B] and event shape E.

    A subclass has `call`, which returns a `tfd.Independent` over the axes of E: then single cells of a row may be missing.
    (Another distribution serves too, for data whose rows are whole.) It may override the rest: all has a default.
    """

    x_dtype = "float32"  # of x in a batch: "float32" or "int32"
    num_parameters = 1  # numbers that the network gives for each variable, side by side on its last axis
    reads_size = False  # whether `call` takes `size`, a row's total, [B]

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **{k: v for k, v in kwargs.items() if k != "dtype"})

    def __setattr__(self, name, value):
        known = vars(self)
        if known.get("built") and name in known and name in inspect.signature(type(self).__init__).parameters:
            raise ValueError(  # a step that was traced before would keep the old one, and a file have the new one
                f"`{name}` of a likelihood cannot be assigned after the model is made. Received: {name}={value!r}"
            )
        super().__setattr__(name, value)

    # ---- shapes

    def event_shape(self, output_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape E of x of a row, from the network's output O."""
        *lead, last = output_shape
        if last % self.num_parameters:
            raise ValueError(
                f"The network of a {type(self).__name__} likelihood must give {self.num_parameters} numbers for each "
                f"variable, side by side on its last axis. Received: output shape {tuple(output_shape)}"
            )
        return (*lead, last // self.num_parameters)

    def output_shape(self, event_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the inverse of `event_shape`: the network's output O for x of shape E."""
        *lead, last = event_shape
        return (*lead, self.num_parameters * last)

    def parameters(self, output: tf.Tensor) -> list[tf.Tensor]:
        """Split the network's output [B, O] into `num_parameters` tensors [B, E]."""
        return tf.split(output, self.num_parameters, axis=-1)

    def dimension(self, event_shape: Sequence[int]) -> int:
        """Return the number of variables of x, for `reconstruction_weights="dimension"`."""
        return int(tf.TensorShape(event_shape).num_elements())

    # ---- data

    def check(self, name: str, x: np.ndarray, observed: np.ndarray | None = None) -> None:
        """Raise a ValueError if rows x [N, E] of the modality are outside the support: here none are.

        `observed`: bool [N, E], the cells that count; None: all.
        """

    def adapt_input(self, x: np.ndarray) -> np.ndarray | None:
        """Return the values whose `Moments` `adapt` takes: NumPy [N, E] -> [N, E]. None (default): nothing is taken."""
        return None

    def adapt(self, moments: Moments) -> None:
        """Take the data's units from `Moments`, see `MultimodalVAE.adapt`."""

    @property
    def adapted(self) -> bool:
        """Whether everything that `adapt` takes from data is there."""
        return True

    def size(self, x: tf.Tensor, observed: tf.Tensor | None = None) -> tf.Tensor | None:
        """Return the total of each row, [B], for a likelihood that `reads_size`."""
        return None

    # ---- distributions

    def mean(self, distribution: tfd.Distribution) -> tf.Tensor:
        """Return the value reported of p(x | z), [B, E]: its mean; where that has no formula, the mean of a few draws."""
        try:
            return distribution.mean()
        except NotImplementedError:
            return tf.reduce_mean(tf.cast(distribution.sample(DRAWS, seed=(0, 0)), tf.float32), axis=0)

    def moments(self, distribution: tfd.Distribution, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return E[x] and E[x^2] of p(x | z), float32 [B, E]; of one draw where they have no formula. `seed`: int32 [2]."""
        try:
            mean = distribution.mean()
            return mean, distribution.variance() + tf.square(mean)
        except NotImplementedError:
            x = tf.cast(distribution.sample(seed=seed), tf.float32)
            return x, tf.square(x)

    def stand_in(self, distribution: tfd.Distribution) -> tf.Tensor:
        """Return values of the support in place of a missing x, [B, E]: the mean, or 0 where it is not finite."""
        mean = tf.stop_gradient(self.mean(distribution))
        return tf.where(tf.math.is_finite(mean), mean, 0.0)

    def log_prob(self, distribution: tfd.Distribution, x: tf.Tensor, observed: tf.Tensor | None = None) -> tf.Tensor:
        """Compute log p(x | z) in nats, [B]: of the cells `observed`, bool [B, E] (default: all).

        Raises:
            ValueError: for cells of a distribution that is no `tfd.Independent`.
        """
        if observed is None:
            return distribution.log_prob(x)
        return sum_observed(distribution, x, observed, self.stand_in(distribution))


def sum_observed(distribution, x, observed, stand_in):
    """Compute the log-probability of the observed cells of x, [B]. The others have no effect, NaN included."""
    if not hasattr(distribution, "reinterpreted_batch_ndims"):  # tfd.Independent, which is of several classes
        raise ValueError(
            "Missing cells need a likelihood that is a tfd.Independent; without, whole rows may be missing. "
            f"Received: {type(distribution).__name__}"
        )
    log_probs = distribution.distribution.log_prob(tf.where(observed, x, tf.cast(stand_in, x.dtype)))  # [B, cells]
    axes = list(range(len(log_probs.shape), len(x.shape)))  # a one-hot vector is one cell
    observed = tf.reduce_all(observed, axis=axes) if axes else observed
    return tf.reduce_sum(tf.where(observed, log_probs, 0.0), axis=list(range(1, len(log_probs.shape))))


def independent(distribution, rank):
    """Return a `tfd.Independent` over all axes but that of the rows, of a distribution whose batch shape has that rank."""
    return tfd.Independent(distribution, reinterpreted_batch_ndims=rank - 1)
