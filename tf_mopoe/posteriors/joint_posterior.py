"""The base class of joint posteriors: a layer from the experts of a row to a mixture."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mopoe.experts import Experts, stack_distributions
from tf_mopoe.families import Normal, tfd
from tf_mopoe.mixture import Mixture
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import as_stream


class JointPosterior(keras.layers.Layer):
    """A joint posterior q(z | X). A subclass has `joint`, `pool` and `largest`, which take the same arguments.

    Args of these:
        experts: `Experts` of some or all modalities.
        q: the `Posterior` that asks, for its stream and, where the layer `reads_inputs`, its batch; or None.
    """

    reads_inputs = False  # whether its distributions depend on more than the experts
    is_one_gaussian = False  # whether the joint posterior is one Gaussian, and no mixture
    experts_are_features = False  # whether the expert of a modality is not its posterior, which `pool` alone gives

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False} | kwargs)
        self.modalities, self.family = None, Normal

    def bind(self, modalities: Iterable[str] | None, family: type = Normal, latent_dim: int | None = None) -> None:
        """Set the names of all modalities, and the family and size of their experts, once: a layer belongs to one model."""
        if modalities is None:
            return
        modalities = tuple(modalities)
        if self.modalities not in (None, modalities):
            raise ValueError(
                f"This layer already joins the modalities {list(self.modalities)}. Received: {list(modalities)}"
            )
        self.check(modalities, family, latent_dim)
        self.modalities, self.family = modalities, family

    def check(self, modalities: Sequence[str], family: type, latent_dim: int | None) -> None:
        """Raise a ValueError unless the layer can join experts of these modalities, family and latent size (or None)."""

    def build_for(self, event_shapes: Mapping[str, Sequence[int]], latent_dim: int) -> None:
        """Create the layer's variables, for modalities of these shapes {name: E}."""
        self.build()

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def joint(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        """Return the joint posterior: `Mixture`."""
        raise NotImplementedError

    def pool(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        """Pool all the experts that each row has into one density: `Mixture` with S = 1; the prior for a row without any."""
        raise NotImplementedError

    def maximal_components(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        """Return only the largest components that a row can form, from which a method translates: `Mixture`."""
        raise NotImplementedError

    def draws(self, names: Sequence[str]) -> bool:
        """Return whether the components of these modalities are drawn at random."""
        return False

    def available_subsets(self, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Return the subsets of the modalities in `names` that are components, in order."""
        return (tuple(names),)

    def has_product(self, names: Sequence[str]) -> bool:
        """Return whether the experts of these modalities can be pooled."""
        return self.family is Normal or len(names) == 1

    def __call__(
        self,
        experts: Mapping[str, tfd.Distribution],
        available: Mapping[str, Any] | None = None,
        seed: int | tf.Tensor | None = None,
    ) -> tfd.Distribution:
        if self.modalities is None and isinstance(experts, dict):
            self.bind(experts)  # before Keras builds the layer
        # Keras takes nothing but tensors as positional arguments.
        return super().__call__(experts=experts, available=available, seed=seed)

    def call(
        self,
        experts: Mapping[str, tfd.Distribution],
        available: Mapping[str, Any] | None = None,
        seed: int | tf.Tensor | None = None,
    ) -> tfd.Distribution:
        return self.joint(self.stack(experts, available), Seeded(seed)).distribution()

    def product(
        self, experts: Mapping[str, tfd.Distribution], available: Mapping[str, Any] | None = None
    ) -> tfd.Distribution:
        """Pool all the experts that each row has: tfd distribution, [B] x [D]. Arguments as of the call."""
        return self.pool(self.stack(experts, available)).component(0)

    def stack(self, experts: Mapping[str, tfd.Distribution], available: Mapping[str, Any] | None) -> Experts:
        if self.modalities is None:
            self.bind(experts)
        return stack_distributions(self.modalities, experts, available)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"modalities": self.modalities}


class Seeded:
    """Stands in for a `Posterior` in a layer's call: the stream of a seed, int32 [2] or None."""

    def __init__(self, seed: int | tf.Tensor | None):
        self.stream = None if seed is None else as_stream(seed)
