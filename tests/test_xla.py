"""Every objective compiles with XLA (Keras' default on GPUs), whatever rows are left for the last batch."""

import numpy as np
import pytest
import small
import tables

import tf_mopoe as mopoe
from tf_mopoe import objectives

DRAWN = mopoe.MixtureOfProducts(max_components=3, num_components=4)  # of three modalities: 7 subsets
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
    "contrastive": ("mopoe", objectives.Contrastive(objectives.ELBO(), num_unrelated=2)),
    "contrastive iwae": ("mmvae", objectives.Contrastive(objectives.IWAE(2, gradient="dreg"), num_unrelated=3)),
    "drawn": (DRAWN, objectives.ELBO()),
    "drawn contrastive": (DRAWN, objectives.Contrastive(objectives.ELBO(kl="mixture"), num_unrelated=2)),
}


def made(joint_posterior, objective, private_dim=0):
    if joint_posterior == "joint":
        network = mopoe.networks.joint_encoder(
            {name: mopoe.networks.mlp_encoder(2, ()) for name in tables.names(3)}, (4,)
        )
        joint_posterior = mopoe.JointEncoder(network, 3)
    model = tables.model(3, private_dim=private_dim, joint_posterior=joint_posterior, objective=objective)
    model.compile("sgd", jit_compile=True)
    return model


@pytest.mark.parametrize("case", CASES)
def test_last_batches_of_one_two_and_three_rows(case):
    """17, 18 and 19 rows in batches of 8, every other case with private latent variables."""
    model = made(*CASES[case], private_dim=list(CASES).index(case) % 2)
    for rows in (17, 18, 19):
        inputs = small.with_missing(tables.rows(rows, 3), rate=0.3)
        history = model.fit(inputs, batch_size=8, epochs=1, verbose=0).history
        assert all(np.isfinite(values).all() for values in history.values())
    assert int(model.optimizer.iterations) == 9
    assert np.isfinite(model.evaluate(inputs, batch_size=8, num_samples=3, verbose=0)).all()


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_row_is_contrasted_with_as_many_others_as_there_are(rows):
    """With N = 2: none of one row; of two, one of them; of three and more, two. All rows equal, L is the same for all."""
    model = tables.model(3, objective=objectives.Contrastive(objectives.ELBO(), num_unrelated=2))
    for decoder in model.decoders.values():  # L does not depend on the draw
        for variable in decoder.trainable_variables:
            variable.assign(np.zeros(variable.shape))
    inputs = {name: np.ones((rows, 2), np.float32) for name in tables.names(3)}
    plain = tables.model(3, objective=objectives.ELBO())
    plain.set_weights(model.get_weights())
    for one in (model, plain):
        one.compile("sgd")
    losses = [one.evaluate(inputs, verbose=0, return_dict=True)["loss"] for one in (model, plain)]
    np.testing.assert_allclose(losses[0] - losses[1], np.log(rows), rtol=1e-4, atol=1e-5)
