"""The joint posterior: a mixture over subsets of the modalities of products of Gaussian experts."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import tensorflow as tf

from tf_mopoe import rounding, sampling
from tf_mopoe.checks import check_count
from tf_mopoe.experts import Experts, masked
from tf_mopoe.families import Normal
from tf_mopoe.freezing import hand_down
from tf_mopoe.mixture import ABSENT, Mixture
from tf_mopoe.pooling.pooling import Pooling
from tf_mopoe.pooling.product import Product
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.subsets import as_subset, component_weights, membership_matrix, subset_names


@keras.saving.register_keras_serializable(package="tf_mopoe")
class MixtureOfProducts(JointPosterior):
    """Experts of the modalities -> q(z | X) = sum{ w[s] * prod{ q(z | x[m]) : m in s } : s in subsets }.

    The products are normalised, the weights uniform over the subsets that a row can form from what it has (unless they are
    learned, or set by the pooling, as `pooling.Hoelder` does). A row that can form none of the subsets has one component,
    the product of all its experts; with nothing at all, the prior.
    Reference: Sutter, Daunhawer, Vogt, "Generalized Multimodal ELBO", ICLR 2021, definition 1. MVAE (Wu & Goodman 2018)
    and MMVAE (Shi et al. 2019) are `subsets="full", prior_expert="all"` and `subsets="unimodal", prior_expert="none"`.

    With many modalities the powerset is not enumerated: where the modalities of a call have more than `max_components`
    subsets, each row has `num_components` of them, drawn uniformly (again with each seed): averages over the components,
    such as the KL of `ELBO(kl="components")` and the reconstruction, are unbiased estimates of those over all. The log of
    the density of drawn components (`kl="mixture"`, `IWAE`) is not: that bound stays one, but is looser.

    Args:
        subsets: "powerset" (default), "unimodal", "unimodal_and_prior", "full", or a list of tuples of modality names.
        prior_expert: which products the prior N(0, I) joins as one more expert: "full" (default), "all", "none" or
            "conjunctive": see `pooling.Product`.
        max_components: the most subsets of "powerset" that are enumerated; default 1,024.
        num_components: how many are drawn beyond that; default 64.
        modalities: names of all modalities, in order. Default: those of the model, or of the first call.
        pooling: how a subset's experts become one Gaussian, of `tf_mopoe.pooling`, in place of the product and its
            `prior_expert`. Default: `pooling.Product(prior_expert)`.
        learned_weights: whether the weights of the subsets are learned, softmax(logits) over those that a row can form
            (`objectives.CoDE` trains them; `ELBO`, which draws a component, does not). Default: False, they are equal.

    Call:
        experts: {name: tfd.MultivariateNormalDiag [B] x [D]} of some or all of the modalities. With "unimodal" and no
            prior expert they may be Laplace (`LaplaceEncoder`).
        available: {name: bool [B]}; a modality that is not named is there for every row.
        seed: int, or int32 [2], of the drawn subsets. Default: the same for every row and call.
        Returns a `tfd.Mixture`, batch shape [B], event shape [D], over the subsets of the modalities in `experts`.

    Raises:
        ValueError: for an unknown family, prior rule or modality, products of experts that have none, or learned weights of
            subsets that are drawn.
    """

    def __init__(
        self,
        subsets: str | Sequence[Sequence[str]] = "powerset",
        prior_expert: str | None = None,
        max_components: int = 1024,
        num_components: int = 64,
        modalities: Sequence[str] | None = None,
        pooling: Pooling | None = None,
        learned_weights: bool = False,
        **kwargs,
    ):
        if pooling is not None and (prior_expert is not None or not isinstance(pooling, Pooling)):
            raise ValueError(
                "`pooling` must be one of tf_mopoe.pooling, without `prior_expert`. "
                f"Received: pooling={pooling!r}, prior_expert={prior_expert!r}"
            )
        super().__init__(**kwargs)
        named = isinstance(subsets, str)
        subset_names(subsets if named else "full", ("any",))  # is it a family?
        self.subsets = subsets if named else [as_subset(subset) for subset in subsets]
        self.pooling = Product(prior_expert or "full") if pooling is None else pooling
        self.max_components = check_count("max_components", max_components)
        self.num_components = check_count("num_components", num_components)
        self.learned_weights, self.logits = bool(learned_weights), None
        self.bind(modalities)
        hand_down(self)

    @property
    def is_one_gaussian(self) -> bool:
        return self.subsets == "full"

    @property
    def prior_expert(self) -> str | None:
        """The product's rule for the prior; None for another pooling."""
        return getattr(self.pooling, "prior_expert", None)

    def check(self, modalities: Sequence[str], family: type, latent_dim: int | None) -> None:
        if self.subsets != "powerset":  # of many modalities never listed
            subset_names(self.subsets, modalities)
        rules = (self.subsets, self.prior_expert)
        if family is not Normal and len(modalities) > 1 and rules != ("unimodal", "none"):
            raise ValueError(
                f'Only normal experts have products: {family.name} ones need `subsets="unimodal"` and '
                f'`prior_expert="none"`. Received: subsets={self.subsets!r}, prior_expert={self.prior_expert!r}'
            )

        if self.learned_weights and self.draws(modalities):
            raise ValueError(
                "`learned_weights` must be False where the subsets are too many to be listed. Received: "
                f"learned_weights=True, {len(modalities)} modalities, max_components={self.max_components}"
            )

    def build_for(self, event_shapes: Mapping[str, Sequence[int]], latent_dim: int) -> None:
        if not self.pooling.built:
            self.pooling.build_for(self.modalities, latent_dim)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        if self.learned_weights and self.logits is None:
            count = len(self.available_subsets(self.modalities))
            self.logits = self.add_weight(name="logits", shape=(count,), initializer="zeros")
        super().build(input_shape)

    def joint(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        names = experts.names
        if self.draws(names):
            weights = tf.fill([tf.shape(experts.loc)[0], self.num_components], 1.0 / self.num_components)
            stream = q.stream.child("subsets") if q is not None and q.stream is not None else None
            return self.pooled(experts, sampling.subsets(experts.available, self.num_components, stream), weights)
        subsets = self.available_subsets(names)
        membership = tf.constant(membership_matrix(subsets, names))
        weights, is_available = component_weights(membership, experts.available)
        weights = self.learned(weights, subsets)
        if experts.family is not Normal:
            return Mixture(weights, *masked(experts), experts.family, names, membership)
        if not self.has_singletons(subsets, names):
            # Component 0 of a row that can form none of them: all it has.
            rest = (~is_available)[:, None, None] & (tf.range(len(subsets)) == 0)[:, None]  # [B, S, 1]
            membership = tf.where(rest, 1.0, membership)
        return self.pooled(experts, membership, weights)

    def learned(self, weights: tf.Tensor, subsets: Sequence[Sequence[str]]) -> tf.Tensor:
        """Return the weights [B, S], equal over the subsets that a row can form, or the learned ones."""
        if not self.learned_weights:
            return weights
        # The logits' order is that of the names, whatever the model's: files go by it.
        everything = [frozenset(subset) for subset in subset_names(self.subsets, sorted(self.modalities))]
        wanted = [frozenset(subset) for subset in subsets]
        if not set(wanted) <= set(everything):  # all that is given, which is not in the list
            return weights
        logits = tf.convert_to_tensor(self.logits)
        if wanted != everything:
            order = [everything.index(subset) for subset in wanted]
            logits = tf.linalg.matvec(tf.one_hot(order, len(everything)), logits)  # a dense gradient
        return tf.nn.softmax(tf.where(weights > 0.0, logits, ABSENT))

    def pool(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        if experts.family is not Normal:
            if len(experts.names) > 1:
                raise ValueError(f"Only normal experts have products. Received: {experts.family.name} experts")
            weights = tf.ones([tf.shape(experts.loc)[0], 1])
            return Mixture(weights, *masked(experts), experts.family, experts.names)
        return self.pooled(experts, tf.ones([1, len(experts.names)]), tf.ones([tf.shape(experts.loc)[0], 1]))

    def pooled(self, experts: Experts, membership: tf.Tensor, weights: tf.Tensor) -> Mixture:
        if not self.pooling.built:
            self.pooling.build_for(self.modalities, experts.loc.shape[-1])
        return self.pooling.mixture(experts, membership, weights)

    def maximal_components(self, experts: Experts, q: Posterior | None = None) -> Mixture:
        """Return the product of all that the row has ("powerset", "full") or the mixture of its experts ("unimodal")."""
        if self.subsets in ("powerset", "full"):
            return self.pool(experts, q)
        joint = self.joint(experts, q)
        weights = joint.weights
        size = tf.constant([float(len(subset)) for subset in self.available_subsets(experts.names)])
        size = tf.where(weights > 0.0, size, -1.0)
        largest = tf.cast(size == tf.reduce_max(size, axis=-1, keepdims=True), tf.float32) * weights
        return joint.reweighted(largest * rounding.reciprocal(tf.reduce_sum(largest, axis=-1, keepdims=True)))

    def draws(self, names: Sequence[str]) -> bool:
        """Return whether the subsets of these modalities are too many to be listed, so that some are drawn."""
        return self.subsets == "powerset" and 2 ** len(names) - 1 > self.max_components

    def available_subsets(self, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Return the family's subsets of the modalities in `names`; where it has none, the one of all of `names`."""
        if self.subsets == "powerset":
            return subset_names("powerset", names)
        subsets = subset_names(self.subsets, self.modalities)
        return tuple(subset for subset in subsets if set(subset) <= set(names)) or (names,)

    def has_singletons(self, subsets: Sequence[Sequence[str]], names: Sequence[str]) -> bool:
        """Return whether component 0 is already the product of all that a row has, for rows that can form no subset."""
        return subsets[0] in (names, ()) or all((name,) in subsets for name in names)

    def get_config(self) -> dict[str, Any]:
        product = isinstance(self.pooling, Product) and not self.pooling.left_out
        return super().get_config() | {
            "subsets": self.subsets,
            "prior_expert": self.prior_expert if product else None,
            "max_components": self.max_components,
            "num_components": self.num_components,
            "pooling": None if product else keras.saving.serialize_keras_object(self.pooling),
            "learned_weights": self.learned_weights,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        if config.get("pooling"):
            config = config | {"pooling": keras.saving.deserialize_keras_object(config["pooling"])}
        return cls(**config)


def from_name(joint_posterior: str | JointPosterior) -> JointPosterior:
    """Return the layer of a method's name, with its published rules, or the given layer."""
    published = {
        "mopoe": ("powerset", "full"),
        "mvae": ("full", "all"),
        "mmvae": ("unimodal", "none"),
        "mmjsd": ("unimodal_and_prior", "none"),
        "mvtcae": ("full", "none"),
    }
    if isinstance(joint_posterior, JointPosterior):
        return joint_posterior
    if not isinstance(joint_posterior, str) or joint_posterior not in published:
        raise ValueError(
            f"`joint_posterior` must be one of {', '.join(map(repr, published))}, or a layer, such as a MixtureOfProducts. "
            f"Received: joint_posterior={joint_posterior!r}"
        )
    return MixtureOfProducts(*published[joint_posterior])
