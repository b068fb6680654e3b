"""The objectives of the rest of the family, each with a joint posterior that suits it and its loop."""

import family_reference as family

from tf_mopoe import objectives

# {case: (objective of beta, joint posterior of names, loss of a Batch, of the z that were drawn, beta and the loss found)}
CASES = {
    "dmvae": (objectives.DMVAE, lambda names: "mvae", lambda batch, z, beta, _: family.dmvae(batch, z, beta)),
}
