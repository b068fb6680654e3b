"""A modality's encoder: any Keras network, then the two heads of a diagonal Gaussian."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="tf_mopoe")
class GaussianEncoder(keras.layers.Layer):
    """Encodes x of one modality as an expert q(z | x) = N(loc, scale^2).

        features = flatten(network(x));   loc = dense(features);   scale = exp(dense(features) / 2)

    The second head is the log-variance, as in Kingma & Welling 2014, appendix C.2. Both heads compute in float32
    whatever the dtype policy of the network.

    Args:
        network: Keras layer or model (functional, Sequential or subclassed): [B, ...] -> features [B, ...].
        latent_dim: D, the number of latent variables.

    Call:
        x [B, ...] -> `tfd.MultivariateNormalDiag`, batch shape [B], event shape [D].
    """

    def __init__(self, network, latent_dim, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(f"`network` must be a Keras layer or model. Received: network={network!r}")
        if not isinstance(latent_dim, int) or latent_dim < 1:
            raise ValueError(f"`latent_dim` must be a positive integer. Received: latent_dim={latent_dim!r}")
        self.network = network
        self.latent_dim = latent_dim
        self.loc_head = keras.layers.Dense(latent_dim, dtype="float32", name="loc")
        self.log_variance_head = keras.layers.Dense(latent_dim, dtype="float32", name="log_variance")

    def build(self, input_shape):
        """`input_shape`: shape of x with the batch axis, (None, ...)."""
        # One row of zeros builds any network, those without a build() of their own included.
        features = self.features(tf.zeros([1, *input_shape[1:]]), training=False)
        self.loc_head.build(features.shape)
        self.log_variance_head.build(features.shape)
        self.built = True

    def features(self, x, training=None):
        features = self.network(x, training=training)
        features = tf.reshape(features, [-1, *flat_size(features.shape)])
        return tf.cast(features, tf.float32)

    def call(self, x, training=None):
        features = self.features(x, training=training)
        scale = tf.exp(0.5 * self.log_variance_head(features))
        return tfd.MultivariateNormalDiag(self.loc_head(features), scale)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.latent_dim)

    def get_config(self):
        return super().get_config() | {
            "network": keras.saving.serialize_keras_object(self.network),
            "latent_dim": self.latent_dim,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config, network=keras.saving.deserialize_keras_object(config["network"]))
        return cls(**config)


def flat_size(shape):
    if None in shape[1:]:
        raise ValueError(f"The encoder's network must give features of a known size. Received: shape {tuple(shape)}")
    return (int(shape[1:].num_elements()),)
