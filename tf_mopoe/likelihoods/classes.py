"""Likelihoods of classes: Bernoulli and one-hot Categorical."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe.likelihoods.likelihood import Likelihood, independent

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Bernoulli(Likelihood):
    """Independent Bernoulli(logits) for every number of x, which lies in [0, 1].

    For x between 0 and 1 this is the usual cross-entropy, not a normalised density.
    """

    def check(self, name: str, x: np.ndarray, observed: np.ndarray | None = None) -> None:
        x = x if observed is None else x[observed]
        if x.size and not (x.min() >= 0.0 and x.max() <= 1.0):
            raise ValueError(
                f"`{name}` must be in [0, 1] (Bernoulli). Received: numbers from {x.min():g} to {x.max():g}"
            )

    def call(self, logits: tf.Tensor) -> tfd.Distribution:
        return independent(tfd.Bernoulli(logits=logits, dtype=tf.float32), len(logits.shape))


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Categorical(Likelihood):
    """A sequence of symbols: x is one-hot [..., T, C], the network's output the logits of the same shape.

    A single label per row is the same with x of shape [C]. Its dimension counts the positions T, not T * C. For integers in
    place of one-hot vectors, and for large vocabularies: `Tokens`.
    """

    def check(self, name: str, x: np.ndarray, observed: np.ndarray | None = None) -> None:
        x = x if observed is None else x[observed.all(axis=-1)]
        sums = x.sum(axis=-1)
        if x.size and not (x.min() >= 0.0 and abs(sums - 1.0).max() < 1e-3):
            raise ValueError(
                f"`{name}` must be one-hot along its last axis (Categorical). Received: numbers from {x.min():g}, with sums "
                f"from {sums.min():g} to {sums.max():g}"
            )

    def call(self, logits: tf.Tensor) -> tfd.Distribution:
        return independent(tfd.OneHotCategorical(logits=logits, dtype=tf.float32), len(logits.shape) - 1)

    def dimension(self, event_shape: Sequence[int]) -> int:
        return super().dimension(event_shape[:-1])
