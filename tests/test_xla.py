"""Every objective compiles with XLA (Keras' default on GPUs), whatever rows are left for the last batch."""

import numpy as np
import pytest
import small
import tables

import tf_mopoe as mopoe
from tf_mopoe import objectives

MODALITIES = 2
DRAWN = mopoe.MixtureOfProducts(max_components=2, num_components=2)  # two of the three subsets
CASES = {
    "elbo": ("mopoe", objectives.ELBO()),
    "elbo mixture": ("mmvae", objectives.ELBO(kl="mixture")),
    "iwae": ("mopoe", objectives.IWAE(2)),
    "dreg": ("mmvae", objectives.IWAE(2, gradient="dreg")),
    "dreg published": ("mmvae", objectives.IWAE(2, gradient="dreg_published")),
    "mvae": ("mvae", objectives.MVAE(num_subsets=1)),
    "mmjsd": ("mmjsd", objectives.MMJSD()),
    "mvtcae": ("mvtcae", objectives.MVTCAE()),
    "jmvae": ("joint", objectives.JMVAE()),
    "telbo": ("joint", objectives.TELBO()),
    "crmvae": ("mvtcae", objectives.CRMVAE()),
    "jnf": ("joint", objectives.JNF()),
    "mmvm": ("mmvae", objectives.MMVM()),
    "info_nce": ("mopoe", objectives.InfoNCE(objectives.ELBO())),
    "contrastive": ("mopoe", objectives.Contrastive(objectives.ELBO(), num_unrelated=2)),
    "contrastive iwae": ("mmvae", objectives.Contrastive(objectives.IWAE(2, gradient="dreg"), num_unrelated=3)),
    "drawn": (DRAWN, objectives.ELBO()),
    "drawn contrastive": (DRAWN, objectives.Contrastive(objectives.ELBO(kl="mixture"), num_unrelated=2)),
}


def made(joint_posterior, objective, private_dim=0):
    if joint_posterior == "joint":
        network = mopoe.networks.joint_encoder(
            {name: mopoe.networks.mlp_encoder(2, ()) for name in tables.names(MODALITIES)}, (4,)
        )
        joint_posterior = mopoe.JointEncoder(network, 2)
    model = tables.model(
        MODALITIES, latent_dim=2, private_dim=private_dim, joint_posterior=joint_posterior, objective=objective
    )
    model.compile("sgd", jit_compile=True)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_batches_of_one_two_and_three_rows(case):
    """Every other case with private latent variables. Each is up to a minute of compiling."""
    model = made(*CASES[case], private_dim=list(CASES).index(case) % 2)
    for rows in (1, 2, 3):
        inputs = small.with_missing(tables.rows(rows, MODALITIES), rate=0.3)
        assert np.isfinite(model.fit(inputs, batch_size=8, verbose=0).history["loss"]).all()
    assert int(model.optimizer.iterations) == 3


@pytest.mark.parametrize("rows", [1, *(pytest.param(rows, marks=pytest.mark.slow) for rows in (17, 18, 19))])
def test_the_contrastive_term_with_a_last_batch_of_few_rows(rows):
    model = made(*CASES["contrastive"])
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
