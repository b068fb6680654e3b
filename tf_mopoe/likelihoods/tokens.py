"""A likelihood of sequences of tokens, integers, for vocabularies of any size."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe.checks import check_count, is_integer
from tf_mopoe.likelihoods import vocabulary
from tf_mopoe.likelihoods.likelihood import Likelihood, independent

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Tokens(Likelihood):
    """A sequence of tokens: x is int32 [B, T], each token from 0 to V - 1.

    The network gives features [B, T, F]; the logits are features @ kernel + bias, [B, T, V], with weights of its own.
    They are formed for a part of the positions at a time, and again in the gradient, so that they are never all in memory.
    Given the features, the positions are independent. What is reported as its mean is the likeliest token of each position.

    Args:
        vocabulary_size: V, 2 or more.
        padding: a token; positions of x that hold it do not count. Default: None, all count. Where a text ends is then
            modelled by a token for the end, if the data have one.
        num_features: F, for `Decoder(..., event_shape=T)`, whose own head computes the features. Default 64.

    Raises:
        ValueError: for any other `vocabulary_size`, `padding` or `num_features`; when it is built, for a network whose
            output is not [B, T, F].
    """

    x_dtype = "int32"

    def __init__(self, vocabulary_size: int, padding: int | None = None, num_features: int = 64, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = check_count("vocabulary_size", vocabulary_size, low=2)
        if padding is not None and not (is_integer(padding, low=0) and padding < self.vocabulary_size):
            raise ValueError(
                f"`padding` must be from 0 to {self.vocabulary_size - 1}, or None. Received: padding={padding!r}"
            )
        self.padding = None if padding is None else int(padding)
        self.num_features = check_count("num_features", num_features)

    def event_shape(self, output_shape: Sequence[int]) -> tuple[int, ...]:
        if len(output_shape) < 2:
            raise ValueError(
                "The network of a Tokens likelihood must give features of each position, [rows, T, F]. "
                f"Received: output shape {tuple(output_shape)}"
            )
        return tuple(output_shape[:-1])

    def output_shape(self, event_shape: Sequence[int]) -> tuple[int, ...]:
        return (*event_shape, self.num_features)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """`input_shape`: (None, T, F)."""
        self.event_shape(input_shape[1:])
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.vocabulary_size), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(name="bias", shape=(self.vocabulary_size,), initializer="zeros")
        self.built = True

    def call(self, features: tf.Tensor) -> tfd.Distribution:
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        return independent(Token(features, kernel, bias, self.padding), len(features.shape) - 1)

    def mean(self, distribution: tfd.Distribution) -> tf.Tensor:
        """Return the likeliest token of each position, int32 [B, T]."""
        return distribution.mode()

    def stand_in(self, distribution: tfd.Distribution) -> tf.Tensor:
        return tf.zeros(distribution.batch_shape_tensor()[:1], tf.int32)[:, None]

    def check(self, name: str, x: np.ndarray, observed: np.ndarray | None = None) -> None:
        x = x if observed is None else x[observed]
        if x.size and not (x.min() >= 0 and x.max() < self.vocabulary_size and np.array_equal(x, np.round(x))):
            received = x[(x < 0) | (x >= self.vocabulary_size) | (x != np.round(x))][0]
            raise ValueError(
                f"`{name}` must hold integers from 0 to {self.vocabulary_size - 1} (Tokens). "
                f"Received: {received:g}, for example"
            )

    def get_config(self) -> dict[str, Any]:
        names = ("vocabulary_size", "padding", "num_features")
        return super().get_config() | {name: getattr(self, name) for name in names}


class Token(tfd.Distribution):
    """One token for each of [B, T] positions, with logits features @ kernel + bias.

    The log-probability of `padding` is 0: such a position does not count.

    Args:
        features: float32 [B, T, F].
        kernel, bias: [F, V] and [V].
        padding: a token, or None.
    """

    def __init__(
        self, features: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, padding: int | None = None, name: str = "Token"
    ):
        parameters = dict(locals())
        self.features, self.kernel, self.bias, self.padding = features, kernel, bias, padding
        super().__init__(
            dtype=tf.int32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    def _batch_shape(self):
        return self.features.shape[:-1]

    def _batch_shape_tensor(self):
        return tf.shape(self.features)[:-1]

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.zeros([0], tf.int32)

    def _log_prob(self, x):
        x = tf.cast(x, tf.int32)
        shape = tf.shape(x)
        features = self.features
        if len(x.shape) > len(features.shape) - 1:  # several x for each position
            features = tf.broadcast_to(features, tf.concat([shape, tf.shape(features)[-1:]], axis=0))
        flat = tf.reshape(features, [-1, self.features.shape[-1]])
        log_probs = vocabulary.log_probs(flat, self.kernel, self.bias, tf.reshape(x, [-1]))
        log_probs = tf.ensure_shape(tf.reshape(log_probs, shape), x.shape)
        return log_probs if self.padding is None else tf.where(tf.equal(x, self.padding), 0.0, log_probs)

    def _mode(self):
        tokens = vocabulary.likeliest(self._flat(), self.kernel, self.bias)
        return self._of_positions(tokens)

    def _sample_n(self, n, seed=None):
        seed = tfp.random.sanitize_seed(seed, salt="token")
        n = tf.get_static_value(n) if tf.get_static_value(n) is not None else n
        tokens = vocabulary.draw(self._flat(), self.kernel, self.bias, n, seed)
        shape = tf.concat([[n], self._batch_shape_tensor()], axis=0)
        return tf.reshape(tf.transpose(tokens), shape)

    def _flat(self):
        return tf.reshape(self.features, [-1, self.features.shape[-1]])

    def _of_positions(self, values):
        return tf.ensure_shape(tf.reshape(values, self._batch_shape_tensor()), self._batch_shape())
