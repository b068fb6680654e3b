"""Schedules in the place of numbers, configurations and files, and what bad arguments say."""

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import objectives

SEED = tf.constant([3, 4])
NAMES = ("word", "sensor")
WARM_UP = keras.optimizers.schedules.PolynomialDecay(0.0, 20, 2.0)  # 0.5 at step 5
MAKE = {
    "elbo": (lambda beta: objectives.ELBO(beta, kl="mixture"), "mopoe"),
    "iwae": (lambda beta: objectives.IWAE(2, beta, "dreg"), "mmvae"),
    "mvae": (lambda beta: objectives.MVAE(beta, num_subsets=1), "mvae"),
    "mmjsd": (lambda beta: objectives.MMJSD(beta), "mmjsd"),
    "jmvae": (lambda beta: objectives.JMVAE(alpha=beta, beta=beta), None),
    "telbo": (lambda beta: objectives.TELBO(beta, unimodal_weight=2.0), None),
    "mvtcae": (lambda beta: objectives.MVTCAE(0.5, beta), "mvtcae"),
    "crmvae": (lambda beta: objectives.CRMVAE(beta), "mvtcae"),
    "jnf": (lambda beta: objectives.JNF(beta, alpha=beta), None),
    "mmvm": (lambda beta: objectives.MMVM(beta, alpha=0.5), "mmvae"),
    "info_nce": (lambda beta: objectives.InfoNCE(objectives.ELBO(beta), 0.5, 0.1), "mopoe"),
    "contrastive": (lambda beta: objectives.Contrastive(objectives.IWAE(2, beta), 0.5, 2), "mopoe"),
}


@pytest.mark.parametrize("case", MAKE)
def test_a_schedule_is_its_value_at_the_step_and_survives_a_file(case, tmp_path):
    make, joint_posterior = MAKE[case]
    model = small.compiled(
        NAMES, joint_posterior=joint_posterior or small.joint_encoder(NAMES), objective=make(WARM_UP)
    )
    inputs = small.with_missing(small.rows(6, NAMES))
    model.step.assign(5)
    scheduled = model.loss_terms(inputs, SEED).loss
    model.objective = make(0.5)
    np.testing.assert_allclose(scheduled, model.loss_terms(inputs, SEED).loss, rtol=1e-6)
    model.objective = make(WARM_UP)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.objective) is type(model.objective)
    assert int(loaded.step) == 5
    np.testing.assert_array_equal(loaded.loss_terms(inputs, SEED).loss, scheduled)


@pytest.mark.parametrize("case", MAKE)
def test_the_config_makes_the_same_objective(case):
    objective = MAKE[case][0](1.5)
    config = keras.saving.serialize_keras_object(objective)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(objective)
    assert again.get_config() == objective.get_config() == type(objective).from_config(config["config"]).get_config()


def test_the_kl_is_annealed_in_training():
    """The loss of the first step has no KL, as the schedule says; the metric of the KL is without it."""
    model = small.compiled(NAMES, joint_posterior="mmjsd", objective=objectives.MMJSD(WARM_UP))
    history = model.fit(small.rows(8, NAMES), batch_size=8, epochs=1, verbose=0).history
    reconstruction = history["reconstruction_word"][0] + history["reconstruction_sensor"][0]
    np.testing.assert_allclose(history["loss"][0], reconstruction, rtol=1e-5)
    assert history["kl"][0] > 0.0


NUMBER = "must be a number, 0 or more. Received: "
BAD = {
    "info_nce objective": (lambda: objectives.InfoNCE(None), "`objective` must be one of tf_mopoe.objectives"),
    "temperature": (lambda: objectives.InfoNCE(objectives.ELBO(), temperature=0), "`temperature` must be above 0"),
    "mmvm alpha": (lambda: objectives.MMVM(alpha=-1), f"`alpha` {NUMBER}alpha=-1"),
    "elbo beta": (lambda: objectives.ELBO(beta="1"), f"`beta` {NUMBER}beta='1'"),
    "infinite beta": (lambda: objectives.MMJSD(float("inf")), f"`beta` {NUMBER}beta=inf"),
    "nan beta": (lambda: objectives.MVTCAE(beta=float("nan")), f"`beta` {NUMBER}beta=nan"),
    "bool beta": (lambda: objectives.TELBO(beta=True), f"`beta` {NUMBER}beta=True"),
    "unimodal weight": (lambda: objectives.TELBO(unimodal_weight=-1), f"`unimodal_weight` {NUMBER}unimodal_weight=-1"),
    "jmvae alpha": (lambda: objectives.JMVAE(alpha=-0.1), f"`alpha` {NUMBER}alpha=-0.1"),
    "mvtcae alpha": (
        lambda: objectives.MVTCAE(alpha=1.1),
        "`alpha` must be a number, from 0 to 1. Received: alpha=1.1",
    ),
    "samples": (
        lambda: objectives.IWAE(num_samples=0),
        "`num_samples` must be an integer, 1 or more. Received: num_samples=0",
    ),
    "gradient": (
        lambda: objectives.IWAE(gradient="stl"),
        "`gradient` must be one of 'iwae', 'dreg', 'dreg_published'. Received: gradient='stl'",
    ),
    "subsets": (
        lambda: objectives.MVAE(num_subsets=1.5),
        "`num_subsets` must be an integer, 0 or more. Received: num_subsets=1.5",
    ),
    "base": (
        lambda: objectives.Contrastive("elbo"),
        "`objective` must be one of tf_mopoe.objectives. Received: objective='elbo'",
    ),
    "weight": (lambda: objectives.Contrastive(objectives.ELBO(), weight=-1.0), f"`weight` {NUMBER}weight=-1.0"),
    "unrelated": (
        lambda: objectives.Contrastive(objectives.ELBO(), num_unrelated=0),
        "`num_unrelated` must be an integer, 1 or more. Received: num_unrelated=0",
    ),
    "model": (lambda: small.model(NAMES, objective="elbo"), "`objective` must be callable.*Received: 'elbo'"),
    "network": (lambda: mopoe.JointEncoder("mlp", 4), "`network` must be a Keras layer or model. Received: .*'mlp'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case):
    make, text = BAD[case]
    with pytest.raises(ValueError, match=text):
        make()


def test_alpha_may_be_one():
    assert objectives.MVTCAE(alpha=1).alpha == 1.0


def test_extra_metrics_that_the_class_does_not_name_are_an_error():
    def objective(q, p, stream):
        return objectives.ELBO()(q, p, stream)._replace(extra={"surprise": tf.zeros_like(q.count)})

    model = small.model(NAMES, objective=objective)
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match=r"`extra_metrics` of the objective must name .*Received: \['surprise'\]"):
        model.fit(small.rows(8, NAMES), verbose=0)
