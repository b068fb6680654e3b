"""Every objective with settings, a joint posterior that suits it, and its loop."""

import family_reference as family
import objective_reference as loops
import small

import tf_mopoe as mopoe
from tf_mopoe import objectives

# {case: (objective of beta, joint posterior of the modalities' names, loss of a Batch, of the z that were drawn, of beta and
# of the loss found, by which is found what else was drawn)}
CASES = {
    "elbo": (
        objectives.ELBO,
        lambda names: "mopoe",
        lambda batch, z, beta, _: loops.elbo(batch, z, beta, "powerset", "full"),
    ),
    "iwae": (
        lambda beta: objectives.IWAE(num_samples=3, beta=beta),
        lambda names: "mmvae",
        lambda batch, z, beta, _: loops.iwae(batch, z, beta, 3, "unimodal", "none"),
    ),
    "dreg": (
        lambda beta: objectives.IWAE(num_samples=2, beta=beta, gradient="dreg"),
        lambda names: "mopoe",
        lambda batch, z, beta, _: loops.iwae(batch, z, beta, 2, "powerset", "full"),
    ),
    "hoelder": (
        lambda beta: objectives.IWAE(num_samples=2, beta=beta),
        lambda names: mopoe.MixtureOfProducts(family.singles_and_pairs(names), pooling=mopoe.pooling.Hoelder()),
        lambda batch, z, beta, _: family.hoelder(batch, z, beta, 2),
    ),
    "mvae": (lambda beta: objectives.MVAE(beta, num_subsets=2), lambda names: "mvae", loops.mvae),
    "mmjsd": (objectives.MMJSD, lambda names: "mmjsd", lambda batch, z, beta, _: loops.mmjsd(batch, z, beta)),
    "jmvae": (
        lambda beta: objectives.JMVAE(alpha=0.3, beta=beta),
        small.joint_encoder,
        lambda batch, z, beta, _: loops.jmvae(batch, z, beta, 0.3),
    ),
    "telbo": (
        lambda beta: objectives.TELBO(beta, unimodal_weight=3.0),
        small.joint_encoder,
        lambda batch, z, beta, _: loops.telbo(batch, z, beta, 3.0),
    ),
    "crmvae": (objectives.CRMVAE, lambda names: "mvtcae", lambda batch, z, beta, _: loops.crmvae(batch, z, beta)),
    "mmvm": (
        lambda beta: objectives.MMVM(beta, alpha=0.3),
        lambda names: "mmvae",
        lambda batch, z, beta, _: loops.mmvm(batch, z, beta, 0.3),
    ),
    "jnf": (
        lambda beta: objectives.JNF(beta, alpha=0.7),
        small.joint_encoder,
        lambda batch, z, beta, _: loops.jnf(batch, z, beta, 0.7),
    ),
    "info_nce": (
        lambda beta: objectives.InfoNCE(objectives.MVTCAE(beta=beta), weight=3.0, temperature=0.5),
        lambda names: "mvtcae",
        lambda batch, z, beta, _: loops.mvtcae(batch, z, beta, 5.0 / 6.0) + 3.0 * loops.info_nce(batch, 0.5),
    ),
    "mvtcae": (
        lambda beta: objectives.MVTCAE(beta=beta),
        lambda names: "mvtcae",
        lambda batch, z, beta, _: loops.mvtcae(batch, z, beta, 5.0 / 6.0),
    ),
    "dmvae": (objectives.DMVAE, lambda names: "mvae", lambda batch, z, beta, _: family.dmvae(batch, z, beta)),
    "masked": (
        objectives.Masked,
        lambda names: "mvae",
        family.masked,
    ),
    "masked of sets": (
        objectives.Masked,
        lambda names: mopoe.SetEncoder(units=6),
        lambda batch, z, beta, found: family.masked(batch, z, beta, found, family.set_encoder),
    ),
    "masked with attention": (
        objectives.Masked,
        lambda names: mopoe.SetEncoder("attention", units=6, num_blocks=2, num_heads=2),
        lambda batch, z, beta, found: family.masked(batch, z, beta, found, family.set_encoder),
    ),
    "code": (
        lambda beta: objectives.CoDE(beta, entropy_weight=7.0),
        lambda names: mopoe.MixtureOfProducts(pooling=mopoe.pooling.Correlated(0.4), learned_weights=True),
        lambda batch, z, beta, _: family.code(batch, z, beta, 7.0, 0.4),
    ),
}
