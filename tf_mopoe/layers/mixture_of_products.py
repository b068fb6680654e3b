"""The joint posterior: a mixture over subsets of the modalities of products of Gaussian experts."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe import experts as gaussian
from tf_mopoe import rounding, sampling
from tf_mopoe import subsets as families
from tf_mopoe.checks import check_count
from tf_mopoe.components import Components, Products
from tf_mopoe.densities import DENSITIES, Normal, loc_and_scale

tfd = tfp.distributions

PRIOR_RULES = ("full", "all", "none", "conjunctive")


@keras.saving.register_keras_serializable(package="tf_mopoe")
class MixtureOfProducts(keras.layers.Layer):
    """Experts of the modalities -> q(z | X) = sum{ w[s] * prod{ q(z | x[m]) : m in s } : s in subsets }.

    The products are normalised, the weights uniform over the subsets that a row can form from what it has. A row that
    can form none of the subsets has one component, the product of all its experts; with nothing at all, the prior.
    Reference: Sutter, Daunhawer, Vogt, "Generalized Multimodal ELBO", ICLR 2021, definition 1. MVAE (Wu & Goodman 2018)
    and MMVAE (Shi et al. 2019) are `subsets="full", prior_expert="all"` and `subsets="unimodal", prior_expert="none"`.

    With many modalities the powerset is not enumerated: where a call's modalities have more than `max_components`
    subsets, each row has `num_components` of them, drawn uniformly (anew with each seed): averages over the components,
    such as the KL of `ELBO(kl="components")` and the reconstruction, are unbiased estimates of those over all. The log of
    the density of drawn components (`kl="mixture"`, `IWAE`) is not: that bound stays one, but is looser.

    Args:
        subsets: "powerset" (default), "unimodal", "unimodal_and_prior", "full", or a list of tuples of modality names.
        prior_expert: which products the prior N(0, I) joins as one more expert: "full" (default: that of all the
            modalities, if there are two or more), "all", "none", or "conjunctive": p(z)^(1 - n) in a product of n, for
            experts that each hold the prior already (Kurle et al. 2019; a scale above 1 counts as 1 there).
        max_components: the most subsets of "powerset" that are enumerated; default 1,024.
        num_components: how many are drawn beyond that; default 64.
        modalities: names of all modalities, in order. Default: those of the model, or of the first call.

    Call:
        experts: {name: tfd.MultivariateNormalDiag [B] x [D]} of some or all of the modalities. With "unimodal" and no
            prior expert they may be Laplace (`LaplaceEncoder`).
        available: {name: bool [B]}; a modality that is not named is there for every row.
        seed: int32 [2], of the drawn subsets. Default: the same for every row and call.
        Returns a `tfd.Mixture`, batch shape [B], event shape [D], over the subsets of the modalities in `experts`.

    Raises:
        ValueError: for an unknown family, prior rule or modality, or products of experts that have none.
    """

    reads_inputs = False  # its distributions are made of the experts alone

    def __init__(
        self,
        subsets="powerset",
        prior_expert="full",
        max_components=1024,
        num_components=64,
        modalities=None,
        **kwargs,
    ):
        super().__init__(**{"dtype": "float32", "autocast": False} | kwargs)
        if prior_expert not in PRIOR_RULES:
            raise ValueError(
                f"`prior_expert` must be one of {', '.join(map(repr, PRIOR_RULES))}. "
                f"Received: prior_expert={prior_expert!r}"
            )
        self.subsets = subsets if isinstance(subsets, str) else [families.as_subset(subset) for subset in subsets]
        self.prior_expert = prior_expert
        self.max_components = check_count("max_components", max_components)
        self.num_components = check_count("num_components", num_components)
        self.modalities = None
        self.density = Normal
        families.subset_names(subsets if isinstance(subsets, str) else "full", ("any",))  # an unknown family fails here
        if modalities is not None:
            self.bind(modalities)

    def bind(self, modalities, density="normal"):
        """Sets the names of all modalities and the experts' density, once: a layer belongs to one model."""
        modalities = tuple(modalities)
        if self.modalities not in (None, modalities):
            raise ValueError(
                f"This layer already joins the modalities {list(self.modalities)}. Received: {list(modalities)}"
            )
        if self.subsets != "powerset":  # of many modalities never listed
            families.subset_names(self.subsets, modalities)
        self.modalities = modalities
        self.density = DENSITIES[density]
        if (
            self.density is not Normal
            and (self.subsets, self.prior_expert) != ("unimodal", "none")
            and len(modalities) > 1
        ):
            raise ValueError(
                f'Only normal experts have products: {density} ones need `subsets="unimodal"` and `prior_expert="none"`. '
                f"Received: subsets={self.subsets!r}, prior_expert={self.prior_expert!r}"
            )

    def check_latent_dim(self, latent_dim):
        """Raises a ValueError if this layer has another latent size than the model: it has that of the experts."""

    def build(self, input_shape=None):
        self.built = True

    def build_for(self, event_shapes):
        """Builds what reads modalities of these shapes {name: E}: nothing here."""
        self.build()

    def __call__(self, experts, available=None, seed=None):
        # Keras takes nothing but tensors as positional arguments.
        return super().__call__(experts=experts, available=available, seed=seed)

    def call(self, experts, available=None, seed=None):
        return self.components(experts, available, seed=seed).distribution()

    def components(self, experts, available=None, x=None, seed=None, training=False):
        """As `call`, but batched over the components (`Components`): what objectives work on.

        `x`, {name: [B, E]} of the same modalities, and `training` are for layers with a network (`reads_inputs`).
        """
        names, loc, scale, available = self.stack(experts, available)
        if self.draws(names):
            weights = tf.fill([tf.shape(loc)[0], self.num_components], 1.0 / self.num_components)
            return self.products(loc, scale, available, sampling.subsets(available, self.num_components, seed), weights)
        subsets = self.formable_subsets(names)
        membership = tf.constant(families.membership_matrix(subsets, names))
        weights, formable = families.component_weights(membership, available)
        if self.density is not Normal:
            return Components(weights, *masked(loc, scale, available), self.density)
        if not self.covers_every_row(subsets, names):
            # Component 0 of a row that can form none of them: all it has.
            rest = (~formable)[:, None, None] & (tf.range(len(subsets)) == 0)[:, None]  # [B, S, 1]
            membership = tf.where(rest, 1.0, membership)
        return self.products(loc, scale, available, membership, weights)

    def whole(self, experts, available=None, x=None):
        """The product of all the experts that each row has, as `Components` with S = 1."""
        _, loc, scale, available = self.stack(experts, available)
        weights, membership = tf.ones([tf.shape(loc)[0], 1]), tf.ones([1, len(experts)])
        if len(experts) == 1 and self.keeps_lone_expert():
            return Components(weights, *masked(loc, scale, available), self.density)
        precision, weighted, prior = self.naturals(loc, scale, available, membership)
        # Sums, not a product of matrices as for many subsets: it is slow for one.
        total = tf.reduce_sum(precision, axis=1, keepdims=True) + prior[..., None]
        return Components(weights, tf.reduce_sum(weighted, axis=1, keepdims=True) / total, rounding.rsqrt(total))

    def product(self, experts, available=None, x=None):
        """The product of all the experts that each row has: `tfd.MultivariateNormalDiag`, [B] x [D]."""
        return self.whole(experts, available, x).first()

    def center(self, experts, available=None, x=None):
        """The mean of the product of all that each row has, [B, D]; of the mixture, where experts have no product."""
        if self.density is Normal:
            return self.whole(experts, available, x).loc[:, 0]
        components = self.components(experts, available, x)
        return tf.reduce_sum(components.weights[..., None] * components.loc, axis=1)

    def largest(self, experts, available=None, x=None):
        """`Components` with weight on the largest subsets only that a row can form.

        For "powerset" and "full" this is the product of all that the row has, for "unimodal" the mixture of its experts:
        the distribution from which a method translates.
        """
        if self.subsets in ("powerset", "full"):
            return self.whole(experts, available, x)
        components = self.components(experts, available, x)
        weights = components.weights
        names = tuple(name for name in self.modalities if name in experts)
        size = tf.constant([float(len(subset)) for subset in self.formable_subsets(names)])
        size = tf.where(weights > 0.0, size, -1.0)
        chosen = tf.cast((size == tf.reduce_max(size, axis=-1, keepdims=True)) & (weights > 0.0), tf.float32)
        chosen *= rounding.reciprocal(tf.reduce_sum(chosen, axis=-1, keepdims=True))
        return Components(chosen, components.loc, components.scale, self.density)

    def draws(self, names):
        """Whether the subsets of these modalities are too many to be listed, so that some are drawn."""
        return self.subsets == "powerset" and 2 ** len(names) - 1 > self.max_components

    def formable_subsets(self, names):
        """The family's subsets of the modalities in `names`; where it has none, the one of all of `names`."""
        if self.subsets == "powerset":
            return families.subset_names("powerset", names)
        subsets = families.subset_names(self.subsets, self.modalities)
        return tuple(subset for subset in subsets if set(subset) <= set(names)) or (names,)

    def covers_every_row(self, subsets, names):
        """Whether component 0 already is what a row that can form no subset needs: the product of all it has."""
        return subsets[0] in (names, ()) or all((name,) in subsets for name in names)

    def products(self, loc, scale, available, membership, weights):
        """`Products` of stacked experts [B, M, D] for subsets given by membership [S, M] or [B, S, M]."""
        precision, weighted, prior = self.naturals(loc, scale, available, membership)
        return Products(weights, precision, weighted, membership, prior)

    def naturals(self, loc, scale, available, membership):
        """Precision and weighted loc of the experts, [B, M, D], and the power of the prior in each product, [B, S]."""
        if self.density is not Normal:
            raise ValueError(f"Only normal experts have products. Received: {self.density.name} experts")
        if self.prior_expert == "conjunctive":
            scale = tf.minimum(scale, 1.0)
        prior = gaussian.or_empty(self.prior_power(membership, available), membership, available)
        return *gaussian.natural(loc, scale, available), prior

    def keeps_lone_expert(self):
        """Whether the product of one expert alone is that expert: by this class's own rules no prior joins it."""
        rules = type(self).prior_power is MixtureOfProducts.prior_power
        return self.density is not Normal or (rules and self.prior_expert in ("full", "none"))

    def prior_power(self, membership, available):
        """The power of the prior in each product, [S] or [B, S], by the layer's rule."""
        subsets = tf.shape(membership)[:-1]  # [S] or [B, S]
        if self.prior_expert == "all":
            return tf.ones(subsets)
        if self.prior_expert == "conjunctive":
            members = membership * tf.cast(available, tf.float32)[:, None]  # [B, S, M]
            return 1.0 - tf.reduce_sum(members, axis=-1)
        total = len(self.modalities)
        # A lone expert is the posterior of a plain VAE, and stays as it is.
        if self.prior_expert == "none" or membership.shape[-1] < total or total == 1:
            return tf.zeros(subsets)
        full = tf.cast(tf.reduce_all(membership > 0.0, axis=-1), tf.float32)  # [S] or [B, S]
        return full * tf.cast(tf.reduce_all(available, axis=1), tf.float32)[:, None]  # [B, S]

    def stack(self, experts, available):
        """The given experts' names in the order of `modalities`; loc, scale [B, M, D] and available [B, M] of them."""
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
        names = tuple(name for name in self.modalities if name in experts)
        pairs = [loc_and_scale(experts[name]) for name in names]
        loc, scale = (tf.stack([tf.cast(x, tf.float32) for x in part], axis=1) for part in zip(*pairs))
        everywhere = tf.ones(tf.shape(loc)[:1], tf.bool)
        flags = [tf.cast((available or {}).get(name, everywhere), tf.bool) for name in names]
        return names, loc, scale, tf.stack(flags, axis=1)

    def get_config(self):
        return super().get_config() | {
            "subsets": self.subsets,
            "prior_expert": self.prior_expert,
            "max_components": self.max_components,
            "num_components": self.num_components,
            "modalities": self.modalities,
        }


def masked(loc, scale, available):
    """Those of the prior where a row has no expert: [B, M, D]."""
    present = available[..., None]
    return tf.where(present, loc, 0.0), tf.where(present, scale, 1.0)


def from_name(joint_posterior):
    """The layer of a method's name, with its published rules, or the given layer."""
    published = {
        "mopoe": ("powerset", "full"),
        "mvae": ("full", "all"),
        "mmvae": ("unimodal", "none"),
        "mmjsd": ("unimodal_and_prior", "none"),
        "mvtcae": ("full", "none"),
    }
    if isinstance(joint_posterior, MixtureOfProducts):
        return joint_posterior
    if not isinstance(joint_posterior, str) or joint_posterior not in published:
        raise ValueError(
            f"`joint_posterior` must be one of {', '.join(map(repr, published))}, or a MixtureOfProducts layer. "
            f"Received: joint_posterior={joint_posterior!r}"
        )
    return MixtureOfProducts(*published[joint_posterior])
