"""A batch leaves alone what none of its rows reaches: weights and what the optimizer remembers of them."""

import sys

import keras
import numpy as np
import pytest
import small
import tensorflow as tf
from running import finish, start

from tf_mopoe import unreached

NAMES = ("word", "sensor")
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(1e-2),
    "adamw": lambda: keras.optimizers.AdamW(1e-2, weight_decay=0.1),
    "momentum": lambda: keras.optimizers.SGD(1e-2, momentum=0.9, nesterov=True),
    "rmsprop": lambda: keras.optimizers.RMSprop(1e-2, momentum=0.5),
    "ema": lambda: keras.optimizers.Adam(1e-2, use_ema=True),
    "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-2)),
}


def without(inputs, name, has=False):
    """Flag a modality in all rows, or in those where `has` is False."""
    has = np.broadcast_to(has, len(inputs[name]))
    x = np.where(has.reshape([-1] + [1] * (inputs[name].ndim - 1)), inputs[name], np.nan)
    return inputs | {name: x.astype(np.float32), f"has_{name}": has.copy()}


def compiled(optimizer, **kwargs):
    keras.utils.set_random_seed(0)
    model = small.model(NAMES, **kwargs)
    model.compile(optimizer)
    model.build_optimizer()
    return model


def state(model, name):
    """The weights of a modality's networks and the optimizer's slots of them, each a copy."""
    variables = [v for part in (model.encoders, model.decoders) for v in part[name].trainable_variables]
    slots = [slot for own in unreached.slots_of(model.optimizer, variables) for slot in own]
    assert len(slots) >= len(variables)
    return [v.numpy() for v in variables + slots]


def same(one, other):
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_batch_without_a_modality_moves_nothing_of_it_whatever_the_batches_before_were(name, jit_compile):
    model, inputs = small.model(NAMES), small.rows(8, NAMES)
    model.compile(OPTIMIZERS[name](), jit_compile=jit_compile)
    for _ in range(2):
        model.train_on_batch(without(inputs, "sensor", np.arange(8) % 2 == 0))
    sensor, word = state(model, "sensor"), state(model, "word")
    for _ in range(2):
        model.train_on_batch(without(inputs, "sensor"))
    assert all(same(state(model, "sensor"), sensor))
    assert not any(same(state(model, "word"), word)[:4])
    model.train_on_batch({"word": inputs["word"]})  # the same without the key
    assert all(same(state(model, "sensor"), sensor))
    model.train_on_batch(without(inputs, "word"))
    assert not any(same(state(model, "sensor"), sensor)[:4])


def test_where_a_batch_has_a_modality_the_update_is_the_optimizers():
    """With a flag that is True in every row, as without flags; and with half of the rows, as by the optimizer itself."""
    inputs = small.rows(8, NAMES)
    for flags in (np.ones(8, bool), np.arange(8) % 2 == 0):
        results = []
        for plain in (False, True):
            model = compiled(keras.optimizers.Adam(1e-2))
            for _ in range(3):
                batch = {name: tf.constant(x) for name, x in without(inputs, "sensor", flags).items()}
                if plain:
                    with tf.GradientTape() as tape:
                        terms = model.loss_terms(batch, model.stream("training", model.step), training=True)
                        loss = tf.reduce_mean(terms.loss)
                    variables = model.trainable_variables
                    model.optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
                    model.step.assign_add(1)
                else:
                    model.train_step(batch)
            results.append([v.numpy() for v in model.trainable_variables])
        for ours, optimizers in zip(*results):
            np.testing.assert_allclose(ours, optimizers, rtol=1e-5, atol=1e-6)


def test_accumulated_gradients_count_together():
    """Of two batches the first has the sensor: the update is half of its gradient; two without it move nothing."""
    inputs, rate = small.rows(8, NAMES), 0.1
    model = compiled(keras.optimizers.SGD(rate, gradient_accumulation_steps=2))
    first, second = without(inputs, "sensor", np.arange(8) < 4), without(inputs, "sensor")
    variables = model.encoders["sensor"].trainable_variables
    before = [v.numpy() for v in variables]
    with tf.GradientTape() as tape:
        batch = {name: tf.constant(x) for name, x in first.items()}
        loss = tf.reduce_mean(model.loss_terms(batch, model.stream("training", model.step), training=True).loss)
    gradients = tape.gradient(loss, [v.value for v in variables])
    for batch in (first, second):
        model.train_on_batch(batch)
    after = [v.numpy() for v in variables]
    for old, new, gradient in zip(before, after, gradients):
        np.testing.assert_allclose(new, old - rate * gradient.numpy() / 2.0, rtol=1e-4, atol=1e-6)
    for _ in range(2):
        model.train_on_batch(second)
    assert all(same([v.numpy() for v in variables], after))


def test_a_network_that_a_row_reaches_is_the_optimizers_whatever_its_gradient_is():
    """The units of the sensor's encoder are dead, its gradients zero: momentum may still wake them."""
    inputs = small.rows(8, NAMES)
    model = compiled(keras.optimizers.SGD(0.01, momentum=0.9))
    batch = without(inputs, "sensor", np.arange(8) < 4)
    model.train_on_batch(batch)
    kernel, bias = model.encoders["sensor"].network.trainable_variables
    bias.assign(np.full(bias.shape, -1e3, np.float32))
    before = kernel.numpy()
    model.train_on_batch(batch)
    assert not np.array_equal(kernel.numpy(), before)
    before = kernel.numpy()
    model.train_on_batch(without(inputs, "sensor"))
    np.testing.assert_array_equal(kernel.numpy(), before)


REPLICAS = """
import sys
sys.path.insert(0, "tests")
from trainers import loop
strategy = loop.make_strategy("mirrored", 2)
import keras, numpy as np, small
import test_unreached as own

with strategy.scope():
    model = own.compiled(keras.optimizers.Adam(1e-2))
inputs = small.rows(8, own.NAMES)

def moved(has):
    before = own.state(model, "sensor")
    model.fit(own.without(inputs, "sensor", has), batch_size=8, shuffle=False, verbose=0)
    return [not same for same in own.same(own.state(model, "sensor"), before)]

assert all(moved(np.arange(8) < 4)[:4])  # the first replica's rows
assert not any(moved(False))
assert all(moved(np.arange(8) >= 4)[:4])  # the second's
print("held")
"""


@pytest.mark.integration
def test_one_replica_that_has_the_modality_is_enough():
    assert "held" in finish(start([sys.executable, "-c", REPLICAS]))


def test_a_network_of_complete_rows_waits_for_one():
    inputs = small.rows(8, NAMES)
    joint = small.joint_encoder(NAMES)
    model = compiled(keras.optimizers.Adam(1e-2), joint_posterior=joint)
    model.train_on_batch(without(inputs, "sensor", np.arange(8) < 4))
    weights = [v.numpy() for v in joint.trainable_variables]
    model.train_on_batch(without(inputs, "sensor"))
    assert all(same([v.numpy() for v in joint.trainable_variables], weights))
    model.train_on_batch(without(inputs, "sensor", np.arange(8) < 1))
    assert not any(same([v.numpy() for v in joint.trainable_variables], weights))


def test_slots_of_networks_that_share_their_names():
    """Two encoders whose layers a user gave the same names: each has its own slots."""
    variables = [keras.Variable(np.full(2, value, np.float32), name="kernel") for value in (1.0, 2.0)]
    other = keras.Variable(np.zeros(2, np.float32), name="kernel_2")
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([*variables, other])
    optimizer.apply([tf.ones(2), tf.ones(2) * 2.0, tf.ones(2) * 3.0], [*variables, other])
    slots = unreached.slots_of(optimizer, [other, *variables])
    first_moments = [[slot.numpy()[0] for slot in own if "momentum" in slot.path] for own in slots]
    np.testing.assert_allclose(first_moments, [[0.3], [0.1], [0.2]], rtol=1e-5)
