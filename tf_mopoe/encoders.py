"""A modality's encoder: any Keras network, then the heads of a diagonal density."""

import keras
import tensorflow as tf

from tf_mopoe.checks import check_count
from tf_mopoe.families import FAMILIES, Normal, scale_of
from tf_mopoe.freezing import hand_down


@keras.saving.register_keras_serializable(package="tf_mopoe")
class GaussianEncoder(keras.layers.Layer):
    """Encodes x of one modality as an expert q(z | x) = N(loc, scale^2).

        features = flatten(network(x));   loc = dense(features);   scale = exp(bounded(dense(features)) / 2)

    The second head is the log-variance, as in Kingma & Welling 2014, appendix C.2, and grows with the logarithm only beyond
    +-14: scales stay finite and positive, and keep a gradient, for features of any size. All heads compute in float32
    whatever the dtype policy of the network.

    Args:
        network: Keras layer or model (functional, Sequential or subclassed): [B, ...] -> features [B, ...].
        latent_dim: D, the number of latent variables.
        private_dim: P, the number of private latent variables of this modality, from two more heads. Its decoder then
            takes [B, D + P]. Default 0: none.

    Call:
        x [B, ...] -> `tfd.MultivariateNormalDiag`, batch shape [B], event shape [D].
    """

    family = Normal

    def __init__(self, network, latent_dim, private_dim=0, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(f"`network` must be a Keras layer or model. Received: network={network!r}")
        self.network = network
        self.latent_dim = check_count("latent_dim", latent_dim)
        self.private_dim = check_count("private_dim", private_dim, low=0)
        self.loc_head = keras.layers.Dense(self.latent_dim, dtype="float32", name="loc")
        self.log_variance_head = keras.layers.Dense(self.latent_dim, dtype="float32", name="log_variance")
        if self.private_dim:
            self.private_loc_head = keras.layers.Dense(self.private_dim, dtype="float32", name="private_loc")
            self.private_log_variance_head = keras.layers.Dense(
                self.private_dim, dtype="float32", name="private_log_variance"
            )
        hand_down(self)

    def build(self, input_shape):
        """`input_shape`: shape of x with the batch axis, (None, ...), or {name: shape} of several inputs."""
        # One row of zeros builds any network, those without a build() of their own included.
        if isinstance(input_shape, dict):
            x = {name: tf.zeros([1, *shape[1:]]) for name, shape in input_shape.items()}
        else:
            x = tf.zeros([1, *input_shape[1:]])
        features = self.features(x, training=False)
        self.loc_head.build(features.shape)
        self.log_variance_head.build(features.shape)
        if self.private_dim:
            self.private_loc_head.build(features.shape)
            self.private_log_variance_head.build(features.shape)
        self.built = True

    def features(self, x, training=None):
        """The network's features of x, [B, F] float32."""
        features = self.network(x, training=training)
        features = tf.reshape(features, [-1, *flat_size(features.shape)])
        return tf.cast(features, tf.float32)

    def shared(self, features):
        """loc and scale [B, D] of the expert, of features [B, F]."""
        return self.loc_head(features), scale_of(self.log_variance_head(features))

    def private(self, features):
        """loc and scale [B, P] of the posterior of the private latent variables, of features [B, F]."""
        return self.private_loc_head(features), scale_of(self.private_log_variance_head(features))

    def posteriors(self, x, training=None):
        """(loc, scale) [B, D] of the expert, and (loc, scale) [B, P] of the private latent variables or ()."""
        features = self.features(x, training=training)
        return self.shared(features), self.private(features) if self.private_dim else ()

    def call(self, x, training=None):
        return self.family.distribution(*self.shared(self.features(x, training=training)))

    def compute_output_shape(self, input_shape):
        rows = next(iter(input_shape.values()))[0] if isinstance(input_shape, dict) else input_shape[0]
        return (rows, self.latent_dim)

    def get_config(self):
        return super().get_config() | {
            "network": keras.saving.serialize_keras_object(self.network),
            "latent_dim": self.latent_dim,
            "private_dim": self.private_dim,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config, network=keras.saving.deserialize_keras_object(config["network"]))
        return cls(**config)


@keras.saving.register_keras_serializable(package="tf_mopoe")
class LaplaceEncoder(GaussianEncoder):
    """As `GaussianEncoder`, but the expert is Laplace(loc, scale), for "mmvae" (Shi et al. 2019): it has no products.

    Call:
        x [B, ...] -> `tfd.Independent(tfd.Laplace)`, batch shape [B], event shape [D]. The prior of z is Laplace(0, 1).
    """

    family = FAMILIES["laplace"]


def flat_size(shape):
    if None in shape[1:]:
        raise ValueError(f"The encoder's network must give features of a known size. Received: shape {tuple(shape)}")
    return (int(shape[1:].num_elements()),)
