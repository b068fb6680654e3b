"""Every objective with private latent variables against its loop, decoded from the w that were drawn, plus the KL of w.

Which w were drawn, and from which modalities a z comes, is read where the bounds draw them; that these have the right
distribution is claimed in test_private_sources.
"""

import every_objective
import family_reference as family
import numpy as np
import objective_reference as loops
import pytest
import reference
import small
import tensorflow as tf
from private_models import PRIVATE, private_heads, private_model
from test_private_sources import recorded

SEED = tf.constant([3, 4])
BETA, PRIVATE_BETA = 1.5, 0.7


class Batch(loops.Batch):
    """The batch of the loops, whose modalities decode from the w that was drawn beside a z."""

    def __init__(self, model, inputs, calls):
        super().__init__(model, inputs)
        self.w = {}  # {(name, bytes of z): w}
        self.calls = [sample for _, sample, _ in calls]
        for _, sample, w in calls:
            z = sample.z.numpy()
            for name, values in w.items():
                for index in np.ndindex(z.shape[:-1]):
                    self.w[name, z[index].tobytes()] = values.numpy()[index]

    def log_likelihood(self, name, row, z):
        z = np.asarray(z, np.float32)
        return super().log_likelihood(name, row, np.concatenate([z, self.w.get((name, z.tobytes()), z[:0])]))

    def private_kl(self, row, names):
        owns = [private_heads(self.model, self.x, name, row) for name in names if PRIVATE[name]]
        return sum(reference.kl_to_standard_normal(*own) for own in owns)

    def members(self, row, call=0):
        """The row's modalities that z comes from, in a draw."""
        return [name for name in self.present(row) if np.array(self.calls[call].members[name])[row]]


def of_members(batch, row):
    return batch.private_kl(row, batch.members(row))


def of_all(batch, row):
    return batch.private_kl(row, batch.present(row))


def of_dmvae(batch, row):
    """In the bound of all, and of each modality alone."""
    many = len(batch.present(row))
    return of_all(batch, row) * (1 + many if many > 1 else 1)


def of_code(batch, row):
    """Of each subset that the row can form, with its weight."""
    logits = family.subset_logits(batch.model)
    formed = reference.powerset(batch.present(row))
    weights = np.exp([logits[frozenset(subset)] for subset in formed])
    return weights @ [batch.private_kl(row, subset) for subset in formed] / weights.sum()


# {case: (settings, loss without w of a Batch, of the z that were drawn and of the loss found, KL of w of a row)}
CASES = {
    "ELBO": ({}, lambda batch, z, _: loops.elbo(batch, z, BETA, "powerset", "full"), of_members),
    "MMJSD": ({}, lambda batch, z, _: loops.mmjsd(batch, z, BETA), of_members),
    "MVTCAE": (
        {"alpha": 0.3},
        lambda batch, z, _: loops.mvtcae(batch, z, BETA, 0.3),
        lambda batch, row: of_all(batch, row) * (1.0 - 0.3 / len(batch.present(row))),
    ),
    "JMVAE": ({"alpha": 0.2}, lambda batch, z, _: loops.jmvae(batch, z, BETA, 0.2), of_all),
    "JNF": ({"alpha": 0.2}, lambda batch, z, _: loops.jnf(batch, z, BETA, 0.2), of_all),
    "MMVM": ({"alpha": 0.3}, lambda batch, z, _: loops.mmvm(batch, z, BETA, 0.3), of_all),
    "CRMVAE": (
        {},
        lambda batch, z, _: loops.crmvae(batch, z, BETA),
        lambda batch, row: of_all(batch, row) / (len(batch.present(row)) + 1),
    ),
    "Masked": ({}, lambda batch, z, found: family.masked(batch, z, BETA, found, family.set_encoder), of_all),
    "DMVAE": ({}, lambda batch, z, _: family.dmvae(batch, z, BETA), of_dmvae),
    "CoDE": ({"entropy_weight": 7.0}, lambda batch, z, _: family.code(batch, z, BETA, 7.0, 0.5), of_code),
}


@pytest.mark.parametrize("source", ["auxiliary", "own"])
@pytest.mark.parametrize("case", CASES)
def test_the_loss_equals_the_loop_with_the_kl_of_w(case, source):
    settings, loss, private_kl = CASES[case]
    settings = {"beta": BETA, **settings}
    model = every_objective.model(
        case, settings=settings, make=private_model, private_beta=PRIVATE_BETA, private_source=source
    )
    inputs = small.with_missing(small.rows(9))
    with recorded() as calls:
        terms = model.loss_terms(inputs, SEED)
    batch = Batch(model, inputs, calls)
    z = [sample.z.numpy().reshape(-1, model.latent_dim) for _, sample, _ in calls]
    if source == "own":
        private_kl = {"CoDE": of_all, "ELBO": of_all, "MMJSD": of_all}.get(case, private_kl)
    private = PRIVATE_BETA * np.array([private_kl(batch, row) for row in range(9)])
    expected = loss(batch, z, terms.loss.numpy() - private) + private
    np.testing.assert_allclose(terms.loss, expected, rtol=1e-5)
    assert np.all(private > 0.0) or source == "auxiliary"
