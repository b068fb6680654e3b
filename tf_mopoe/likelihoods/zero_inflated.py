"""A distribution of counts with one more probability of 0."""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


class ZeroInflatedDistribution(tfd.Distribution):
    """pi [x = 0] + (1 - pi) count(x), with pi = sigmoid(logits), for each variable.

    (`tfd.Inflated` reads its logits as half of these, and its density has minus infinity in it.)

    Args:
        count: tfd distribution of scalars.
        logits: of its batch shape.
    """

    def __init__(self, count: tfd.Distribution, logits: tf.Tensor, name: str = "ZeroInflated"):
        parameters = dict(locals())
        self.count, self.logits = count, logits
        super().__init__(
            dtype=count.dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    def _batch_shape(self):
        return self.count.batch_shape

    def _batch_shape_tensor(self):
        return self.count.batch_shape_tensor()

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.zeros([0], tf.int32)

    def _log_prob(self, x):
        counted = tf.math.log_sigmoid(-self.logits) + self.count.log_prob(x)
        zero = tf.reduce_logsumexp(
            tf.stack([tf.math.log_sigmoid(self.logits) + tf.zeros_like(counted), counted]), axis=0
        )
        return tf.where(tf.equal(x, 0.0), zero, counted)

    def _mean(self):
        return tf.sigmoid(-self.logits) * self.count.mean()

    def _variance(self):
        pi, mean = tf.sigmoid(self.logits), self.count.mean()
        return (1.0 - pi) * (self.count.variance() + pi * tf.square(mean))

    def _sample_n(self, n, seed=None):
        first, second = tfp.random.split_seed(seed, 2, salt="zero_inflated")
        x = self.count.sample(n, seed=first)
        u = tf.random.stateless_uniform(tf.shape(x), tf.cast(second, tf.int32))
        return tf.where(u < tf.sigmoid(self.logits), 0.0, x)
