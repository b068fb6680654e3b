"""An interrupted training goes on where it was: metrics, data, folder."""

import numpy as np
import small
import tensorflow as tf

from trainers import checkpoints, loop

ROWS, BATCH = 40, 4  # ten steps an epoch


def train(model, load=lambda epoch: small.rows(ROWS, seed=epoch), **kwargs):
    """{step: values} of the calls of `on_progress`."""
    values = {}

    def on_progress(step, epoch, metrics, done):
        values[step] = metrics

    strategy = tf.distribute.get_strategy()
    loop.train(
        model,
        strategy,
        load,
        batch_size=BATCH,
        seed=0,
        **{"epochs": 2, "callback_every": 7, "on_progress": on_progress} | kwargs,
    )
    return values


def compiled():
    model = small.compiled(seed=1)
    model.optimizer.build(model.trainable_variables)
    return model


def test_a_resumed_epochs_metrics_are_the_means_of_the_whole_epoch(tmp_path):
    model = compiled()
    whole = train(model, on_progress=lambda step, *_: step == 14 and checkpoints.save(model, tmp_path, step))
    assert whole == {}
    end = {metric.name: float(metric.result()) for metric in model.metrics}
    resumed = train(checkpoints.load(tmp_path, 14), first_step=14)
    assert set(resumed) == {20} and set(resumed[20]) == set(end)
    model = checkpoints.load(tmp_path, 14)
    model.reset_metrics()
    rest = train(model, first_step=14)[20]
    for name, value in end.items():
        np.testing.assert_allclose(resumed[20][name], value, rtol=1e-5)
        assert abs(rest[name] - value) > 1e-3 * abs(value)  # the steps after the resume alone have another mean


def test_resuming_loads_no_earlier_epochs_data():
    loaded = []

    def load(epoch):
        loaded.append(epoch)
        return small.rows(ROWS)

    train(compiled(), load, epochs=8, first_step=65, callback_every=0)
    assert sorted(set(loaded) - {0}) == [6, 7] and len(loaded) <= 3  # the first epoch's tells their number of rows


def test_a_finished_training_calls_nothing():
    model = compiled()
    before = model.get_weights()
    assert train(model, epochs=2, first_step=20) == {}
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
