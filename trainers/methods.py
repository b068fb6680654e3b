"""The methods that can be trained, {name: function of beta, a number or a schedule -> `tf_mopoe.methods.Method`}.

A new method is one more line here, if its objective or its layer is there (docs/design.md, "Adding a method").
"""

import dataclasses

from keras.optimizers.schedules import PolynomialDecay as Decay

from tf_mopoe import GaussianEncoder, LaplaceEncoder, methods, objectives, priors


@dataclasses.dataclass(frozen=True)
class Combined(methods.Method):
    """Any joint posterior with any objective."""

    joint_posterior: object  # a name or a layer
    objective: objectives.Objective
    encoder: type = GaussianEncoder
    prior: priors.Prior | None = None

    def parts(self, encoders):
        return {"joint_posterior": self.joint_posterior, "objective": self.objective, "prior": self.prior}


def dreg(beta):
    return objectives.IWAE(10, beta, gradient="dreg")


METHODS = {
    "mopoe": methods.MoPoE,
    "mopoe_plus": methods.MoPoEPlus,
    "mopoe_mixture": lambda beta: Combined("mopoe", objectives.ELBO(beta), prior=priors.Mixture(40)),
    "mopoe_dreg": lambda beta: Combined("mopoe", dreg(beta)),
    "mopoe_contrastive": lambda beta: Combined("mopoe", objectives.Contrastive(objectives.ELBO(beta))),
    "mopoe_infonce": lambda beta: methods.WithInfoNCE(methods.MoPoE(beta)),
    "mopoe_plus_infonce": lambda beta: methods.WithInfoNCE(methods.MoPoEPlus(beta)),
    "code": methods.CoDE,
    "mvae": lambda beta: methods.MVAE(beta, num_subsets=0),  # all and each alone
    "mvae_joint": lambda beta: Combined("mvae", objectives.ELBO(beta)),  # the bound of all modalities alone
    "mmvae": lambda beta: Combined("mmvae", objectives.ELBO(beta, kl="mixture")),  # K = 1
    "mmvae_dreg": lambda beta: Combined("mmvae", dreg(beta)),
    "mmvae_plus": methods.MMVAEPlus,
    "cmvae": methods.CMVAE,
    "cmvae_infonce": lambda beta: methods.WithInfoNCE(methods.CMVAE(beta)),
    "mfm": methods.MFM,  # the last modality, the word, is the label
    "dmvae": methods.DMVAE,
    "mmvae_laplace": lambda beta: Combined("mmvae", dreg(beta), LaplaceEncoder),  # with K = 10 and a fixed prior
    "mmjsd": methods.MMJSD,
    "jmvae": methods.JMVAE,
    "telbo": methods.TELBO,
    "mvtcae": methods.MVTCAE,
    "helvae": methods.HELVAE,
    "mohelvae": methods.MoHELVAE,
    "gpoe": methods.GPoE,
    "hoelder": methods.Hoelder,
    "hoelder_plus": methods.HoelderPlus,
    "crmvae": methods.CRMVAE,
    "every_subset": methods.EverySubset,
    "masked": methods.Masked,
    "masked_attention": lambda beta: methods.Masked(beta, "attention"),
    "jnf": methods.JNF,
    "mmvm": lambda beta: methods.MMVM(beta, Decay(1.0, 1000, 0.0)),  # alpha is 0 before these runs end
    "conjunctive": lambda beta: methods.Kurle(beta, "conjunctive"),
    "disjunctive": lambda beta: methods.Kurle(beta, "disjunctive"),
}
