"""A `tfd.Mixture` that computes on the batched parameters of its components."""

import functools

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.internal import reparameterization

from tf_mopoe.streams import Stream

tfd = tfp.distributions


class BatchedMixture(tfd.Mixture):
    """The distribution of a `Mixture` of this library: density, samples and moments without a loop over components.

    Its `cat` and `components` are created on demand, one object per component.

    Args:
        mixture: `tf_mopoe.mixture.Mixture`.
    """

    def __init__(self, mixture):
        parameters = dict(locals())
        self._mixture = mixture
        self._num_components = mixture.num_components
        self._static_batch_shape = mixture.weights.shape[:1]
        self._static_event_shape = mixture.loc.shape[-1:]
        tfd.Distribution.__init__(
            self,
            dtype=tf.float32,
            reparameterization_type=reparameterization.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name="Mixture",
        )

    @functools.cached_property
    def _cat(self):
        return tfd.Categorical(probs=self._mixture.weights)

    @functools.cached_property
    def _components(self):
        return [self._mixture.component(number) for number in range(self._num_components)]

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {}

    def _batch_shape(self):
        return self._static_batch_shape

    def _batch_shape_tensor(self, **parameters):
        return tf.shape(self._mixture.weights)[:1]

    def _event_shape_tensor(self):
        return tf.shape(self._mixture.loc)[-1:]

    def _log_prob(self, x):
        return self._mixture.log_prob(tf.convert_to_tensor(x, tf.float32))

    def _sample_n(self, n, seed=None):
        stream = Stream(tfp.random.sanitize_seed(seed, salt="Mixture"))
        index = self._cat.sample(n, seed=stream.child("component").seed)  # [n, B]
        return self._mixture.sample_component(index, stream).z

    def _mean(self):
        return tf.einsum("bs,bsd->bd", self._mixture.weights, self._mixture.loc)

    def _variance(self):
        spread = self._mixture.family.variance(self._mixture.scale)
        spread += tf.square(self._mixture.loc - self._mean()[:, None])
        return tf.einsum("bs,bsd->bd", self._mixture.weights, spread)

    def _stddev(self):
        return tf.sqrt(self._variance())
