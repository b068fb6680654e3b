"""A modality's decoder: any Keras network, then a likelihood."""

import contextlib

import keras
import tensorflow as tf

from tf_mopoe import likelihoods
from tf_mopoe.freezing import hand_down


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Decoder(keras.layers.Layer):
    """Decodes z as the likelihood p(x | z) of one modality.

    Args:
        network: Keras layer or model: z [B, D] -> the likelihood's parameter in the modality's shape (the mean for
            Laplace and Normal, logits for Bernoulli and Categorical).
        likelihood: one of `tf_mopoe.likelihoods`.

    Call:
        z [B, D] -> tfd distribution, batch shape [B], event shape E = that of the modality. Float32 whatever the dtype
        policy of the network. With private latent variables (`GaussianEncoder(private_dim=P)`) z is [B, D + P].
    """

    def __init__(self, network, likelihood, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(f"`network` must be a Keras layer or model. Received: network={network!r}")
        if not isinstance(likelihood, likelihoods.Likelihood):
            raise ValueError(
                f"`likelihood` must be one of tf_mopoe.likelihoods, such as Normal(1.0). Received: {likelihood!r}"
            )
        self.network = network
        self.likelihood = likelihood
        self.event_shape = None
        hand_down(self)

    def build(self, input_shape):
        """`input_shape`: (None, D)."""
        self.event_shape = tuple(self.network(tf.zeros([1, *input_shape[1:]]), training=False).shape[1:])
        if not self.likelihood.built:  # a loaded one has its weights
            self.likelihood.build((None, *self.event_shape))
        self.built = True

    def call(self, z, training=None):
        return self.likelihood(tf.cast(self.network(z, training=training), tf.float32))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.event_shape)

    def get_config(self):
        return super().get_config() | {
            "network": keras.saving.serialize_keras_object(self.network),
            "likelihood": keras.saving.serialize_keras_object(self.likelihood),
        }

    @classmethod
    def from_config(cls, config):
        parts = ("network", "likelihood")
        return cls(**config | {part: keras.saving.deserialize_keras_object(config[part]) for part in parts})


@contextlib.contextmanager
def stop_gradient_to(layer, frozen=True):
    """A scope; if `frozen`, what the layer computes there gives no gradient to its weights and changes none of its state."""
    if not frozen:
        yield
        return
    values = [(variable, tf.stop_gradient(variable.value)) for variable in layer.trainable_variables]
    with keras.StatelessScope(state_mapping=values, collect_losses=True):
        yield
