"""A joint posterior by a network on the set of what a row has, whatever that is (Hirt et al. 2024)."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mopoe.checks import check_choice, check_count
from tf_mopoe.experts import Experts, masked
from tf_mopoe.families import Normal, scale_of, tfd
from tf_mopoe.freezing import hand_down
from tf_mopoe.mixture import Mixture
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior

AGGREGATIONS = ("sum", "attention")


@keras.saving.register_keras_serializable(package="tf_mopoe")
class SetEncoder(JointPosterior):
    """q(z | x[S]) = N(loc, scale^2) by a permutation-invariant network of the set of features { h[m] : m in S }, for any S.

        "sum":         loc, log scale^2 = rho( sum{ phi(h[m]) : m in S } )
        "attention":   the same, of the features after blocks of self-attention among the members of S

    h[m] is what the encoder of m says, the loc and log scale of its expert, [2 D]: with this layer that is a feature and no
    separate posterior. (The published encoders have features of any size.) The posterior of one modality is the network's
    on a set of one. A row that has nothing has N(0, I). Reference: Hirt, Campolo, Leong & Ortega, "Learning multi-modal
    generative models with permutation-invariant encoders and tighter variational objectives", TMLR 2024; Zaheer et al. 2017
    (deep sets).

    Args:
        aggregation: "sum" (default) or "attention".
        units: width of all layers; default 128.
        num_blocks: blocks of self-attention; default 2.
        num_heads: of each of them; default 4.

    Raises:
        ValueError: for another value of an argument; in the model, for experts that are not normal.
    """

    is_one_gaussian = True
    experts_are_features = True

    def __init__(
        self,
        aggregation: str = "sum",
        units: int = 128,
        num_blocks: int = 2,
        num_heads: int = 4,
        modalities: Sequence[str] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.aggregation = check_choice("aggregation", aggregation, AGGREGATIONS)
        self.latent_dim = None
        self.units = check_count("units", units)
        self.num_blocks, self.num_heads = check_count("num_blocks", num_blocks), check_count("num_heads", num_heads)
        relu = {"activation": "relu", "dtype": "float32"}
        if aggregation == "sum":
            self.inner = [keras.layers.Dense(self.units, **relu) for _ in range(2)]
            self.blocks = []
        else:
            self.inner = [keras.layers.Dense(self.units, dtype="float32")]
            self.blocks = [AttentionBlock(self.units, self.num_heads) for _ in range(self.num_blocks)]
        self.outer = keras.layers.Dense(self.units, **relu)
        self.head = None
        self.bind(modalities)
        hand_down(self)

    def check(self, modalities: Sequence[str], family: type, latent_dim: int | None) -> None:
        if family is not Normal:
            raise ValueError(f"A SetEncoder needs normal experts. Received: {family.name} ones")

    def build_for(self, event_shapes: Mapping[str, Sequence[int]], latent_dim: int) -> None:
        self.latent_dim = latent_dim
        if not self.built:
            self.build()

    def build(self, input_shape: Any = None) -> None:
        # The posterior starts near N(0, I), whatever the blocks make of features at first.
        near = keras.initializers.RandomNormal(stddev=0.01)
        self.head = keras.layers.Dense(2 * self.latent_dim, kernel_initializer=near, dtype="float32")
        self.outer.build((None, self.units))
        size = 2 * self.latent_dim
        for layer in (*self.inner, *self.blocks):
            layer.build((None, None, size))
            size = self.units
        self.head.build((None, self.units))
        self.built = True
        hand_down(self)

    def get_build_config(self) -> None:
        return None  # the model builds it

    def __call__(
        self,
        experts: Mapping[str, tfd.Distribution],
        available: Mapping[str, Any] | None = None,
        seed: int | tf.Tensor | None = None,
    ) -> tfd.Distribution:
        if not self.built:  # by no model
            self.build_for(None, next(iter(experts.values())).event_shape[-1])
        return super().__call__(experts, available, seed)

    def joint(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        return self.pool(experts, q)

    def maximal_components(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        return self.pool(experts, q)

    def pool(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        loc, scale = masked(experts)
        members = tf.cast(experts.available, tf.float32)  # [B, M]
        h = tf.concat([loc, tf.math.log(scale)], axis=-1)  # [B, M, 2 D]
        for layer in self.inner:
            h = layer(h)
        for block in self.blocks:
            h = block(h, experts.available)
        loc, log_variance = tf.split(self.head(self.outer(tf.einsum("bm,bmf->bf", members, h))), 2, axis=-1)
        some = tf.reduce_any(experts.available, axis=1)[:, None]
        loc, scale = tf.where(some, loc, 0.0), tf.where(some, scale_of(log_variance), 1.0)
        weights = tf.ones([tf.shape(loc)[0], 1])
        return Mixture(weights, loc[:, None], scale[:, None], experts.family, experts.names)

    def get_config(self) -> dict[str, Any]:
        names = ("aggregation", "units", "num_blocks", "num_heads")
        return super().get_config() | {name: getattr(self, name) for name in names}


class AttentionBlock(keras.layers.Layer):
    """Self-attention among the members of each row's set, then two dense layers, each added to what came in."""

    def __init__(self, units: int, num_heads: int, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.units, self.num_heads = units, num_heads
        self.norms = [keras.layers.LayerNormalization(dtype="float32") for _ in range(2)]
        size = max(1, units // num_heads)
        self.attention = keras.layers.MultiHeadAttention(num_heads, size, dtype="float32")
        self.wide = keras.layers.Dense(2 * units, activation="relu", dtype="float32")
        self.narrow = keras.layers.Dense(units, dtype="float32")

    def build(self, input_shape: Sequence[int | None]) -> None:
        for norm in self.norms:
            norm.build(input_shape)
        self.attention.build(input_shape, input_shape)
        self.wide.build(input_shape)
        self.narrow.build((*input_shape[:-1], 2 * self.units))
        self.built = True

    def call(self, h: tf.Tensor, available: tf.Tensor) -> tf.Tensor:
        """Apply the block: h [B, M, F], available bool [B, M] -> [B, M, F]."""
        normed = self.norms[0](h)
        h += self.attention(normed, normed, attention_mask=available[:, None])
        return h + self.narrow(self.wide(self.norms[1](h)))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"units": self.units, "num_heads": self.num_heads}
