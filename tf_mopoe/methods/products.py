"""Methods that pool the experts, by the product or by another rule."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tf_mopoe import objectives, pooling
from tf_mopoe.checks import check_choice
from tf_mopoe.encoders import GaussianEncoder
from tf_mopoe.methods.method import Method
from tf_mopoe.posteriors.mixture_of_products import MixtureOfProducts
from tf_mopoe.typing import Number, Scheduled


@dataclasses.dataclass(frozen=True)
class MVAE(Method):
    """MVAE: the product of experts, and the bounds of all, each alone and random subsets (Wu & Goodman, NeurIPS 2018)."""

    beta: Scheduled = 1.0
    num_subsets: int = 1

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {"joint_posterior": "mvae", "objective": objectives.MVAE(self.beta, self.num_subsets)}


@dataclasses.dataclass(frozen=True)
class MVTCAE(Method):
    """MVTCAE: total correlation, each expert drawn to the product (Hwang et al., NeurIPS 2021: the published run)."""

    beta: Scheduled = 2.5
    alpha: Number = 5.0 / 6.0

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {"joint_posterior": "mvtcae", "objective": objectives.MVTCAE(self.alpha, self.beta)}


@dataclasses.dataclass(frozen=True)
class CRMVAE(Method):
    """CRMVAE: everything from the product, each modality from its expert too (Suzuki & Matsuo 2023)."""

    beta: Scheduled = 2.5

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {"joint_posterior": "mvtcae", "objective": objectives.CRMVAE(self.beta)}


@dataclasses.dataclass(frozen=True)
class HELVAE(Method):
    """HELVAE: experts pooled by the squared Hellinger distance (AISTATS 2026; beta from the published 1, 2.5 and 5)."""

    beta: Scheduled = 1.0
    subsets = "full"

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        layer = MixtureOfProducts(self.subsets, pooling=pooling.Hellinger())
        return {"joint_posterior": layer, "objective": objectives.ELBO(self.beta)}


class MoHELVAE(HELVAE):
    """MoHELVAE: MoPoE's mixture over all subsets, of Hellinger poolings (AISTATS 2026)."""

    subsets = "powerset"


@dataclasses.dataclass(frozen=True)
class GPoE(Method):
    """gPoE: the product of experts with learned weights (Cao & Fleet 2014)."""

    beta: Scheduled = 1.0

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        layer = MixtureOfProducts("full", pooling=pooling.WeightedProduct())
        return {"joint_posterior": layer, "objective": objectives.ELBO(self.beta)}


@dataclasses.dataclass(frozen=True)
class Kurle(Method):
    """Multi-source neural variational inference (Kurle, Guennemann, van der Smagt, AAAI 2019): experts that hold the prior.

    `rule="conjunctive"`: sources that complete each other, p(z)^(1 - M) prod{ q[m] }; "disjunctive": alternatives, the
    mixture of the q[m]. Each q[m] is the product of the prior and what its encoder emits. The objective is the plain bound;
    the published training was not at hand.

    Raises:
        ValueError: for another rule.
    """

    beta: Scheduled = 1.0
    rule: str = "conjunctive"

    def __post_init__(self):
        check_choice("rule", self.rule, ("conjunctive", "disjunctive"))

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        layer = MixtureOfProducts({"conjunctive": "full", "disjunctive": "unimodal"}[self.rule], "conjunctive")
        return {"joint_posterior": layer, "objective": objectives.ELBO(self.beta)}
