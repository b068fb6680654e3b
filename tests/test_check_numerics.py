"""TensorFlow's own search for NaN and infinity finds none: it can be used to debug a user's networks."""

import numpy as np
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import objectives

SEED = tf.constant([1, 2])
CASES = {
    "elbo": lambda: (objectives.ELBO(), "mopoe"),
    "elbo_mixture": lambda: (objectives.ELBO(kl="mixture"), "mopoe"),
    "mvae": lambda: (objectives.MVAE(num_subsets=1), "mvae"),
    "iwae": lambda: (objectives.IWAE(2), "mmvae"),
    "dreg": lambda: (objectives.IWAE(2, gradient="dreg"), "mopoe"),
    "mmjsd": lambda: (objectives.MMJSD(), "mmjsd"),
    "mvtcae": lambda: (objectives.MVTCAE(), "mvtcae"),
    "jmvae": lambda: (objectives.JMVAE(), small.joint_encoder()),
    "telbo": lambda: (objectives.TELBO(), small.joint_encoder()),
    "crmvae": lambda: (objectives.CRMVAE(), "mvtcae"),
    "jnf": lambda: (objectives.JNF(), small.joint_encoder()),
    "mmvm": lambda: (objectives.MMVM(), "mmvae"),
    "info_nce": lambda: (objectives.InfoNCE(objectives.ELBO()), "mopoe"),
    "dmvae": lambda: (objectives.DMVAE(), "mvae"),
    "masked": lambda: (objectives.Masked(), mopoe.SetEncoder("sum", 8)),
    "code": lambda: (
        objectives.CoDE(),
        mopoe.MixtureOfProducts(pooling=mopoe.pooling.Correlated(), learned_weights=True),
    ),
    "hellinger": lambda: (objectives.ELBO(), mopoe.MixtureOfProducts(pooling=mopoe.pooling.Hellinger())),
    "weighted": lambda: (objectives.ELBO(), mopoe.MixtureOfProducts(pooling=mopoe.pooling.WeightedProduct())),
    "contrastive": lambda: (objectives.Contrastive(objectives.ELBO()), "mopoe"),
}


@pytest.fixture
def checked():
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


@pytest.mark.parametrize("case", CASES)
def test_no_objective_makes_an_infinity(case, checked):
    objective, joint_posterior = CASES[case]()
    model = small.model(joint_posterior=joint_posterior, objective=objective)
    inputs = small.with_missing(small.rows(6))  # NaN in what is missing
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.loss_terms(inputs, SEED, training=True).loss)
    variables = [variable.value for variable in model.trainable_variables]
    gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert np.isfinite(model.log_likelihood(inputs, 4, seed=1)).all()
    model.translate(inputs, seed=1)
