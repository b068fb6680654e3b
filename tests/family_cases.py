"""The objectives of the rest of the family, each with a joint posterior that suits it and its loop."""

import family_reference as family

import tf_mopoe as mopoe
from tf_mopoe import objectives

# {case: (objective of beta, joint posterior of names, loss of a Batch, of the z that were drawn, beta and the loss found)}
CASES = {
    "dmvae": (objectives.DMVAE, lambda names: "mvae", lambda batch, z, beta, _: family.dmvae(batch, z, beta)),
    "masked": (
        objectives.Masked,
        lambda names: "mvae",
        lambda batch, z, beta, found: family.masked(batch, z, beta, found),
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
