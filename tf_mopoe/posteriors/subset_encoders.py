"""A joint posterior with a separate network for every subset, which MoPoE's products approximate."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import tensorflow as tf

from tf_mopoe.batch import Batch
from tf_mopoe.encoders import GaussianEncoder
from tf_mopoe.experts import Experts, masked
from tf_mopoe.families import Normal
from tf_mopoe.freezing import hand_down
from tf_mopoe.mixture import Mixture
from tf_mopoe.pooling.product import Product
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.subsets import as_subset, component_weights, membership_matrix, subset_names

MOST = 5  # modalities


@keras.saving.register_keras_serializable(package="tf_mopoe")
class SubsetEncoders(JointPosterior):
    """q(z | X) = sum{ w[s] * N( loc[s](x[s]), scale[s](x[s])^2 ) : s }, over all subsets s, by a network for each.

    The 2^M - 1 networks that products of experts spare (Sutter et al., ICLR 2021): a yardstick for few modalities. The
    posterior of one modality is its encoder's expert; those of the others are the networks given here. The weights are equal
    over the subsets that a row can form, and a network sees the rows that have all of its modalities. The posterior of all
    that a row has is that of the network of exactly these; of a row that has nothing N(0, I). Without inputs, from experts
    alone, it is the product of the experts.

    Args:
        networks: {names: Keras model {name: x [B, E]} -> features [B, ...]}, for each subset of two or more of the model's
            modalities, a tuple of names; such as `networks.joint_encoder(...)`.
        latent_dim: D, that of the model's encoders.

    Raises:
        ValueError: for more than 5 modalities, or networks of other subsets; in the model, for another latent size or
            experts that are not normal.
    """

    reads_inputs = True

    def __init__(
        self,
        networks: Mapping[tuple[str, ...], keras.Model],
        latent_dim: int,
        modalities: Sequence[str] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(networks, dict):
            raise ValueError(f"`networks` must be a dict by subset, a tuple of names. Received: networks={networks!r}")
        self.subsets_read = [as_subset(subset) for subset in networks]
        self.encoders = [GaussianEncoder(network, latent_dim) for network in networks.values()]
        self.latent_dim = latent_dim
        self.pooling = Product("none")
        self.bind(modalities)
        hand_down(self)

    def check(self, modalities: Sequence[str], family: type, latent_dim: int | None) -> None:
        wanted = [subset for subset in subset_names("powerset", modalities) if len(subset) > 1]
        given = sorted(map(sorted, self.subsets_read))
        if len(modalities) > MOST or given != sorted(map(sorted, wanted)):
            raise ValueError(
                f"`networks` must have one for each subset of two or more of at most {MOST} modalities, here of "
                f"{list(modalities)}. Received: networks of {self.subsets_read}"
            )
        if latent_dim not in (None, self.latent_dim):
            raise ValueError(
                f"`latent_dim` must be that of the encoders, {latent_dim}. Received: latent_dim={self.latent_dim}"
            )
        if family is not Normal:
            raise ValueError(f"SubsetEncoders need normal experts. Received: {family.name} ones")

    def build_for(self, event_shapes: Mapping[str, Sequence[int]], latent_dim: int) -> None:
        for subset, encoder in zip(self.subsets_read, self.encoders):
            if not encoder.built:
                encoder.build({name: (None, *event_shapes[name]) for name in subset})
        self.pooling.build_for(self.modalities, latent_dim)
        self.build()

    def available_subsets(self, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        return subset_names("powerset", names)

    def joint(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        subsets = self.available_subsets(experts.names)
        membership = tf.constant(membership_matrix(subsets, experts.names))
        weights, _ = component_weights(membership, experts.available)
        if q is None:
            return self.pooling.mixture(experts, membership, weights)
        parts = [self.read(subset, experts, q, q.batch) for subset in subsets]
        loc, scale = (tf.stack(part, axis=1) for part in zip(*parts))
        scale = tf.where(scale > 0.0, scale, 1.0)
        return Mixture(weights, loc, scale, Normal, experts.names, membership)

    def maximal_components(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        return self.pool(experts, q)

    def pool(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        names = experts.names
        weights = tf.ones([tf.shape(experts.loc)[0], 1])
        if q is None:
            return self.pooling.mixture(experts, tf.ones([1, len(names)]), weights)
        subsets = (names,) if set(names) <= q.batch.complete else self.available_subsets(names)
        loc = scale = 0.0
        for subset in subsets:
            flags = [q.batch.available[name] == (name in subset) for name in names]
            exactly = tf.reduce_all(tf.stack(flags, axis=1), axis=1)
            batch = q.batch
            if len(subsets) > 1:
                batch = batch._replace(available=dict.fromkeys(subset, exactly), complete=frozenset())
            own_loc, own_scale = self.read(subset, experts, q, batch)
            loc += tf.where(exactly[:, None], own_loc, 0.0)
            scale += tf.where(exactly[:, None], own_scale, 0.0)
        scale = tf.where(scale > 0.0, scale, 1.0)
        return Mixture(weights, loc[:, None], scale[:, None], Normal, names)

    def read(
        self, subset: Sequence[str], experts: Experts, q: Posterior | None, batch: Batch | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return loc and scale [B, D] of a subset, in the batch's rows that have it; else scale 0 or those of N(0, I)."""
        if len(subset) == 1:
            return tuple(part[:, experts.names.index(subset[0])] for part in masked(experts))
        encoder = next(e for e, names in zip(self.encoders, self.subsets_read) if set(names) == set(subset))

        def network(x, _):
            return encoder.shared(encoder.features(x, training=q.training))

        nothing = tf.zeros([0, self.latent_dim])
        x = {name: q.batch.network_inputs[name] for name in subset}
        parts, loss = batch.on_available(subset, encoder, network, x, (nothing, nothing))
        q.losses.append(loss)
        return parts

    def get_config(self) -> dict[str, Any]:
        networks = [
            [list(names), keras.saving.serialize_keras_object(encoder.network)]
            for names, encoder in zip(self.subsets_read, self.encoders)
        ]
        return super().get_config() | {"networks": networks, "latent_dim": self.latent_dim}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        networks = {
            tuple(names): keras.saving.deserialize_keras_object(network) for names, network in config["networks"]
        }
        return cls(**config | {"networks": networks})
