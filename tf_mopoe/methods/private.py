"""Methods that are about private latent variables."""

import dataclasses

from tf_mopoe import objectives, priors
from tf_mopoe.encoders import LaplaceEncoder
from tf_mopoe.methods.method import Method


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
class DMVAE(Method):
    """DMVAE: bounds of the product and of each expert, every private latent its own (Lee & Pavlovic, CVPRW 2021)."""

    beta: object = 1.0
    needs_private = True

    def parts(self, encoders):
        return {"joint_posterior": "mvae", "objective": objectives.DMVAE(self.beta), "private_source": "own"}
