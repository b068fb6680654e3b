"""Logits over a large vocabulary, [N, V], a part of the positions at a time: they are never there all at once."""

import tensorflow as tf

LOGITS = 2**22  # at once: 16 MB in float32; 2**24 takes more memory and is no faster


def map_parts(function, values, row_shapes, sum_shapes, vocabulary_size):
    """Run a function on equal parts of the positions, one after the other.

    Args:
        function: (number of the part, parts [n, ...] of the values) -> (tensors [n, ...], tensors to add up).
        values: tensors [N, ...]. The last part is filled up with zeros.
        row_shapes: [(static shape less the first axis, dtype)] of the first that the function returns.
        sum_shapes: [static shape] of the second, float32.
        vocabulary_size: V; parts have n <= max(1, LOGITS / V) positions.

    Returns:
        tensors [N, ...] and the sums.
    """
    rows = tf.shape(values[0])[0]
    most = max(LOGITS // vocabulary_size, 1)
    count = tf.maximum((rows + most - 1) // most, 1)
    size = (rows + count - 1) // count

    def split(value):
        value = tf.pad(value, [[0, count * size - rows]] + [[0, 0]] * (len(value.shape) - 1))
        return tf.reshape(value, [count, size, *value.shape[1:]])

    parts = [split(value) for value in values]

    def body(number, results, sums):
        of_rows, of_sums = function(number, *(tf.gather(part, number) for part in parts))
        of_rows = [tf.tensor_scatter_nd_update(all_, [[number]], one[None]) for all_, one in zip(results, of_rows)]
        return number + 1, of_rows, [total + one for total, one in zip(sums, of_sums)]

    results = [tf.zeros([count, size, *shape], dtype) for shape, dtype in row_shapes]
    sums = [tf.zeros(shape) for shape in sum_shapes]
    _, results, sums = tf.while_loop(
        lambda number, *_: number < count, body, (tf.constant(0), results, sums), parallel_iterations=1
    )
    return [tf.reshape(result, [-1, *result.shape[2:]])[:rows] for result in results], sums


@tf.custom_gradient
def log_probs(features, kernel, bias, tokens):
    """Compute the log-probability of each token, [N]; the gradient computes the logits once more.

    Args:
        features: float32 [N, F].
        kernel, bias: [F, V] and [V]: the logits are features @ kernel + bias.
        tokens: int32 [N], in [0, V).
    """
    size = kernel.shape[1]

    def forward(_, features, tokens):
        logits = tf.matmul(features, kernel) + bias
        log_total = tf.reduce_logsumexp(logits, axis=-1)
        return (tf.gather(logits, tokens, batch_dims=1) - log_total, log_total), ()

    shapes = [((), tf.float32)] * 2
    (values, log_total), _ = map_parts(forward, (features, tokens), shapes, (), size)

    def gradient(upstream):
        def backward(_, features, tokens, log_total, upstream):
            logits = tf.matmul(features, kernel) + bias
            of_logits = -upstream[:, None] * tf.exp(logits - log_total[:, None])
            index = tf.stack([tf.range(tf.shape(tokens)[0]), tokens], axis=1)
            of_logits = tf.tensor_scatter_nd_add(of_logits, index, upstream)
            of_features = tf.matmul(of_logits, kernel, transpose_b=True)
            return (of_features,), (
                tf.matmul(features, of_logits, transpose_a=True),
                tf.reduce_sum(of_logits, axis=0),
            )

        values = (features, tokens, log_total, upstream)
        shapes = [(features.shape[1:], tf.float32)]
        (of_features,), (of_kernel, of_bias) = map_parts(backward, values, shapes, (kernel.shape, bias.shape), size)
        return of_features, of_kernel, of_bias, None

    return values, gradient


def likeliest(features, kernel, bias):
    """Return the token of the largest logit, int32 [N]."""

    def function(_, features):
        return (tf.argmax(tf.matmul(features, kernel) + bias, axis=-1, output_type=tf.int32),), ()

    (tokens,), _ = map_parts(function, (features,), [((), tf.int32)], (), kernel.shape[1])
    return tokens


def draw(features, kernel, bias, num_samples, seed):
    """Draw tokens, int32 [N, num_samples]; `seed`: int32 [2]."""

    def function(number, features):
        logits = tf.matmul(features, kernel) + bias
        own = tf.random.experimental.stateless_fold_in(seed, number)
        return (tf.random.stateless_categorical(logits, num_samples, own, dtype=tf.int32),), ()

    (tokens,), _ = map_parts(function, (features,), [((num_samples,), tf.int32)], (), kernel.shape[1])
    return tokens
