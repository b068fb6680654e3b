"""TensorFlow's own search for NaN and infinity finds none: it can be used to debug a user's networks."""

import every_objective
import numpy as np
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import objectives

SEED = tf.constant([1, 2])
OTHERS = {  # {case: (objective, joint posterior)}
    "ELBO of the mixture": (objectives.ELBO(kl="mixture"), "mopoe"),
    "DReG": (objectives.IWAE(2, gradient="dreg"), "mopoe"),
    "Hellinger": (objectives.ELBO(), mopoe.MixtureOfProducts(pooling=mopoe.pooling.Hellinger())),
    "weighted": (objectives.ELBO(), mopoe.MixtureOfProducts(pooling=mopoe.pooling.WeightedProduct())),
}


@pytest.fixture
def checked():
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


@pytest.mark.parametrize("case", [*every_objective.CASES, *OTHERS])
def test_no_objective_makes_an_infinity(case, checked):
    if case in OTHERS:
        objective, joint_posterior = OTHERS[case]
        model = small.model(joint_posterior=joint_posterior, objective=objective)
    else:
        model = every_objective.model(case)
    inputs = small.with_missing(small.rows(6))  # NaN in what is missing
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.loss_terms(inputs, SEED, training=True).loss)
    variables = [variable.value for variable in model.trainable_variables]
    gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert np.isfinite(model.log_likelihood(inputs, 4, seed=1)).all()
    model.translate(inputs, seed=1)
