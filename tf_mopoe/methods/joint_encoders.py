"""Methods with a network that reads several modalities at once."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras

from tf_mopoe import objectives
from tf_mopoe.encoders import GaussianEncoder
from tf_mopoe.methods.method import Method
from tf_mopoe.networks import joint_encoder
from tf_mopoe.posteriors.joint_encoder import JointEncoder
from tf_mopoe.posteriors.set_encoder import SetEncoder
from tf_mopoe.posteriors.subset_encoders import SubsetEncoders
from tf_mopoe.subsets import subset_names
from tf_mopoe.typing import Number, Scheduled


@dataclasses.dataclass(frozen=True)
class JMVAE(Method):
    """JMVAE-kl: one encoder of all modalities teaches the single ones (Suzuki et al. 2016)."""

    beta: Scheduled = 1.0
    alpha: Scheduled = 0.1

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {"joint_posterior": joint(encoders), "objective": objectives.JMVAE(self.alpha, self.beta)}


@dataclasses.dataclass(frozen=True)
class TELBO(Method):
    """TELBO: a bound of all and one of each modality, with the decoders held (Vedantam et al., ICLR 2018)."""

    beta: Scheduled = 1.0
    unimodal_weight: Number | Mapping[str, Number] = 1.0  # or {name: number}

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {"joint_posterior": joint(encoders), "objective": objectives.TELBO(self.beta, self.unimodal_weight)}


@dataclasses.dataclass(frozen=True)
class JNF(Method):
    """JNF without flows: the single encoders learn the joint one's posterior (Senellart et al. 2023: PolyMNIST)."""

    beta: Scheduled = 1.0

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {"joint_posterior": joint(encoders), "objective": objectives.JNF(self.beta)}


@dataclasses.dataclass(frozen=True)
class Masked(Method):
    """The masked bound with a permutation-invariant network of any set of modalities (Hirt et al., TMLR 2024)."""

    beta: Scheduled = 1.0
    aggregation: str = "sum"

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        return {"joint_posterior": SetEncoder(self.aggregation), "objective": objectives.Masked(self.beta)}


@dataclasses.dataclass(frozen=True)
class EverySubset(Method):
    """MoPoE's bound with an encoder network for every subset in place of products (Sutter et al., ICLR 2021)."""

    beta: Scheduled = 2.5

    def parts(self, encoders: Mapping[str, GaussianEncoder]) -> dict[str, Any]:
        subsets = [subset for subset in subset_names("powerset", encoders) if len(subset) > 1]
        networks = {subset: joint_encoder(clones(encoders, subset)) for subset in subsets}
        layer = SubsetEncoders(networks, next(iter(encoders.values())).latent_dim)
        return {"joint_posterior": layer, "objective": objectives.ELBO(self.beta)}


def clones(encoders, names):
    """Fresh networks of some encoders."""
    return {name: keras.models.clone_model(encoders[name].network) for name in names}


def joint(encoders):
    """A `JointEncoder` over clones of the encoders' networks."""
    return JointEncoder(joint_encoder(clones(encoders, encoders)), next(iter(encoders.values())).latent_dim)
