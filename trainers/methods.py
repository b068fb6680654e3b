"""The methods that can be trained: of each the joint posterior, and the objective for a beta.

A new method is one more line here, if its objective or its layer is there (BUILD.md, "Adding a method").
"""

import functools
from typing import NamedTuple

from tf_mopoe import GaussianEncoder, LaplaceEncoder, MixtureOfProducts
from tf_mopoe import objectives as of


class Method(NamedTuple):
    joint_posterior: object  # a name, a function that makes a layer, or JOINT_ENCODER
    objective: object  # function of beta, a number or a schedule -> objective
    encoder: type = GaussianEncoder


JOINT_ENCODER = "joint_encoder"  # a `JointEncoder` over fresh networks of all modalities
dreg = functools.partial(of.IWAE, 10, gradient="dreg")

METHODS = {
    "mopoe": Method("mopoe", of.ELBO),
    "mopoe_dreg": Method("mopoe", dreg),
    "mopoe_contrastive": Method("mopoe", lambda beta: of.Contrastive(of.ELBO(beta))),
    "mvae": Method("mvae", of.MVAE),
    "mvae_joint": Method("mvae", of.ELBO),  # the bound of all modalities alone
    "mmvae": Method("mmvae", functools.partial(of.ELBO, kl="mixture")),  # K = 1
    "mmvae_dreg": Method("mmvae", dreg),
    "mmvae_laplace": Method("mmvae", dreg, LaplaceEncoder),
    "mmjsd": Method("mmjsd", of.MMJSD),
    "jmvae": Method(JOINT_ENCODER, lambda beta: of.JMVAE(beta=beta)),
    "telbo": Method(JOINT_ENCODER, of.TELBO),
    "mvtcae": Method("mvtcae", lambda beta: of.MVTCAE(beta=beta)),
    "conjunctive": Method(lambda: MixtureOfProducts("full", "conjunctive"), of.ELBO),
}
