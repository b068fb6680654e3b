"""Likelihoods p(x | z): from a decoder network's output to a tfd distribution over one modality."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe.checks import is_number

tfd = tfp.distributions

__all__ = ["Bernoulli", "Categorical", "Laplace", "Likelihood", "Normal"]

LEARNED = "learned"


class Likelihood(keras.layers.Layer):
    """A layer: parameter [B, E] float32 -> tfd distribution with batch shape [B] and event shape E."""

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **{k: v for k, v in kwargs.items() if k != "dtype"})

    def dimension(self, event_shape):
        """How many variables x has, for `reconstruction_weights="dimension"`."""
        return int(tf.TensorShape(event_shape).num_elements())

    def check(self, name, x):
        """Raises a ValueError if rows x [N, E] of the modality are outside the support: here none are."""

    def stand_in(self, likelihood):
        """What stands in for a missing x: numbers of the support, [B, E]; the mean, or 0 where it is not finite."""
        mean = tf.stop_gradient(likelihood.mean())
        return tf.where(tf.math.is_finite(mean), mean, 0.0)


class LocationScale(Likelihood):
    """A density with the decoder's output as its mean and one scale for the whole modality."""

    def __init__(self, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        learned = isinstance(scale, str) and scale == LEARNED
        if not learned and not (is_number(scale) and scale > 0):
            raise ValueError(f'`scale` must be a positive number or "learned". Received: scale={scale!r}')
        self.scale = scale if learned else float(scale)

    def build(self, input_shape):
        if self.scale == LEARNED:
            # Its logarithm is learned, from 0 on: the scale begins at 1 and stays positive.
            self.log_scale = self.add_weight(name="log_scale", shape=(), initializer="zeros")
        self.built = True

    def scale_value(self):
        return tf.exp(tf.convert_to_tensor(self.log_scale)) if self.scale == LEARNED else float(self.scale)

    def get_config(self):
        return super().get_config() | {"scale": self.scale}


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Laplace(LocationScale):
    """Independent Laplace(mean, scale) for every number of x. The paper's choice for pictures, with scale 0.75.

    Args:
        scale: positive number in the units of x (default 1.0), or "learned": one weight for the modality, from 1 on.

    Raises:
        ValueError: if `scale` is anything else.
    """

    def call(self, mean):
        return tfd.Independent(tfd.Laplace(mean, self.scale_value()), reinterpreted_batch_ndims=len(mean.shape) - 1)


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Normal(LocationScale):
    """Independent Normal(mean, scale) for every number of x.

    Args:
        scale: positive number in the units of x (default 1.0), or "learned": one weight for the modality, from 1 on.

    Raises:
        ValueError: if `scale` is anything else.
    """

    def call(self, mean):
        return tfd.Independent(tfd.Normal(mean, self.scale_value()), reinterpreted_batch_ndims=len(mean.shape) - 1)


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Bernoulli(Likelihood):
    """Independent Bernoulli(logits) for every number of x, which lies in [0, 1].

    For x between 0 and 1 this is the usual cross-entropy, not a normalised density.
    """

    def check(self, name, x):
        if x.size and not (x.min() >= 0.0 and x.max() <= 1.0):
            raise ValueError(
                f"`{name}` must be in [0, 1] (Bernoulli). Received: numbers from {x.min():g} to {x.max():g}"
            )

    def call(self, logits):
        bernoulli = tfd.Bernoulli(logits=logits, dtype=tf.float32)
        return tfd.Independent(bernoulli, reinterpreted_batch_ndims=len(logits.shape) - 1)


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Categorical(Likelihood):
    """A sequence of symbols: x is one-hot [..., T, C], the network's output the logits of the same shape.

    A single label per row is the same with x of shape [C]. Its dimension counts the positions T, not T * C.
    """

    def check(self, name, x):
        sums = x.sum(axis=-1)
        if x.size and not (x.min() >= 0.0 and abs(sums - 1.0).max() < 1e-3):
            raise ValueError(
                f"`{name}` must be one-hot along its last axis (Categorical). Received: numbers from {x.min():g}, with sums "
                f"from {sums.min():g} to {sums.max():g}"
            )

    def call(self, logits):
        return tfd.Independent(tfd.OneHotCategorical(logits=logits), reinterpreted_batch_ndims=len(logits.shape) - 2)

    def dimension(self, event_shape):
        return super().dimension(event_shape[:-1])
