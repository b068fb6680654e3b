"""The product of experts, with the rules by which the prior joins it."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mopoe import gaussian
from tf_mopoe.experts import Experts
from tf_mopoe.mixture import Mixture, Products
from tf_mopoe.pooling.pooling import Pooling
from tf_mopoe.subsets import as_subset

PRIOR_RULES = ("full", "all", "none", "conjunctive")


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Product(Pooling):
    """The normalised product of the experts of a subset, and of the prior N(0, I) by a rule.

        precision = prior + sum{ 1 / scale[m]^2 : m };   loc = sum{ loc[m] / scale[m]^2 : m } / precision

    Reference: Hinton 2002; Wu & Goodman 2018, section 2.2; Sutter et al. 2021, eq. (5).

    Args:
        prior_expert: which products the prior joins as one more expert: "full" (default: that of all the modalities, if
            there are two or more), "all" or "none". "conjunctive" (Kurle et al. 2019: p(z)^(1 - n) times the product of n
            experts that each hold the prior) is "all", read in another way: what an encoder emits is its likelihood, and
            the expert that of Kurle et al. is its product with the prior.
        left_out: names of modalities whose experts join only where a row has nothing else, such as a label that is to be
            predicted (`methods.MFM`). Default: none.

    Raises:
        ValueError: for another rule, or names that are no modalities.
    """

    def __init__(self, prior_expert: str = "full", left_out: Sequence[str] = (), **kwargs):
        super().__init__(**kwargs)
        if prior_expert not in PRIOR_RULES:
            raise ValueError(
                f"`prior_expert` must be one of {', '.join(map(repr, PRIOR_RULES))}. "
                f"Received: prior_expert={prior_expert!r}"
            )
        self.prior_expert = prior_expert
        self.left_out = as_subset(left_out)

    def build_for(self, modalities: Sequence[str], latent_dim: int) -> None:
        if not set(self.left_out) < set(modalities):
            raise ValueError(
                f"`left_out` must be some of the modalities {list(modalities)}, not all. Received: {list(self.left_out)}"
            )
        super().build_for(modalities, latent_dim)

    def mixture(self, experts: Experts, membership: tf.Tensor, weights: tf.Tensor) -> Mixture:
        if self.left_out:
            experts, membership = self.leave_out(experts, membership)
        precision, weighted = gaussian.natural_parameters(experts.loc, experts.scale, experts.available)
        power = self.prior_power(membership, experts.available)
        prior = gaussian.prior_power_or_one(power, membership, experts.available)
        return Products(weights, precision, weighted, membership, prior, experts.names)

    def leave_out(self, experts: Experts, membership: tf.Tensor) -> tuple[Experts, tf.Tensor]:
        """Drop the experts left out in the rows that have others; return the membership of these rows too, [B, S, M]."""
        others = experts.available & tf.constant([name not in self.left_out for name in experts.names])
        available = tf.where(tf.reduce_any(others, axis=1, keepdims=True), others, experts.available)
        membership = membership * tf.cast(available, tf.float32)[:, None]
        return experts._replace(available=available), membership

    def prior_power(self, membership: tf.Tensor, available: tf.Tensor) -> tf.Tensor:
        """Return the power of the prior in each product, [S] or [B, S], by the rule."""
        subsets = tf.shape(membership)[:-1]  # [S] or [B, S]
        if self.prior_expert in ("all", "conjunctive"):
            return tf.ones(subsets)
        total = len(self.modalities)
        # A lone expert is the posterior of a plain VAE, and stays as it is.
        if self.prior_expert == "none" or membership.shape[-1] < total or total == 1:
            return tf.zeros(subsets)
        full = tf.cast(tf.reduce_all(membership > 0.0, axis=-1), tf.float32)  # [S] or [B, S]
        return full * tf.cast(tf.reduce_all(available, axis=1), tf.float32)[:, None]  # [B, S]

    def fusion(self) -> dict[str, Any]:
        rule = {"pooling": "product", "prior_expert": self.prior_expert}
        return rule | ({"left_out": list(self.left_out)} if self.left_out else {})

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"prior_expert": self.prior_expert, "left_out": list(self.left_out)}
