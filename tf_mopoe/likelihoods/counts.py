"""Likelihoods of counts: Poisson, negative binomial, and either with more zeros."""

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe.checks import check_choice, is_number
from tf_mopoe.families import bounded
from tf_mopoe.likelihoods.likelihood import Likelihood, independent
from tf_mopoe.likelihoods.zero_inflated import ZeroInflatedDistribution
from tf_mopoe.units import Moments, Units, units_shape

tfd = tfp.distributions

TOTAL = "total"
LOG_MEAN_BOUNDS = (-14.0, 14.0)
LOG_DISPERSION_BOUNDS = (-7.0, 9.0)


class Count(Likelihood):
    """A likelihood of counts. The network gives the log of the mean, beside the log of each variable's mean in the data.

    The latter is 0 until `MultimodalVAE.adapt`, which the first `fit` calls. A subclass has `density(log_mean, *raw)`, raw
    being what else the network gives.
    """

    def __init__(self, size_factor: str | None = None, **kwargs):
        super().__init__(**kwargs)
        self.size_factor = check_choice("size_factor", size_factor, (None, TOTAL))
        self.reads_size = self.size_factor == TOTAL
        self.units = Units(name="units")  # its center is the log of the means

    def build(self, input_shape: Sequence[int | None]) -> None:
        """`input_shape`: (None, *O)."""
        self.sizes = self.event_shape(input_shape[1:])
        if not self.units.built:
            self.units.build(units_shape(self.sizes))
        self.built = True

    def call(self, output: tf.Tensor, size: tf.Tensor | None = None) -> tfd.Distribution:
        log_mean, *raw = self.parameters(output)
        log_mean = bounded(log_mean, *LOG_MEAN_BOUNDS) + tf.convert_to_tensor(self.units.center)
        if self.reads_size:
            axes = list(range(1, len(log_mean.shape)))
            log_mean -= tf.reduce_logsumexp(log_mean, axis=axes, keepdims=True)
            size = self.mean_size()[None] if size is None else size
            log_mean += tf.reshape(tf.math.log(tf.maximum(size, 1e-6)), [-1] + [1] * len(axes))
        return independent(self.density(log_mean, *raw), len(log_mean.shape))

    def mean_size(self) -> tf.Tensor:
        """Return the mean total of the data's rows, []."""
        return tf.reduce_sum(tf.exp(self.centers()))

    def centers(self) -> tf.Tensor:
        """Return the log of each variable's mean, E."""
        return tf.broadcast_to(tf.convert_to_tensor(self.units.center), self.sizes)

    def size(self, x: tf.Tensor, observed: tf.Tensor | None = None) -> tf.Tensor | None:
        if not self.reads_size:
            return None
        if observed is None:
            return tf.reduce_sum(x, axis=list(range(1, len(x.shape))))
        axes = list(range(1, len(x.shape)))
        share = tf.reshape(tf.nn.softmax(tf.reshape(self.centers(), [-1])), self.sizes)
        share = tf.where(observed, share, 0.0)
        total = tf.reduce_sum(tf.where(observed, x, 0.0), axis=axes)
        return tf.math.divide_no_nan(total, tf.reduce_sum(share, axis=axes))

    def check(self, name: str, x: np.ndarray, observed: np.ndarray | None = None) -> None:
        x = x if observed is None else x[observed]
        if x.size and not (x.min() >= 0.0 and np.array_equal(x, np.round(x))):
            received = x[(x < 0.0) | (x != np.round(x))][0]
            raise ValueError(
                f"`{name}` must hold counts, 0, 1, 2, ... ({type(self).__name__}). Received: {received:g}, for example"
            )

    def adapt_input(self, x: np.ndarray) -> np.ndarray:
        return x

    def adapt(self, moments: Moments) -> None:
        self.units.adapt(moments)
        mean = np.asarray(self.units.center)
        log_mean = np.log(np.maximum(mean, 0.5 / max(moments.rows, 1)))
        self.units.center.assign(np.where(moments.known(mean.shape), log_mean, 0.0))
        self.units.spread.assign(np.ones_like(mean))

    @property
    def adapted(self) -> bool:
        return self.units.adapted

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"size_factor": self.size_factor}


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Poisson(Count):
    """Independent Poisson for every count of x; the network gives the log of the mean.

    Args:
        size_factor: None (default), or "total": a row's counts are shares of its total, which is given (Lopez et al. 2018,
            scVI). The network then gives the logits of the shares. Where nothing of the row is given, the mean total.

    Raises:
        ValueError: for any other `size_factor`.
    """

    def density(self, log_mean: tf.Tensor) -> tfd.Distribution:
        return tfd.Poisson(log_rate=log_mean)


@keras.saving.register_keras_serializable(package="tf_mopoe")
class NegativeBinomial(Count):
    """Independent negative binomial for every count of x: variance = mean + mean^2 / dispersion.

    Args:
        dispersion: "learned" (default): one weight per variable, from 1 on; "predicted": by the network, which then gives
            two numbers per variable, the log of the mean and that of the dispersion, side by side on its last axis; or a
            positive number.
        size_factor: as of `Poisson`.

    Raises:
        ValueError: for any other `dispersion` or `size_factor`.
    """

    def __init__(self, dispersion: str | float = "learned", size_factor: str | None = None, **kwargs):
        super().__init__(size_factor, **kwargs)
        if dispersion not in ("learned", "predicted") and not (is_number(dispersion) and dispersion > 0):
            raise ValueError(
                f'`dispersion` must be "learned", "predicted" or a positive number. Received: dispersion={dispersion!r}'
            )
        self.dispersion = dispersion if isinstance(dispersion, str) else float(dispersion)
        self.num_parameters = 2 if self.dispersion == "predicted" else 1

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        if self.dispersion == "learned":
            self.log_dispersion = self.add_weight(name="log_dispersion", shape=self.sizes, initializer="zeros")

    def density(self, log_mean: tf.Tensor, raw: tf.Tensor | None = None) -> tfd.Distribution:
        if self.dispersion == "predicted":
            log_dispersion = bounded(raw, *LOG_DISPERSION_BOUNDS)
        elif self.dispersion == "learned":
            log_dispersion = bounded(tf.convert_to_tensor(self.log_dispersion), *LOG_DISPERSION_BOUNDS)
        else:
            log_dispersion = tf.math.log(self.dispersion)
        log_dispersion += tf.zeros_like(log_mean)
        return tfd.NegativeBinomial(
            tf.exp(log_dispersion), logits=log_mean - log_dispersion, require_integer_total_count=False
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"dispersion": self.dispersion}


@keras.saving.register_keras_serializable(package="tf_mopoe")
class ZeroInflated(Likelihood):
    """A count likelihood whose variables are 0 with one more probability, which the network gives.

        p(x | z) = pi [x = 0] + (1 - pi) count(x | z)

    The network gives what the count likelihood wants, and then the logits of pi, side by side on its last axis.

    Args:
        likelihood: `Poisson` or `NegativeBinomial`.

    Raises:
        ValueError: for another likelihood.
    """

    def __init__(self, likelihood: Likelihood, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(likelihood, Count):
            raise ValueError(f"`likelihood` must be Poisson or NegativeBinomial. Received: likelihood={likelihood!r}")
        self.likelihood = likelihood
        self.num_parameters = likelihood.num_parameters + 1
        self.reads_size = likelihood.reads_size

    def build(self, input_shape: Sequence[int | None]) -> None:
        """`input_shape`: (None, *O)."""
        if not self.likelihood.built:
            self.likelihood.build((None, *self.likelihood.output_shape(self.event_shape(input_shape[1:]))))
        self.built = True

    def call(self, output: tf.Tensor, size: tf.Tensor | None = None) -> tfd.Distribution:
        *parameters, logits = self.parameters(output)
        count = self.likelihood.call(tf.concat(parameters, axis=-1), size)
        return independent(ZeroInflatedDistribution(count.distribution, logits), len(logits.shape))

    def mean_size(self) -> tf.Tensor:
        return self.likelihood.mean_size()

    def size(self, x: tf.Tensor, observed: tf.Tensor | None = None) -> tf.Tensor | None:
        return self.likelihood.size(x, observed)

    def check(self, name: str, x: np.ndarray, observed: np.ndarray | None = None) -> None:
        self.likelihood.check(name, x, observed)

    def adapt_input(self, x: np.ndarray) -> np.ndarray:
        return self.likelihood.adapt_input(x)

    def adapt(self, moments: Moments) -> None:
        self.likelihood.adapt(moments)

    @property
    def adapted(self) -> bool:
        return self.likelihood.adapted

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"likelihood": keras.saving.serialize_keras_object(self.likelihood)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config | {"likelihood": keras.saving.deserialize_keras_object(config["likelihood"])})
