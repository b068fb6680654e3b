"""Every objective of the library once, with a joint posterior that suits it: for tests that hold of all of them."""

import numpy as np
import small

import tf_mopoe as mopoe
from tf_mopoe import objectives

# {class: (objective of its settings, joint posterior of the modalities' names, for 4 latent variables)}
CASES = {
    "ELBO": (objectives.ELBO, lambda names: "mopoe"),
    "IWAE": (lambda num_samples=2, **settings: objectives.IWAE(num_samples, **settings), lambda names: "mmvae"),
    "MVAE": (
        lambda num_subsets=1, **settings: objectives.MVAE(num_subsets=num_subsets, **settings),
        lambda names: "mvae",
    ),
    "MMJSD": (objectives.MMJSD, lambda names: "mmjsd"),
    "MVTCAE": (objectives.MVTCAE, lambda names: "mvtcae"),
    "JMVAE": (objectives.JMVAE, small.joint_encoder),
    "TELBO": (objectives.TELBO, small.joint_encoder),
    "CRMVAE": (objectives.CRMVAE, lambda names: "mvtcae"),
    "JNF": (objectives.JNF, small.joint_encoder),
    "MMVM": (lambda alpha=0.5, **settings: objectives.MMVM(alpha=alpha, **settings), lambda names: "mmvae"),
    "DMVAE": (objectives.DMVAE, lambda names: "mvae"),
    "Masked": (objectives.Masked, lambda names: mopoe.SetEncoder(units=8)),
    "CoDE": (
        objectives.CoDE,
        lambda names: mopoe.MixtureOfProducts(pooling=mopoe.pooling.Correlated(), learned_weights=True),
    ),
    "InfoNCE": (lambda **settings: objectives.InfoNCE(objectives.ELBO(), **settings), lambda names: "mopoe"),
    "Contrastive": (
        lambda num_unrelated=2, **settings: objectives.Contrastive(
            objectives.ELBO(), num_unrelated=num_unrelated, **settings
        ),
        lambda names: "mopoe",
    ),
}


def model(case, names=tuple(small.SHAPES), settings=None, make=small.model, **kwargs):
    """A model of `small`'s modalities with the objective of a case; make: as `small.model`."""
    objective, joint_posterior = CASES[case]
    result = make(names, joint_posterior=joint_posterior(names), objective=objective(**settings or {}), **kwargs)
    if case == "Masked":  # its posterior starts near N(0, I), where the KL is nothing
        result.mixture.head.kernel.assign(30.0 * result.mixture.head.kernel)
    if case == "CoDE":  # its weights start equal, where their entropy's term is nothing
        result.mixture.logits.assign(np.linspace(0.0, 2.0, result.mixture.logits.shape[0]))
    return result
