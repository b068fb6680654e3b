"""The stratified draw: even over the batch, unbiased for every row, for any B and S."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mopoe import sampling
from tf_mopoe.mixture import Mixture
from tf_mopoe.streams import Stream, as_stream


@tf.function  # thousands of draws: op by op they take a minute
def many(weights, seeds):
    return tf.map_fn(lambda seed: sampling.stratified(weights, Stream(seed)), seeds, fn_output_signature=tf.int32)


def draws(weights, count):
    seeds = tf.stack([tf.range(count), tf.range(count) + 7], axis=1)
    return many(weights, seeds).numpy()


@pytest.mark.parametrize("rows, components", [(2, 7), (16, 7), (1, 3), (7, 7)])
def test_every_row_draws_every_component_as_often_as_its_weight(rows, components):
    weights = np.full((rows, components), 1.0 / components, np.float32)
    drawn = draws(tf.constant(weights), 4000)
    for row in range(rows):
        share = np.bincount(drawn[:, row], minlength=components) / 4000
        # 5 standard errors of a share
        np.testing.assert_allclose(share, 1.0 / components, atol=5 * np.sqrt(0.25 / 4000))


def test_over_the_batch_every_component_is_drawn_as_often_as_its_weight_to_within_one():
    weights = tf.fill([100, 7], 1.0 / 7)
    for drawn in draws(weights, 50):
        count = np.bincount(drawn, minlength=7)
        assert count.min() >= 14 and count.max() <= 15


def test_rows_with_other_weights_are_unbiased_and_weight_0_is_never_drawn():
    weights = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.2, 0.8, 0.0], [0.0, 0.0, 1.0]], np.float32)
    drawn = draws(tf.constant(weights), 4000)
    share = np.stack([np.bincount(drawn[:, row], minlength=3) / 4000 for row in range(4)])
    np.testing.assert_allclose(share, weights, atol=5 * np.sqrt(0.25 / 4000))
    assert np.all(share[weights == 0.0] == 0.0)


def test_a_rows_own_samples_are_stratified():
    index = sampling.stratified_samples(tf.fill([5, 4], 0.25), 8, as_stream(tf.constant([1, 2]))).numpy()  # [8, 5]
    for row in range(5):
        np.testing.assert_array_equal(np.bincount(index[:, row]), [2, 2, 2, 2])


def test_the_sample_is_reparameterised():
    loc, scale = tf.Variable(tf.random.normal([3, 2, 4])), tf.Variable(tf.ones([3, 2, 4]) * 0.5)
    index = tf.constant([0, 1, 1])
    with tf.GradientTape() as tape:
        z = Mixture(tf.fill([3, 2], 0.5), loc, scale).sample_component(index, as_stream(5)).z
        total = tf.reduce_sum(z)
    d_loc, d_scale = (tf.convert_to_tensor(g).numpy() for g in tape.gradient(total, [loc, scale]))
    chosen = np.eye(2)[index.numpy()][..., None] * np.ones(4)
    np.testing.assert_array_equal(d_loc, chosen)
    noise = (z.numpy() - loc.numpy()[np.arange(3), index]) / 0.5
    np.testing.assert_allclose(d_scale[np.arange(3), index], noise, rtol=1e-5)


def test_the_same_seed_gives_the_same_draw_and_no_rows_are_fine():
    weights = tf.fill([9, 3], 1.0 / 3)
    np.testing.assert_array_equal(
        sampling.stratified(weights, as_stream(5)), sampling.stratified(weights, as_stream(5))
    )
    assert sampling.stratified(tf.zeros([0, 3]), as_stream(5)).shape == (0,)
    with pytest.raises(ValueError, match="`seed` must be an integer, a stream or None. Received: seed=1.5"):
        as_stream(1.5)
