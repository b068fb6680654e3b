"""The base class of poolings: a layer from Gaussian experts and subsets to the mixture of the pooled subsets."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mopoe.experts import Experts, masked
from tf_mopoe.mixture import Mixture


class Pooling(keras.layers.Layer):
    """A pooling of Gaussian experts. A subclass has `pool`, for which `mixture` calls, or a `mixture` of a lazy form.

    Every pooling of a lone expert is that expert, unless the prior joins it, and of no expert at all N(0, I).
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False} | kwargs)

    def build_for(self, modalities: Sequence[str], latent_dim: int) -> None:
        """Create the layer's variables, for the names of all modalities and the latent size."""
        self.modalities = tuple(modalities)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def mixture(self, experts: Experts, membership: tf.Tensor, weights: tf.Tensor) -> Mixture:
        """Return the `Mixture` of pooled subsets.

        Args:
            experts: `Experts` of M modalities.
            membership: float [S, M] or [B, S, M]; what a row does not have is not pooled.
            weights: [B, S].
        """
        members = tf.broadcast_to(membership > 0.0, tf.concat([tf.shape(weights), [len(experts.names)]], axis=0))
        members &= experts.available[:, None]
        loc, scale = self.pool(*masked(experts), members, experts.names)
        some = tf.reduce_any(members, axis=-1)[..., None]
        loc, scale = tf.where(some, loc, 0.0), tf.where(some, scale, 1.0)
        weights = self.weigh(weights, experts, members, loc, scale)
        return Mixture(weights, loc, scale, experts.family, experts.names, membership)

    def pool(
        self, loc: tf.Tensor, scale: tf.Tensor, members: tf.Tensor, names: Sequence[str]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Pool the experts: loc and scale [B, S, D] of the subsets; anything for one without members.

        Args:
            loc, scale: [B, M, D], finite, and positive.
            members: bool [B, S, M], the experts that are pooled.
            names: of the M modalities.
        """
        raise NotImplementedError

    def weigh(
        self, weights: tf.Tensor, experts: Experts, members: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor
    ) -> tf.Tensor:
        """Return the mixture's weights, [B, S]: those given, in the default, or by what the experts say.

        Args:
            weights: [B, S], 0 for a subset that the row cannot form.
            experts: `Experts` of M modalities.
            members: bool [B, S, M], the experts that are pooled.
            loc, scale: [B, S, D], of the pooled subsets.
        """
        return weights

    def get_build_config(self) -> None:
        return None  # the joint posterior builds it

    def fusion(self) -> dict[str, Any]:
        """Return the settings with which `export.fuse` pools the same in NumPy: a dict for JSON."""
        raise NotImplementedError
