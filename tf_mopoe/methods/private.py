"""Methods that are about private latent variables."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tf_mopoe import objectives, pooling, priors
from tf_mopoe.encoders import GaussianEncoder, LaplaceEncoder
from tf_mopoe.methods.method import Method
from tf_mopoe.posteriors.mixture_of_products import MixtureOfProducts
from tf_mopoe.typing import Scheduled


@dataclasses.dataclass(frozen=True)
class MMVAEPlus(Method):
    """MMVAE+: the mixture of experts with private latent variables (Palumbo, Daunhawer, Vogt, ICLR 2023: PolyMNIST)."""

    beta: Scheduled = 2.5
    num_samples: int = 1
    encoder = LaplaceEncoder
    needs_private = True

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {"joint_posterior": "mmvae", "objective": objectives.IWAE(self.num_samples, self.beta)}


@dataclasses.dataclass(frozen=True)
class CMVAE(MMVAEPlus):
    """CMVAE: MMVAE+ with a learned mixture as prior, its components clusters (Palumbo et al., ICLR 2024: PolyMNIST)."""

    num_clusters: int = 40

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        start = 3.0**-0.5  # the standard deviation of the published one, U(-1, 1)
        prior = priors.Mixture(self.num_clusters, spread=start, learn_weights=True, learn_scale=False)
        return super().parts(encoders) | {"prior": prior}


@dataclasses.dataclass(frozen=True)
class MoPoEPlus(Method):
    """MoPoE+, this library's: all subsets, auxiliary private priors, a mixture as p(z) and p(w | z).

    The mixture starts near its centre with weights that stay equal, so that it does not collapse onto a few components.
    """

    beta: Scheduled = 2.5
    num_components: int = 40
    needs_private = True

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {
            "joint_posterior": "mopoe",
            "objective": objectives.ELBO(self.beta),
            "prior": priors.Mixture(self.num_components),
            "private_prior": priors.GivenShared(),
        }


@dataclasses.dataclass(frozen=True)
class DMVAE(Method):
    """DMVAE: bounds of the product and of each expert, every private latent its own (Lee & Pavlovic, CVPRW 2021)."""

    beta: Scheduled = 1.0
    needs_private = True

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {"joint_posterior": "mvae", "objective": objectives.DMVAE(self.beta), "private_source": "own"}


@dataclasses.dataclass(frozen=True)
class MFM(Method):
    """The multimodal factorization model, approximately (Tsai, Liang, Zadeh, Morency, Salakhutdinov, ICLR 2019).

    A shared discriminative factor z of all modalities but the label decodes everything, the label from it alone; each other
    modality has a generative factor of its own besides, w. The label is a modality like others: it may be missing, in
    training too, and is never read where there is anything else, so that `translate(..., to=label)` is a classifier.

    What differs from the paper: KLs (a bound on log p) in place of the MMD of Wasserstein autoencoders; z by the product of
    experts in place of one network of all modalities; what a row lacks is left out of that product, where the paper trains
    surrogate networks. Give the label's encoder `private_dim=0`: with another its w is a narrow noise.

    Args:
        beta: weight of the KLs.
        label: name of the label's modality. Default: the last one.

    Raises:
        ValueError: in the model, for a label that is no modality, or the only one.
    """

    beta: Scheduled = 1.0
    label: str | None = None
    needs_private = True

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        label = list(encoders)[-1] if self.label is None else self.label
        if label not in encoders or len(encoders) < 2:
            raise ValueError(f"`label` must be one of several modalities, {list(encoders)}. Received: label={label!r}")
        layer = MixtureOfProducts("full", pooling=pooling.Product("all", left_out=label))
        return {"joint_posterior": layer, "objective": objectives.ELBO(self.beta)}
