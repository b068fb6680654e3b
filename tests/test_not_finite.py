"""A loss or gradient that is not finite ends the training, with an error that names the modality and the first step."""

import re
import sys

import keras
import numpy as np
import pytest
import small
import tables
import tensorflow as tf
from running import finish, start

import tf_mopoe as mopoe
from tf_mopoe import export
from trainers import checkpoints, loop

NAMES = ("word", "sensor")


def with_nan(rows=40, bad=17):
    """In batches of 8 the third step has it."""
    inputs = small.rows(rows, NAMES)
    inputs["sensor"][bad, 2] = np.nan
    return inputs


def all_finite(model):
    return all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("jit_compile", [False, True])
def test_nan_in_a_data_set_is_named_and_does_not_reach_the_weights(jit_compile, tmp_path):
    model = small.model(NAMES)
    model.compile("sgd", jit_compile=jit_compile)
    saved = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    data = tf.data.Dataset.from_tensor_slices(with_nan()).batch(8)
    with pytest.raises(ValueError, match="`sensor` in a row that is present is not finite, first at training step 3"):
        model.fit(data, epochs=2, verbose=0, callbacks=[saved])
    assert all_finite(model) and not list(tmp_path.iterdir())
    assert np.isfinite(model.predict(small.rows(4, NAMES), verbose=0)["word"]).all()  # whatever the metrics hold
    history = model.fit(small.rows(8, NAMES), batch_size=8, verbose=0).history  # and it goes on with other data
    assert np.isfinite(history["loss"]).all()


def test_a_long_epoch_ends_before_its_end():
    seen = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    model = small.compiled(NAMES)
    data = tf.data.Dataset.from_tensor_slices(with_nan()).batch(8).repeat()
    with pytest.raises(ValueError, match="first at training step 3"):
        model.fit(data, epochs=1, steps_per_epoch=500, verbose=0, callbacks=[Count()])
    assert len(seen) < 50


@pytest.mark.parametrize(
    "part, text",
    [
        ("encoders", r"The posterior of `sensor` is"),
        ("decoders", r"The reconstruction term of `sensor` is"),
    ],
)
def test_the_modality_is_named_where_the_weights_are_at_fault(part, text):
    model = small.compiled(NAMES)
    getattr(model, part)["sensor"].trainable_variables[-1].assign_add([np.inf] * (4 if part == "encoders" else 7))
    with pytest.raises(ValueError, match=f"Training ended: {text} not finite, first at training step 1"):
        model.fit(small.rows(8, NAMES), batch_size=8, verbose=0)


class BrokenGradient(keras.layers.Layer):
    """Finite values, infinite gradients."""

    def call(self, x):
        @tf.custom_gradient
        def identity(x):
            return tf.identity(x), lambda upstream: upstream * np.inf

        return identity(x)


def test_a_gradient_that_is_not_finite_under_a_finite_loss():
    model = small.model(NAMES)
    network = keras.Sequential([keras.Input((7,)), keras.layers.Dense(5), BrokenGradient()])
    encoders = {"word": model.encoders["word"], "sensor": mopoe.GaussianEncoder(network, 4)}
    model = mopoe.MultimodalVAE(encoders, model.decoders, seed=0)
    model.compile("sgd")
    before = [variable.numpy() for variable in model.trainable_variables]
    with pytest.raises(ValueError, match=re.escape("The gradient of encoders['sensor'] is not finite, first at")):
        model.fit(small.rows(8, NAMES), batch_size=8, verbose=0)
    for old, new in zip(before, model.trainable_variables):
        np.testing.assert_array_equal(old, new)


def test_steps_that_loss_scaling_skips_are_no_errors():
    keras.config.set_dtype_policy("mixed_float16")
    model = small.model(NAMES)
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3), initial_scale=2.0**30))
    inputs = small.rows(64, NAMES)
    history = model.fit(inputs, batch_size=4, epochs=2, verbose=0).history
    assert 0 < int(model.optimizer.iterations) < 32 and float(model.optimizer.dynamic_scale) < 2.0**30  # some skipped
    assert int(model.step) == 32  # schedules and draws go on
    assert np.isfinite(history["loss"]).all() and all_finite(model)
    with pytest.raises(ValueError, match="`sensor` in a row that is present"):
        model.fit(tf.data.Dataset.from_tensor_slices(with_nan()).batch(8), verbose=0)


def test_weights_that_overflow_in_the_last_step_are_an_error_before_callbacks_save_them(tmp_path):
    model = small.compiled(NAMES, learning_rate=float("inf"))
    saved = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    with pytest.raises(ValueError, match="The model's weights must be finite. Received: NaN or infinity in"):
        model.fit(small.rows(8, NAMES), batch_size=8, verbose=0, callbacks=[saved])
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_finite_neither_predicts_nor_goes_out(tmp_path):
    model = small.compiled(NAMES)
    kernel = model.encoders["sensor"].trainable_variables[0]
    kernel.assign(np.full(kernel.shape, np.nan))
    for use in (
        lambda: model.predict(small.rows(4, NAMES), verbose=0),
        lambda: model.evaluate(small.rows(4, NAMES), verbose=0),
        lambda: model.test_on_batch(small.rows(4, NAMES)),
        lambda: export.saved_model(model, tmp_path / "saved"),
        lambda: export.tflite_encoders(model, tmp_path / "edge"),
        lambda: checkpoints.save(model, tmp_path, 3),
    ):
        with pytest.raises(ValueError, match="weights must be finite. Received: NaN or infinity in 1 of"):
            use()
    assert not list(tmp_path.rglob("*.*"))


def test_train_on_batch_raises_too():
    model = small.compiled(NAMES)
    model.train_on_batch(small.rows(8, NAMES))
    model.encoders["word"].trainable_variables[-1].assign_add([np.nan] * 4)
    with pytest.raises(ValueError, match="The posterior of `word` is not finite, first at training step 2"):
        model.train_on_batch(small.rows(8, NAMES))


def test_the_trainers_loop_ends_before_it_calls_back_with_such_a_model():
    model = tables.model(2)
    model.compile("sgd")
    model.optimizer.build(model.trainable_variables)
    called = []

    def load(epoch):
        inputs = tables.rows(32, 2)
        if epoch == 1:
            inputs["m1"][5] = np.inf
        return inputs

    with pytest.raises(
        ValueError, match=r"`m1` in a row that is present is not finite, first at training step [5-8]\b"
    ):
        loop.train(model, tf.distribute.get_strategy(), load, epochs=3, batch_size=8, seed=0,
                   on_progress=lambda step, epoch, values, done: called.append(step))  # fmt: skip
    assert called == [4] and all_finite(model)


REPLICAS = """
import sys
sys.path.insert(0, "tests")
from trainers import loop
strategy = loop.make_strategy("mirrored", 2)
import keras, numpy as np, tables
import tensorflow as tf
import tf_mopoe as mopoe

def error(work):
    try:
        work()
    except ValueError as error:
        return str(error)

objective = mopoe.objectives.ELBO(beta=0.0)  # made outside of the strategy's scope
with strategy.scope():
    model = tables.model(2, objective=objective)
    model.compile("sgd")
inputs = tables.rows(24, 2)
inputs["m1"][14] = np.nan  # the second batch's second half: the second replica's
before = None

class Keep(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        global before
        weights = [variable.numpy() for variable in self.model.trainable_variables]
        if batch == 0:
            before = weights
        if batch == 1:
            same = [np.array_equal(a, b) for a, b in zip(before, weights)]
            print("same weights:", all(same))

data = tf.data.Dataset.from_tensor_slices(inputs).batch(8)
print(error(lambda: model.fit(data, verbose=0, callbacks=[Keep()])))

class Anneal(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.objective.beta = 2.0 * epoch

history = model.fit(tables.rows(16, 2), batch_size=8, epochs=2, verbose=0, callbacks=[Anneal()]).history
rest = [history["loss"][e] - history["reconstruction_m0"][e] - history["reconstruction_m1"][e] for e in (0, 1)]
print("ratios:", [round(abs(float(r / kl)), 3) for r, kl in zip(rest, history["kl"])])

with strategy.scope():
    model = tables.model(2)
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4), keras.layers.BatchNormalization()])
    model = mopoe.MultimodalVAE(model.encoders | {"m0": mopoe.GaussianEncoder(network, 3)}, model.decoders)
    model.compile("sgd")
print(error(lambda: model.fit(tables.rows(65, 2), batch_size=8, verbose=0)))
"""


def test_replicas_agree_on_a_bad_step_and_one_without_rows_is_an_error():
    output = finish(start([sys.executable, "-c", REPLICAS]))
    assert "same weights: True" in output
    assert "Training ended: `m1` in a row that is present is not finite, first at training step 2." in output
    assert "ratios: [0.0, 2.0]" in output
    expected = (
        "A replica had no rows, so that its batch normalization is not finite, first at training step 9. Leave the"
    )
    assert expected in output and "drop_remainder=True" in output
