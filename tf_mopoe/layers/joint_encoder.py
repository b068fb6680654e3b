"""A joint posterior that a network reads from all modalities at once (JMVAE, TELBO)."""

import keras
import tensorflow as tf

from tf_mopoe.components import Components
from tf_mopoe.densities import loc_and_scale
from tf_mopoe.freezing import hand_down
from tf_mopoe.layers.gaussian_encoder import GaussianEncoder
from tf_mopoe.layers.mixture_of_products import MixtureOfProducts


@keras.saving.register_keras_serializable(package="tf_mopoe")
class JointEncoder(MixtureOfProducts):
    """q(z | X) = N(loc(X), scale(X)^2), by a network that takes all modalities; an alternative to `MixtureOfProducts`.

    Rows with all modalities have its distribution; the others have the product of the experts they have, without prior.
    The network computes the others too, with zeros in place of what is missing, and its result is not used for them: they
    add nothing to a gradient, but a layer whose rows see each other in training (batch normalisation) sees those zeros. In
    a call that lacks a whole modality the network does not run. Reference: Suzuki et al. 2016 (JMVAE).

    Args:
        network: Keras model: {name: x [B, E]} -> features [B, ...], such as `networks.joint_encoder(...)`.
        latent_dim: D, that of the model's encoders.
    """

    reads_inputs = True

    def __init__(self, network, latent_dim, modalities=None, **kwargs):
        super().__init__("full", "none", modalities=modalities, **kwargs)
        self.encoder = GaussianEncoder(network, latent_dim)
        hand_down(self)

    def check_latent_dim(self, latent_dim):
        if self.encoder.latent_dim != latent_dim:
            raise ValueError(
                f"`joint_posterior` must have the latent_dim of the encoders, {latent_dim}. "
                f"Received: JointEncoder(network, {self.encoder.latent_dim})"
            )

    def build_for(self, event_shapes):
        """Builds the network for modalities of these shapes {name: E}, all of them."""
        if self.encoder.built:  # it may serve a second model of the same modalities
            return
        features = self.encoder.features({name: tf.zeros([1, *shape]) for name, shape in event_shapes.items()})
        self.encoder.loc_head.build(features.shape)
        self.encoder.log_variance_head.build(features.shape)
        self.encoder.built = True
        self.build()

    def components(self, experts, available=None, x=None, seed=None, training=False):
        return self.whole(experts, available, x, training)

    def whole(self, experts, available=None, x=None, training=False):
        product = super().whole(experts, available)
        if not x or set(experts) != set(self.modalities):
            return product
        features = self.encoder.features({name: x[name] for name in self.modalities}, training=training)
        joint_loc, joint_scale = loc_and_scale(self.encoder.shared(features))
        names = [name for name in self.modalities if name in (available or {})]
        complete = tf.ones(tf.shape(joint_loc)[:1], tf.bool)
        for name in names:
            complete &= available[name]
        chosen = complete[:, None, None]
        loc = tf.where(chosen, joint_loc[:, None], product.loc)
        return Components(product.weights, loc, tf.where(chosen, joint_scale[:, None], product.scale))

    def get_config(self):
        config = keras.layers.Layer.get_config(self)
        network = keras.saving.serialize_keras_object(self.encoder.network)
        return config | {"network": network, "latent_dim": self.encoder.latent_dim, "modalities": self.modalities}

    @classmethod
    def from_config(cls, config):
        return cls(**config | {"network": keras.saving.deserialize_keras_object(config["network"])})
