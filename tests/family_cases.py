"""The objectives of the rest of the family, each with a joint posterior that suits it and its loop."""

import family_reference as family
import objective_reference as loops

from tf_mopoe import objectives


def elbo(batch, z, beta):
    return loops.elbo(batch, z, beta, "powerset", "full")


# {case: (objective of beta, joint posterior of names, loss of a Batch, of the z that were drawn and of the loss found)}
CASES = {
    "info_nce": (
        lambda beta: objectives.InfoNCE(objectives.ELBO(beta), weight=3.0, temperature=0.5),
        lambda names: "mopoe",
        lambda batch, z, beta, _: family.info_nce(batch, elbo(batch, z, beta), 3.0, 0.5),
    ),
}
