"""The model's own step: other draws in each micro-batch, not started again when compiled again, kept in files."""

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

from tf_mopoe import objectives

NAMES = ("word", "sensor")


def test_accumulated_micro_batches_have_draws_of_their_own():
    """The mean update of 4 micro-batches of the same rows varies half as much as that of one, as draws are independent."""
    inputs = {name: tf.constant(x) for name, x in small.rows(8, NAMES).items()}
    model = small.model(NAMES, joint_posterior="mvae")
    variable = model.encoders["sensor"].loc_head.bias

    @tf.function
    def gradient(step):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.loss_terms(inputs, model.stream("training", step), training=True).loss)
        return tape.gradient(loss, variable.value)

    gradients = np.stack([gradient(step) for step in tf.range(160)])
    single, accumulated = gradients.std(axis=0), gradients.reshape(40, 4, -1).mean(axis=1).std(axis=0)
    ratio = np.sqrt(np.mean(accumulated**2) / np.mean(single**2))
    assert 0.35 < ratio < 0.7  # 0.5, were there more of them; with one draw for all four it is 1


@pytest.mark.usefixtures("eagerly")
def test_it_counts_steps_where_the_optimizer_counts_updates(tmp_path):
    inputs = small.rows(32, NAMES)
    model = small.model(NAMES)
    model.compile(keras.optimizers.SGD(1e-2, gradient_accumulation_steps=4))
    model.fit(inputs, batch_size=4, verbose=0)
    assert int(model.step) == 8
    model.compile(keras.optimizers.SGD(1e-2))
    model.fit(inputs, batch_size=16, verbose=0)
    assert int(model.step) == 10 and int(model.optimizer.iterations) == 2
    model.save(tmp_path / "m.keras")
    assert int(keras.models.load_model(tmp_path / "m.keras").step) == 10


@pytest.mark.usefixtures("eagerly")
def test_a_schedule_goes_on_when_the_model_is_compiled_again():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.0, 5.0])
    model, inputs = small.model(NAMES, objective=objectives.ELBO(beta=schedule)), small.rows(8, NAMES)
    for beta in (0.0, 0.0, 5.0, 5.0):
        model.compile(keras.optimizers.SGD(0.0))
        history = model.fit(inputs, batch_size=8, verbose=0).history
        terms = sum(history[f"reconstruction_{name}"][0] for name in NAMES)
        np.testing.assert_allclose(history["loss"][0], terms + beta * history["kl"][0], rtol=1e-5)


def test_evaluation_has_other_draws_than_training():
    model = small.model(NAMES)
    seeds = [model.stream(name, 3).seed.numpy() for name in ("training", "evaluation")]
    assert np.any(seeds[0] != seeds[1])
