"""Every method that the trainer names, on real rows of digits, and what tells the methods apart."""

import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mopoe as mopoe
from trainers import experiments
from trainers.methods import METHODS

ROOT = pathlib.Path(__file__).parents[1]
SEED = tf.constant([1, 2])


def digits_model(name, **kwargs):
    method = METHODS[name]
    return experiments.Digits().model(8, method=method, objective=method.objective(2.5), seed=0, **kwargs)


@pytest.mark.parametrize("name", METHODS)
def test_it_learns_from_digits_with_missing_rows(name):
    """Three steps on one batch lower its loss (same draws), and nothing of a missing row gets in."""
    model = digits_model(name, private_dim=2 * (name == "mopoe"))
    rows = {key: x[:8] for key, x in mopoe.datasets.load_digits("test")[0].items()}
    inputs = rows | {"has_image": np.arange(8) % 4 != 0, "has_word": np.arange(8) % 3 != 0}
    inputs["image"] = np.where(inputs["has_image"][:, None, None, None], rows["image"], np.nan).astype(np.float32)
    optimizer, losses = keras.optimizers.Adam(1e-3), []
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.loss_terms(inputs, SEED, training=True).loss)
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply_gradients([(g, v) for g, v in zip(gradients, variables) if g is not None])
        losses.append(float(loss))
    assert np.all(np.isfinite(losses)) and losses[-1] < losses[0]


def test_each_has_a_line_in_the_documents():
    text = (ROOT / "README.md").read_text() + (ROOT / "BUILD.md").read_text()
    for name in METHODS:
        assert re.search(rf"\b{name}\b", text), name
