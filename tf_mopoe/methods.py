"""The methods of the family as presets: joint posterior, objective and priors with published defaults.

`MultimodalVAE(encoders, decoders, method=methods.MoPoE())`, or by name, `method="mopoe"`. Each preset's docstring says where
its defaults come from; `private_dim` of the encoders is the user's choice, and the presets that are about private latent
variables say so if there are none.
"""

import dataclasses

import keras

from tf_mopoe import objectives, pooling, priors
from tf_mopoe.encoders import GaussianEncoder, LaplaceEncoder
from tf_mopoe.networks import joint_encoder
from tf_mopoe.posteriors.joint_encoder import JointEncoder
from tf_mopoe.posteriors.mixture_of_products import MixtureOfProducts

__all__ = [
    "CMVAE",
    "CRMVAE",
    "HELVAE",
    "JMVAE",
    "JNF",
    "MMJSD",
    "MMVAE",
    "MMVM",
    "MVAE",
    "MVTCAE",
    "TELBO",
    "GPoE",
    "MMVAEPlus",
    "Method",
    "MoHELVAE",
    "MoPoE",
    "MoPoEPlus",
    "WithInfoNCE",
    "from_name",
]


class Method:
    """A preset. A subclass has `parts`."""

    encoder = GaussianEncoder  # the class of the published encoders
    needs_private = False  # whether the encoders must have private latent variables

    def parts(self, encoders):
        """The arguments of `MultimodalVAE` that the method sets, {name: value}, for {modality: encoder}."""
        raise NotImplementedError

    def arguments(self, encoders):
        """`parts`, after a check of the encoders.

        Raises:
            ValueError: for encoders without private latent variables, if the method is about these.
        """
        if self.needs_private and not any(encoder.private_dim for encoder in encoders.values()):
            raise ValueError(
                f"methods.{type(self).__name__} needs `encoders` with private latent variables, "
                "GaussianEncoder(..., private_dim=P). Received: encoders without any"
            )
        return self.parts(encoders)


@dataclasses.dataclass(frozen=True)
class MoPoE(Method):
    """MoPoE-VAE: the mixture of the products of all subsets (Sutter et al., ICLR 2021; beta of all experiments)."""

    beta: object = 2.5

    def parts(self, encoders):
        return {"joint_posterior": "mopoe", "objective": objectives.ELBO(self.beta)}


@dataclasses.dataclass(frozen=True)
class MVAE(Method):
    """MVAE: the product of experts, and the bounds of all, each alone and random subsets (Wu & Goodman, NeurIPS 2018)."""

    beta: object = 1.0
    num_subsets: int = 1

    def parts(self, encoders):
        return {"joint_posterior": "mvae", "objective": objectives.MVAE(self.beta, self.num_subsets)}


@dataclasses.dataclass(frozen=True)
class MMVAE(Method):
    """MMVAE: the mixture of experts, importance-weighted (Shi et al., NeurIPS 2019: MNIST-SVHN's settings).

    The published encoders are `LaplaceEncoder`.
    """

    num_samples: int = 30
    beta: object = 1.0
    gradient: str = "dreg"
    encoder = LaplaceEncoder

    def parts(self, encoders):
        objective = objectives.IWAE(self.num_samples, self.beta, self.gradient)
        return {"joint_posterior": "mmvae", "objective": objective, "prior": priors.LearnedScale()}


@dataclasses.dataclass(frozen=True)
class MMJSD(Method):
    """mmJSD: Jensen-Shannon divergence with a dynamic prior (Sutter et al., NeurIPS 2020; beta as in Sutter et al. 2021)."""

    beta: object = 2.5

    def parts(self, encoders):
        return {"joint_posterior": "mmjsd", "objective": objectives.MMJSD(self.beta)}


@dataclasses.dataclass(frozen=True)
class MVTCAE(Method):
    """MVTCAE: total correlation, each expert drawn to the product (Hwang et al., NeurIPS 2021: the published run)."""

    beta: object = 2.5
    alpha: float = 5.0 / 6.0

    def parts(self, encoders):
        return {"joint_posterior": "mvtcae", "objective": objectives.MVTCAE(self.alpha, self.beta)}


@dataclasses.dataclass(frozen=True)
class JMVAE(Method):
    """JMVAE-kl: one encoder of all modalities teaches the single ones (Suzuki et al. 2016)."""

    beta: object = 1.0
    alpha: float = 0.1

    def parts(self, encoders):
        return {"joint_posterior": joint(encoders), "objective": objectives.JMVAE(self.alpha, self.beta)}


@dataclasses.dataclass(frozen=True)
class TELBO(Method):
    """TELBO: a bound of all and one of each modality, with the decoders held (Vedantam et al., ICLR 2018)."""

    beta: object = 1.0
    unimodal_weight: float = 1.0

    def parts(self, encoders):
        return {"joint_posterior": joint(encoders), "objective": objectives.TELBO(self.beta, self.unimodal_weight)}


@dataclasses.dataclass(frozen=True)
class JNF(Method):
    """JNF without flows: the single encoders learn the joint one's posterior (Senellart et al. 2023: PolyMNIST)."""

    beta: object = 1.0

    def parts(self, encoders):
        return {"joint_posterior": joint(encoders), "objective": objectives.JNF(self.beta)}


@dataclasses.dataclass(frozen=True)
class CRMVAE(Method):
    """CRMVAE: everything from the product, each modality from its expert too (Suzuki & Matsuo 2023)."""

    beta: object = 2.5

    def parts(self, encoders):
        return {"joint_posterior": "mvtcae", "objective": objectives.CRMVAE(self.beta)}


@dataclasses.dataclass(frozen=True)
class MMVM(Method):
    """MMVM: a latent variable for each modality, drawn to the others' (Sutter et al., NeurIPS 2024)."""

    beta: object = 1.0
    alpha: object = None

    def parts(self, encoders):
        return {"joint_posterior": "mmvae", "objective": objectives.MMVM(self.beta, self.alpha)}


@dataclasses.dataclass(frozen=True)
class MMVAEPlus(Method):
    """MMVAE+: the mixture of experts with private latent variables (Palumbo, Daunhawer, Vogt, ICLR 2023: PolyMNIST)."""

    beta: object = 2.5
    num_samples: int = 1
    encoder = LaplaceEncoder
    needs_private = True

    def parts(self, encoders):
        return {"joint_posterior": "mmvae", "objective": objectives.IWAE(self.num_samples, self.beta)}


@dataclasses.dataclass(frozen=True)
class CMVAE(MMVAEPlus):
    """CMVAE: MMVAE+ with a learned mixture as prior, its components clusters (Palumbo et al., ICLR 2024: PolyMNIST)."""

    num_clusters: int = 40

    def parts(self, encoders):
        prior = priors.Mixture(self.num_clusters, spread=1.0, learn_weights=True, learn_scale=False)
        return super().parts(encoders) | {"prior": prior}


@dataclasses.dataclass(frozen=True)
class MoPoEPlus(Method):
    """MoPoE+, this library's: all subsets, auxiliary private priors, a mixture as p(z) and p(w | z).

    The mixture starts near its centre with weights that stay equal, so that it does not collapse onto a few components.
    """

    beta: object = 2.5
    num_components: int = 40
    needs_private = True

    def parts(self, encoders):
        return {
            "joint_posterior": "mopoe",
            "objective": objectives.ELBO(self.beta),
            "prior": priors.Mixture(self.num_components),
            "private_prior": priors.GivenShared(),
        }


@dataclasses.dataclass(frozen=True)
class HELVAE(Method):
    """HELVAE: experts pooled by the squared Hellinger distance (AISTATS 2026; beta from the published 1, 2.5 and 5)."""

    beta: object = 1.0
    subsets = "full"

    def parts(self, encoders):
        layer = MixtureOfProducts(self.subsets, pooling=pooling.Hellinger())
        return {"joint_posterior": layer, "objective": objectives.ELBO(self.beta)}


class MoHELVAE(HELVAE):
    """MoHELVAE: MoPoE's mixture over all subsets, of Hellinger poolings (AISTATS 2026)."""

    subsets = "powerset"


@dataclasses.dataclass(frozen=True)
class GPoE(Method):
    """gPoE: the product of experts with learned weights (Cao & Fleet 2014)."""

    beta: object = 1.0

    def parts(self, encoders):
        layer = MixtureOfProducts("full", pooling=pooling.WeightedProduct())
        return {"joint_posterior": layer, "objective": objectives.ELBO(self.beta)}


@dataclasses.dataclass(frozen=True)
class WithInfoNCE(Method):
    """Another method, with InfoNCE between the experts' means on top (the cross-modal term of IDMVAE, ICLR 2026)."""

    method: Method
    weight: float = 80.0
    temperature: float = 1.0

    @property
    def encoder(self):
        return self.method.encoder

    @property
    def needs_private(self):
        return self.method.needs_private

    def parts(self, encoders):
        parts = self.method.parts(encoders)
        return parts | {"objective": objectives.InfoNCE(parts["objective"], self.weight, self.temperature)}


def joint(encoders):
    """A `JointEncoder` over clones of the encoders' networks."""
    networks = {name: keras.models.clone_model(encoder.network) for name, encoder in encoders.items()}
    return JointEncoder(joint_encoder(networks), next(iter(encoders.values())).latent_dim)


NAMES = {
    "cmvae": CMVAE,
    "crmvae": CRMVAE,
    "gpoe": GPoE,
    "helvae": HELVAE,
    "jmvae": JMVAE,
    "jnf": JNF,
    "mmjsd": MMJSD,
    "mmvae": MMVAE,
    "mmvae_plus": MMVAEPlus,
    "mmvm": MMVM,
    "mohelvae": MoHELVAE,
    "mopoe": MoPoE,
    "mopoe_plus": MoPoEPlus,
    "mvae": MVAE,
    "mvtcae": MVTCAE,
    "telbo": TELBO,
}


def from_name(method):
    """The preset of a name with its published defaults, or the given `Method`.

    Raises:
        ValueError: for another name or object.
    """
    if isinstance(method, Method):
        return method
    if not isinstance(method, str) or method not in NAMES:
        raise ValueError(
            f"`method` must be one of {', '.join(map(repr, NAMES))}, or one of tf_mopoe.methods, such as MoPoE(beta=2.5). "
            f"Received: method={method!r}"
        )
    return NAMES[method]()
