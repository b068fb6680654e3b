"""What is logged adds up: the loss of every objective from its own metrics, by the formula of its docstring."""

import every_objective
import numpy as np
import pytest
import small
import tensorflow as tf
from private_models import private_model

from tf_mopoe import objectives

SEED = tf.constant([3, 4])
BETA, PRIVATE_BETA = 2.5, 0.7
SETTINGS = {
    "MVTCAE": {"alpha": 0.3},
    "JMVAE": {"alpha": 0.2},
    "JNF": {"alpha": 0.2},
    "CoDE": {"entropy_weight": 7.0},
    "InfoNCE": {"weight": 3.0},
    "Contrastive": {"weight": 0.5},
}


class Logged:
    """The terms of a batch, [B] each; `rec`: the weighted sum of the reconstructions, m: what a row has."""

    def __init__(self, model, terms, count):
        self.rec = sum(model.term_weights[name] * term for name, term in terms.reconstruction.items())
        self.kl, self.private, self.m = terms.kl, PRIVATE_BETA * terms.private_kl, count
        self.bound = self.rec + BETA * self.kl + self.private
        self.__dict__ |= terms.extra


FORMULAS = {
    "ELBO": lambda t: t.bound,
    "IWAE": lambda t: t.rec + t.kl + t.private,  # its kl is what the loss has beside the others
    "MVAE": lambda t: -t.all_bounds,
    "DMVAE": lambda t: -t.all_bounds,
    "TELBO": lambda t: -t.all_bounds,
    "MMJSD": lambda t: t.rec + BETA * t.divergence + t.private,
    "MVTCAE": lambda t: (t.m - 0.3) / t.m * (t.rec + t.private) + BETA * (0.7 * t.kl + 0.3 / t.m * t.kl_to_experts),
    "JMVAE": lambda t: t.bound + 0.2 * t.kl_to_experts,
    "JNF": lambda t: t.bound - 0.2 * t.log_prob_of_experts,
    "MMVM": lambda t: t.rec + BETA * (0.5 * t.kl_between_experts + 0.5 * t.kl) + t.private,
    "CoDE": lambda t: t.bound + 7.0 * (np.log(2.0**t.m - 1.0) - t.weights_entropy),
    "Masked": lambda t: t.bound,
    "CRMVAE": lambda t: (
        (0.5 * (t.rec + t.unimodal_reconstruction) + BETA * (t.kl + t.kl_to_experts) + t.private) / (t.m + 1.0)
    ),
    "InfoNCE": lambda t: t.bound + 3.0 * t.info_nce,
    "Contrastive": lambda t: t.bound + 0.5 * t.contrast,
}


def test_every_objective_has_a_case():
    """Here and in every other test that goes through `every_objective`."""
    assert set(every_objective.CASES) == set(FORMULAS) == set(objectives.__all__) - {"LossTerms", "Objective"}


@pytest.mark.parametrize("case", FORMULAS)
def test_the_loss_is_the_sum_of_what_is_logged(case):
    """With rows that lack something, private latent variables, and no weight that is 1."""
    kwargs = {"make": private_model, "private_beta": PRIVATE_BETA, "reconstruction_weights": "dimension"}
    model = every_objective.model(case, settings=SETTINGS.get(case), **kwargs)
    bound = getattr(model.objective, "objective", model.objective)  # that of a regulariser
    bound.beta = BETA
    inputs = small.with_missing(small.rows(9))
    terms = model.loss_terms(inputs, SEED)
    count = sum(inputs[f"has_{name}"].astype(np.float32) for name in small.SHAPES)
    assert np.any(terms.private_kl.numpy() > 0.0)
    np.testing.assert_allclose(terms.loss, FORMULAS[case](Logged(model, terms, count)), rtol=1e-5)
