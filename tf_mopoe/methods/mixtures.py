"""Methods whose joint posterior is a mixture."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from tf_mopoe import objectives, pooling, priors
from tf_mopoe.encoders import GaussianEncoder, LaplaceEncoder
from tf_mopoe.methods.method import Method
from tf_mopoe.posteriors.mixture_of_products import MixtureOfProducts
from tf_mopoe.typing import Scheduled


@dataclasses.dataclass(frozen=True)
class MoPoE(Method):
    """MoPoE-VAE: the mixture of the products of all subsets (Sutter et al., ICLR 2021; beta of all experiments)."""

    beta: Scheduled = 2.5

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {"joint_posterior": "mopoe", "objective": objectives.ELBO(self.beta)}


@dataclasses.dataclass(frozen=True)
class MMVAE(Method):
    """MMVAE: the mixture of experts, importance-weighted (Shi et al., NeurIPS 2019: MNIST-SVHN's settings).

    The published encoders are `LaplaceEncoder`.
    """

    num_samples: int = 30
    beta: Scheduled = 1.0
    gradient: str = "dreg"
    encoder = LaplaceEncoder

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        objective = objectives.IWAE(self.num_samples, self.beta, self.gradient)
        return {"joint_posterior": "mmvae", "objective": objective, "prior": priors.LearnedScale()}


@dataclasses.dataclass(frozen=True)
class MMJSD(Method):
    """mmJSD: Jensen-Shannon divergence with a dynamic prior (Sutter et al., NeurIPS 2020; beta as in Sutter et al. 2021)."""

    beta: Scheduled = 2.5

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {"joint_posterior": "mmjsd", "objective": objectives.MMJSD(self.beta)}


@dataclasses.dataclass(frozen=True)
class MMVM(Method):
    """MMVM: a latent variable for each modality, drawn to the others' (Sutter et al., NeurIPS 2024)."""

    beta: Scheduled = 1.0
    alpha: Scheduled | None = None

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {"joint_posterior": "mmvae", "objective": objectives.MMVM(self.beta, self.alpha)}


@dataclasses.dataclass(frozen=True)
class CoDE(Method):
    """CoDE-VAE: all subsets, pooled as experts with correlated errors, of learned weights (ICML 2025: PolyMNIST)."""

    beta: Scheduled = 2.5
    correlation: float = 0.5

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        layer = MixtureOfProducts(pooling=pooling.Correlated(self.correlation), learned_weights=True)
        return {"joint_posterior": layer, "objective": objectives.CoDE(self.beta)}


@dataclasses.dataclass(frozen=True)
class Hoelder(Method):
    """Hoelder pooling: the mixture ( sum{ sqrt( q[m] ) : m } )^2 of single experts and pairs (Vo et al., ICML 2026).

    The published code was not available: the bound is that of `IWAE` with one sample of each component, and the default beta
    the smallest of those that the paper tried.
    """

    beta: Scheduled = 1.0

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        subsets = [*itertools.combinations(encoders, 1), *itertools.combinations(encoders, 2)]
        layer = MixtureOfProducts(subsets, pooling=pooling.Hoelder())
        return {"joint_posterior": layer, "objective": objectives.IWAE(1, self.beta)}


class HoelderPlus(Hoelder):
    """Hoelder+: the same with private latent variables (Vo et al., ICML 2026).

    Where z comes from a pair, its two modalities decode with their own w, all others with one from the auxiliary prior.
    """

    needs_private = True
