"""A classifier that is trained here has its own seed, and leaves those of the program alone."""

import random

import keras
import numpy as np
import tensorflow as tf

from tf_mopoe import evaluation

RNG = np.random.default_rng(0)
LABELS = RNG.integers(3, size=60)
PICTURES = (LABELS[:, None, None, None] / 3 + 0.1 * RNG.random((60, 8, 8, 1))).astype(np.float32)


def weights(global_seed, **kwargs):
    keras.utils.set_random_seed(global_seed)
    return evaluation.train_classifier(PICTURES, LABELS, epochs=2, batch_size=20, **kwargs).get_weights()


def test_the_result_depends_on_its_own_seed_only():
    first, again, other = weights(1, seed=5), weights(2, seed=5), weights(1, seed=6)
    for one, two in zip(first, again):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
    assert np.abs(first[0] - other[0]).max() > 0.01


def test_the_seeds_of_the_program_are_left_alone():
    keras.utils.set_random_seed(3)
    drawn = set()
    for _ in range(2):
        evaluation.train_classifier(PICTURES, LABELS, epochs=1, seed=0)
        drawn |= {random.random(), np.random.random(), float(tf.random.uniform([]))}
    assert len(drawn) == 6  # seeds that are set would give the same numbers twice
