"""A joint posterior that a network reads from all modalities at once (JMVAE, TELBO)."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import tensorflow as tf

from tf_mopoe.encoders import GaussianEncoder
from tf_mopoe.experts import Experts
from tf_mopoe.families import Normal
from tf_mopoe.freezing import hand_down
from tf_mopoe.mixture import Mixture
from tf_mopoe.pooling.product import Product
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior


@keras.saving.register_keras_serializable(package="tf_mopoe")
class JointEncoder(JointPosterior):
    """q(z | X) = N(loc(X), scale(X)^2), by a network that takes all modalities; an alternative to `MixtureOfProducts`.

    Used for rows with all modalities; other rows fall back to the product of their available experts, without prior, and
    never reach the network. Reference: Suzuki et al. 2016 (JMVAE).

    Args:
        network: Keras model: {name: x [B, E]} -> features [B, ...], such as `networks.joint_encoder(...)`.
        latent_dim: D, that of the model's encoders.
    """

    reads_inputs = True
    is_one_gaussian = True

    def __init__(self, network: keras.Model, latent_dim: int, modalities: Sequence[str] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.encoder = GaussianEncoder(network, latent_dim)
        self.pooling = Product("none")
        self.bind(modalities)
        hand_down(self)

    def check(self, modalities: Sequence[str], family: type, latent_dim: int | None) -> None:
        if latent_dim is not None and self.encoder.latent_dim != latent_dim:
            raise ValueError(
                f"`joint_posterior` must have the latent_dim of the encoders, {latent_dim}. "
                f"Received: JointEncoder(network, {self.encoder.latent_dim})"
            )
        if family is not Normal and len(modalities) > 1:
            raise ValueError(f"A JointEncoder needs normal experts. Received: {family.name} ones")

    def build_for(self, event_shapes: Mapping[str, Sequence[int]], latent_dim: int) -> None:
        if not self.encoder.built:  # it may serve a second model of the same modalities
            self.encoder.build({name: (None, *shape) for name, shape in event_shapes.items()})
        self.pooling.build_for(self.modalities, latent_dim)
        self.build()

    def joint(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        return self.pool(experts, q)

    def maximal_components(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        return self.pool(experts, q)

    def pool(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        rows = tf.shape(experts.loc)[0]
        product = self.pooling.mixture(experts, tf.ones([1, len(experts.names)]), tf.ones([rows, 1]))
        if (
            q is None
            or set(experts.names) != set(self.modalities)
            or set(q.batch.network_inputs) != set(self.modalities)
        ):
            return product

        def network(x, _):
            return self.encoder.shared(self.encoder.features(x, training=q.training))

        nothing = tf.zeros([0, self.encoder.latent_dim])
        x = {name: q.batch.network_inputs[name] for name in self.modalities}
        (loc, scale), loss = q.batch.on_available(self.modalities, self.encoder, network, x, (nothing, nothing))
        q.losses.append(loss)
        complete = tf.reduce_all(experts.available, axis=1)[:, None, None]
        loc = tf.where(complete, loc[:, None], product.loc)
        scale = tf.where(complete, tf.where(complete, scale[:, None], 1.0), product.scale)
        return Mixture(product.weights, loc, scale, experts.family, experts.names)

    def get_config(self) -> dict[str, Any]:
        network = keras.saving.serialize_keras_object(self.encoder.network)
        return super().get_config() | {"network": network, "latent_dim": self.encoder.latent_dim}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config | {"network": keras.saving.deserialize_keras_object(config["network"])})
