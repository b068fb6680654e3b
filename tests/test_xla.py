"""Every objective compiles with XLA (Keras' default on GPUs), whatever rows are left for the last batch."""

import every_objective
import numpy as np
import pytest
import small
import tables
from private_models import private_model

import tf_mopoe as mopoe
from tf_mopoe import objectives

MODALITIES = 2
NAMES = ("word", "sensor")
DRAWN = mopoe.MixtureOfProducts(max_components=2, num_components=2)  # two of the three subsets
OTHERS = {  # {case: (objective, joint posterior)}
    "ELBO of the mixture": (objectives.ELBO(kl="mixture"), "mmvae"),
    "DReG": (objectives.IWAE(2, gradient="dreg"), "mmvae"),
    "published DReG": (objectives.IWAE(2, gradient="dreg_published"), "mmvae"),
    "Contrastive of DReG": (objectives.Contrastive(objectives.IWAE(2, gradient="dreg"), num_unrelated=3), "mmvae"),
    "Masked with attention": (objectives.Masked(), mopoe.SetEncoder("attention", units=8, num_blocks=1, num_heads=2)),
    "drawn subsets": (objectives.ELBO(), DRAWN),
    "Contrastive of drawn subsets": (objectives.Contrastive(objectives.ELBO(kl="mixture"), num_unrelated=2), DRAWN),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", [*every_objective.CASES, *OTHERS])
def test_batches_of_one_two_and_three_rows(case):
    """Every other case with private latent variables. Each is up to a minute of compiling."""
    make = private_model if [*every_objective.CASES, *OTHERS].index(case) % 2 else small.model
    if case in OTHERS:
        objective, joint_posterior = OTHERS[case]
        model = make(NAMES, joint_posterior=joint_posterior, objective=objective)
    else:
        model = every_objective.model(case, NAMES, make=make)
    model.compile("sgd", jit_compile=True)
    for rows in (1, 2, 3):
        inputs = small.with_missing(small.rows(rows, NAMES), rate=0.3)
        assert np.isfinite(model.fit(inputs, batch_size=8, verbose=0).history["loss"]).all()
    assert int(model.optimizer.iterations) == 3


@pytest.mark.parametrize("rows", [1, *(pytest.param(rows, marks=pytest.mark.slow) for rows in (17, 18, 19))])
def test_the_contrastive_term_with_a_last_batch_of_few_rows(rows):
    model = tables.model(MODALITIES, objective=objectives.Contrastive(objectives.ELBO(), num_unrelated=2))
    model.compile("sgd", jit_compile=True)
    history = model.fit(tables.rows(rows, MODALITIES), batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"]).all() and int(model.optimizer.iterations) == -(-rows // 8)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_row_is_contrasted_with_as_many_others_as_there_are(rows):
    """With N = 2: none of one row; of two, one of them; of three and more, two. All rows equal, L is the same for all."""
    model = tables.model(MODALITIES, objective=objectives.Contrastive(objectives.ELBO(), num_unrelated=2))
    for decoder in model.decoders.values():  # L does not depend on the draw
        for variable in decoder.trainable_variables:
            variable.assign(np.zeros(variable.shape))
    inputs = {name: np.ones((rows, 2), np.float32) for name in tables.names(MODALITIES)}
    plain = tables.model(MODALITIES, objective=objectives.ELBO())
    plain.set_weights(model.get_weights())
    for one in (model, plain):
        one.compile("sgd")
    losses = [one.evaluate(inputs, verbose=0, return_dict=True)["loss"] for one in (model, plain)]
    np.testing.assert_allclose(losses[0] - losses[1], np.log(rows), rtol=1e-4, atol=1e-5)
