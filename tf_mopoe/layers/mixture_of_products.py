"""The joint posterior: a mixture over subsets of the modalities of products of Gaussian experts."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe import experts as gaussian
from tf_mopoe import subsets as families

tfd = tfp.distributions

PRIOR_RULES = ("full", "all", "none")


class Components(NamedTuple):
    """The mixture's parameters, batched over its components."""

    weights: tf.Tensor  # [B, S], rows sum to 1; 0 for a subset that the row cannot form
    loc: tf.Tensor  # [B, S, D]
    scale: tf.Tensor  # [B, S, D]

    def distribution(self):
        """The same as a `tfd.Mixture`, one component object per subset."""
        loc, scale = tf.unstack(self.loc, axis=1), tf.unstack(self.scale, axis=1)
        return tfd.Mixture(
            cat=tfd.Categorical(probs=self.weights),
            components=[tfd.MultivariateNormalDiag(*parameters) for parameters in zip(loc, scale)],
        )


@keras.saving.register_keras_serializable(package="tf_mopoe")
class MixtureOfProducts(keras.layers.Layer):
    """Experts of the modalities -> q(z | X) = sum{ w[s] * prod{ q(z | x[m]) : m in s } : s in subsets }.

    The products are normalised, the weights uniform over the subsets that a row can form from what it has. A row that
    can form none of the subsets has one component, the product of all its experts; with nothing at all, the prior.
    Reference: Sutter, Daunhawer, Vogt, "Generalized Multimodal ELBO", ICLR 2021, definition 1. MVAE (Wu & Goodman 2018)
    and MMVAE (Shi et al. 2019) are `subsets="full", prior_expert="all"` and `subsets="unimodal", prior_expert="none"`.

    Args:
        subsets: "powerset" (default), "unimodal", "full", or a list of tuples of modality names.
        prior_expert: which products the prior N(0, I) joins as one more expert: "full" (default: that of all the
            modalities, if there are two or more), "all" or "none".
        modalities: names of all modalities, in order. Default: those of the model, or of the first call.

    Call:
        experts: {name: tfd.MultivariateNormalDiag [B] x [D]} of some or all of the modalities.
        available: {name: bool [B]}; a modality that is not named is there for every row.
        Returns a `tfd.Mixture`, batch shape [B], event shape [D], over the subsets of the modalities in `experts`.

    Raises:
        ValueError: for an unknown family, prior rule or modality.
    """

    def __init__(self, subsets="powerset", prior_expert="full", modalities=None, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False} | kwargs)
        if prior_expert not in PRIOR_RULES:
            raise ValueError(
                f"`prior_expert` must be one of {', '.join(map(repr, PRIOR_RULES))}. "
                f"Received: prior_expert={prior_expert!r}"
            )
        self.subsets = subsets if isinstance(subsets, str) else [tuple(subset) for subset in subsets]
        self.prior_expert = prior_expert
        self.modalities = None
        families.subset_names(subsets if isinstance(subsets, str) else "full", ("any",))  # an unknown family fails here
        if modalities is not None:
            self.bind(modalities)

    def bind(self, modalities):
        """Sets the names of all modalities, once: a layer belongs to one model."""
        modalities = tuple(modalities)
        if self.modalities not in (None, modalities):
            raise ValueError(
                f"This layer already joins the modalities {list(self.modalities)}. Received: {list(modalities)}"
            )
        families.subset_names(self.subsets, modalities)
        self.modalities = modalities

    def build(self, input_shape=None):
        self.built = True

    def __call__(self, experts, available=None):
        # Keras takes nothing but tensors as positional arguments.
        return super().__call__(experts=experts, available=available)

    def call(self, experts, available=None):
        return self.components(experts, available).distribution()

    def components(self, experts, available=None):
        """As `call`, but the mixture's batched parameters, `Components`: what the training step uses."""
        loc, scale, available = self.stack(experts, available)
        names = tuple(name for name in self.modalities if name in experts)
        subsets = self.formable_subsets(names)
        membership = families.membership_matrix(subsets, names)
        weights, formable = families.component_weights(tf.constant(membership, loc.dtype), available)
        prior = self.prior_rule(membership.sum(axis=1), available)
        locs, scales = gaussian.products_of_experts(loc, scale, available, tf.constant(membership, loc.dtype), prior)
        if not self.covers_every_row(subsets, names):
            rest = self.product(experts, dict(zip(names, tf.unstack(available, axis=1))))
            first = (tf.range(len(subsets)) == 0) & ~formable[:, None]  # [B, S]
            locs = tf.where(first[..., None], rest.loc[:, None], locs)
            scales = tf.where(first[..., None], rest.stddev()[:, None], scales)
        return Components(weights, locs, scales)

    def product(self, experts, available=None):
        """The product of all the experts that each row has: `tfd.MultivariateNormalDiag`, [B] x [D]."""
        loc, scale, available = self.stack(experts, available)
        membership = tf.ones([1, len(experts)], loc.dtype)
        prior = self.prior_rule(np.array([len(experts)]), available)
        loc, scale = gaussian.products_of_experts(loc, scale, available, membership, prior)
        return tfd.MultivariateNormalDiag(loc[:, 0], scale[:, 0])

    def largest(self, experts, available=None):
        """`Components` with weight on the largest subsets only that a row can form.

        For "powerset" and "full" this is the product of all that the row has, for "unimodal" the mixture of its experts:
        the distribution from which a method translates.
        """
        if self.subsets in ("powerset", "full"):
            product = self.product(experts, available)
            loc, scale = product.loc[:, None], product.stddev()[:, None]
            return Components(tf.ones_like(loc[..., 0]), loc, scale)
        weights, loc, scale = self.components(experts, available)
        names = tuple(name for name in self.modalities if name in experts)
        size = tf.constant([float(len(subset)) for subset in self.formable_subsets(names)], weights.dtype)
        size = tf.where(weights > 0.0, size, 0.0)
        chosen = tf.cast((size == tf.reduce_max(size, axis=-1, keepdims=True)) & (weights > 0.0), weights.dtype)
        return Components(chosen / tf.reduce_sum(chosen, axis=-1, keepdims=True), loc, scale)

    def formable_subsets(self, names):
        """The family's subsets of the modalities in `names`; where it has none, the one of all of `names`."""
        subsets = families.subset_names(self.subsets, self.modalities)
        return tuple(subset for subset in subsets if set(subset) <= set(names)) or (names,)

    def covers_every_row(self, subsets, names):
        """Whether component 0 already is what a row that can form no subset needs: the product of all it has."""
        return subsets[0] == names or all((name,) in subsets for name in names)

    def prior_rule(self, sizes, available):
        """1 where the prior joins a product, for the subsets' `sizes` [S] and `available` [B, M]: [S] or [B, S]."""
        if self.prior_expert == "all":
            return tf.ones([len(sizes)], self.compute_dtype)
        total = len(self.modalities)
        full = (sizes == total) & (total > 1)  # a lone expert is the posterior of a plain VAE, and stays as it is
        if self.prior_expert == "none" or not full.any():
            return tf.zeros([len(sizes)], self.compute_dtype)
        complete = tf.cast(tf.reduce_all(available, axis=1), self.compute_dtype)  # [B]
        return complete[:, None] * tf.constant(full, self.compute_dtype)

    def stack(self, experts, available):
        """loc [B, M, D], scale [B, M, D], available [B, M] of the given experts, in the order of `modalities`."""
        if self.modalities is None:
            self.bind(experts)
        unknown = sorted((set(experts) | set(available or {})) - set(self.modalities))
        if unknown or not experts:
            raise ValueError(
                f"`experts` must hold one or more of the modalities {list(self.modalities)}. Received: {list(experts)}"
                + (f", in which {unknown} are unknown" if unknown else "")
            )
        sizes = {name: expert.event_shape[-1] for name, expert in experts.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"All experts must have the same latent size. Received: {sizes}")
        names = [name for name in self.modalities if name in experts]
        loc = tf.stack([tf.cast(experts[name].loc, self.compute_dtype) for name in names], axis=1)
        scale = tf.stack([tf.cast(experts[name].stddev(), self.compute_dtype) for name in names], axis=1)
        everywhere = tf.ones(tf.shape(loc)[:1], tf.bool)
        flags = [tf.cast((available or {}).get(name, everywhere), tf.bool) for name in names]
        return loc, scale, tf.stack(flags, axis=1)

    def get_config(self):
        return super().get_config() | {
            "subsets": self.subsets,
            "prior_expert": self.prior_expert,
            "modalities": self.modalities,
        }


def from_name(joint_posterior):
    """The layer of a method's name ("mopoe", "mvae" or "mmvae", with its published rules), or the given layer."""
    published = {"mopoe": ("powerset", "full"), "mvae": ("full", "all"), "mmvae": ("unimodal", "none")}
    if isinstance(joint_posterior, MixtureOfProducts):
        return joint_posterior
    if joint_posterior not in published:
        raise ValueError(
            f"`joint_posterior` must be one of {', '.join(map(repr, published))}, or a MixtureOfProducts layer. "
            f"Received: joint_posterior={joint_posterior!r}"
        )
    return MixtureOfProducts(*published[joint_posterior])
