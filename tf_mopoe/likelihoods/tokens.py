"""A likelihood of tokens, integers of a vocabulary that may be large: no tensor of all logits is formed."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe.checks import check_count, check_integer
from tf_mopoe.likelihoods.likelihood import Likelihood

tfd = tfp.distributions

LOGITS = 2**22  # at a time, 16 MB


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Tokens(Likelihood):
    """A categorical distribution of the vocabulary at every position: x is integers [B, T], in place of one-hot vectors.

    The network gives features [B, T, F], and this layer the logits, features @ kernel + bias. It takes some positions at a
    time, and computes their logits again for the gradient, so that memory does not grow with B * T * V. What is reported
    is the likeliest token of each position, int32.

    Args:
        vocabulary_size: V.
        padding: id of the token that fills up short rows; its positions do not count in log p(x | z). Default None: all
            count.
        num_features: F of `Decoder(..., event_shape=T)`, whose own head makes the features. Default 64.

    Raises:
        ValueError: for a `padding` outside the vocabulary, or other arguments that are no positive integers.
    """

    x_dtype = "int32"

    def __init__(self, vocabulary_size, padding=None, num_features=64, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = check_count("vocabulary_size", vocabulary_size, low=2)
        self.padding = None if padding is None else check_integer("padding", padding)
        if self.padding is not None and not 0 <= self.padding < self.vocabulary_size:
            raise ValueError(
                f"`padding` must be from 0 to {vocabulary_size - 1}, or None. Received: padding={padding!r}"
            )
        self.num_features = check_count("num_features", num_features)

    def event_shape(self, output_shape):
        if len(output_shape) != 2:
            raise ValueError(
                f"The network of a Tokens likelihood must give features [B, T, F]. Received: output shape {output_shape}"
            )
        return tuple(output_shape[:1])

    def output_shape(self, event_shape):
        if len(event_shape) != 1:
            raise ValueError(f"`event_shape` of a Tokens likelihood must be one number, T. Received: {event_shape}")
        return (*event_shape, self.num_features)

    def build(self, input_shape):
        """`input_shape`: (None, T, F)."""
        shape = (input_shape[-1], self.vocabulary_size)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=shape[1:], initializer="zeros")
        self.built = True

    def call(self, features):
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        return TokensDistribution(features, kernel, bias, self.padding)

    def mean(self, distribution):
        return distribution.mode()

    def stand_in(self, distribution):
        return tf.zeros(tf.shape(distribution.features)[:-1], tf.int32)

    def check(self, name, x, observed=None):
        if x.dtype.kind not in "iu" and not np.array_equal(x, np.round(x)):
            raise ValueError(f"`{name}` must hold integers (Tokens). Received: {x[x != np.round(x)][0]:g}, for example")
        if x.size and not (x.min() >= 0 and x.max() < self.vocabulary_size):
            raise ValueError(
                f"`{name}` must hold integers from 0 to {self.vocabulary_size - 1} (Tokens). "
                f"Received: numbers from {x.min():g} to {x.max():g}"
            )

    def get_config(self):
        names = ("vocabulary_size", "padding", "num_features")
        return super().get_config() | {name: getattr(self, name) for name in names}


class TokensDistribution(tfd.Distribution):
    """Independent categorical distributions at T positions, from features: batch shape [B], event shape [T], int32.

    Args:
        features: [B, T, F].
        kernel: [F, V].
        bias: [V].
        padding: id whose positions have log-probability 0, or None.
    """

    def __init__(self, features, kernel, bias, padding=None, name="Tokens"):
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
        return self.features.shape[:-2]

    def _batch_shape_tensor(self):
        return tf.shape(self.features)[:-2]

    def _event_shape(self):
        return self.features.shape[-2:-1]

    def _event_shape_tensor(self):
        return tf.shape(self.features)[-2:-1]

    def _log_prob(self, x):
        x = tf.cast(x, tf.int32)
        features = tf.broadcast_to(self.features, tf.concat([tf.shape(x), tf.shape(self.features)[-1:]], axis=0))
        flat = tf.reshape(features, [-1, self.features.shape[-1]])
        log_probs = tf.reshape(token_log_probs(flat, self.kernel, self.bias, tf.reshape(x, [-1])), tf.shape(x))
        if self.padding is not None:
            log_probs = tf.where(tf.equal(x, self.padding), 0.0, log_probs)
        return tf.ensure_shape(tf.reduce_sum(log_probs, axis=-1), x.shape[:-1])

    def _mode(self):
        return self.by_parts(lambda logits, _: tf.argmax(logits, axis=-1, output_type=tf.int32), ())

    def _sample_n(self, n, seed=None):
        seed = tf.cast(seed, tf.int32)

        def draw(logits, number):
            own = tf.stack([seed[0], seed[1] + number])
            return tf.random.stateless_categorical(logits, n, own, dtype=tf.int32)

        drawn = self.by_parts(draw, (n,))  # [B, T, n]
        return tf.transpose(drawn, [2, 0, 1])

    def by_parts(self, function, more):
        """`function(logits [P, V], number of the part)` -> int32 [P, *more], of all positions: [B, T, *more]."""
        flat = tf.reshape(self.features, [-1, self.features.shape[-1]])
        parts, count = in_parts(flat, self.bias.shape[0])
        numbers = tf.range(tf.shape(parts)[0])
        made = tf.map_fn(
            lambda part: function(part[0] @ self.kernel + self.bias, part[1]),
            (parts, numbers),
            fn_output_signature=tf.int32,
            parallel_iterations=1,
        )
        made = tf.reshape(made, tf.concat([[-1], [*more]], axis=0))[:count]
        shape = tf.shape(self.features)[:-1]
        made = tf.reshape(made, tf.concat([shape, [*more]], axis=0))
        return made if more else tf.ensure_shape(made, self.features.shape[:-1])


def in_parts(values, vocabulary_size):
    """Rows [N, ...] as parts [n, P, ...], the last filled up with zeros, of at most LOGITS logits each; and N."""
    count = tf.shape(values)[0]
    size = tf.minimum(max(LOGITS // vocabulary_size, 1), tf.maximum(count, 1))
    size = (values.shape[0] and max(min(LOGITS // vocabulary_size, values.shape[0]), 1)) or size  # static, if it can be
    filled = tf.math.floormod(-count, size)
    values = tf.pad(values, [[0, filled]] + [[0, 0]] * (len(values.shape) - 1))
    return tf.reshape(values, tf.concat([[-1, size], tf.shape(values)[1:]], axis=0)), count


@tf.custom_gradient
def token_log_probs(features, kernel, bias, ids):
    """log softmax(features @ kernel + bias)[ids]: [N, F], [F, V], [V], int32 [N] -> [N]."""
    size = kernel.shape[1]
    (feature_parts, count), (id_parts, _) = in_parts(features, size), in_parts(ids, size)

    def forward(part):
        logits = part[0] @ kernel + bias
        return tf.gather(logits, part[1], batch_dims=1) - tf.reduce_logsumexp(logits, axis=-1)

    log_probs = tf.map_fn(forward, (feature_parts, id_parts), fn_output_signature=tf.float32, parallel_iterations=1)

    def gradient(upstream):
        weights, _ = in_parts(upstream, size)

        def backward(total, part):
            rows, chosen, weight = part
            _, kernel_sum, bias_sum = total
            minus = -weight[:, None] * tf.nn.softmax(rows @ kernel + bias)
            index = tf.stack([tf.range(tf.shape(rows)[0]), chosen], axis=1)
            of_logits = tf.tensor_scatter_nd_add(minus, index, weight)
            kernel_sum += tf.matmul(rows, of_logits, transpose_a=True)
            return tf.matmul(of_logits, kernel, transpose_b=True), kernel_sum, bias_sum + tf.reduce_sum(of_logits, 0)

        return backward_over(backward, (feature_parts, id_parts, weights), kernel, bias, count)

    return tf.reshape(log_probs, [-1])[:count], gradient


def backward_over(backward, parts, kernel, bias, count):
    """Gradients of `token_log_probs`, part by part; those of kernel and bias are summed on the way."""
    number_of_parts = tf.shape(parts[0])[0]
    of_features = tf.TensorArray(tf.float32, number_of_parts)

    def body(number, of_features, kernel_sum, bias_sum):
        rows, kernel_sum, bias_sum = backward((None, kernel_sum, bias_sum), [part[number] for part in parts])
        return number + 1, of_features.write(number, rows), kernel_sum, bias_sum

    start = (0, of_features, tf.zeros_like(kernel), tf.zeros_like(bias))
    _, of_features, kernel_sum, bias_sum = tf.while_loop(
        lambda number, *_: number < number_of_parts, body, start, parallel_iterations=1
    )
    rows = tf.reshape(of_features.stack(), [-1, kernel.shape[0]])[:count]
    return rows, kernel_sum, bias_sum, None
