"""The discretized logistic likelihood: probabilities of levels, at and beyond the ends of float32 too."""

import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tf_mopoe import likelihoods

RNG = np.random.default_rng(0)


def every_level(likelihood, output):
    """The probabilities of all levels of one variable, [L]."""
    levels = np.arange(likelihood.levels, dtype=np.float32)[:, None]
    return np.exp(likelihood(np.tile(np.float32([output]), (len(levels), 1))).log_prob(levels).numpy().astype(float))


@pytest.mark.parametrize("levels", [2, 5, 256, 1000])
@pytest.mark.parametrize("loc", [0.0, 0.3, -1.0, 1.7, -40.0])
@pytest.mark.parametrize("scale", [0.05, 1.0, 30.0, 1e5])
def test_probabilities_are_differences_of_the_distribution_function_and_sum_to_1(levels, loc, scale):
    found = every_level(likelihoods.DiscretizedLogistic(scale, levels), [loc])
    half = 0.5 * (levels - 1)
    logistic = scipy.stats.logistic(half * (1 + float(np.float32(loc))), scale)
    edges = np.concatenate([[-np.inf], np.arange(levels - 1) + 0.5, [np.inf]])
    rounding = 2e-4 + 2.0**-23 * levels / scale  # of loc
    np.testing.assert_allclose(found, np.diff(logistic.cdf(edges)), rtol=rounding, atol=1e-6)
    assert found.sum() == pytest.approx(1.0, rel=1e-4)


def test_output_0_is_the_middle_and_1_the_ends():
    likelihood = likelihoods.DiscretizedLogistic(2.55)
    means = likelihood.mean(likelihood(np.float32([[-1.0, -0.5, 0.0, 0.5, 1.0]])))[0].numpy()
    np.testing.assert_allclose(means[1:4], [63.75, 127.5, 191.25], rtol=1e-3)
    assert means[0] == pytest.approx(2.55 * math.log(2), rel=1e-3)  # half of it lies beyond the end
    assert means[4] == pytest.approx(255 - 2.55 * math.log(2), rel=1e-3)


@pytest.mark.parametrize("scale", [0.03, 0.3, 3.0, 30.0, 300.0])
def test_the_mean_is_closer_than_half_a_level(scale):
    likelihood = likelihoods.DiscretizedLogistic(scale, levels=64)
    for loc in RNG.uniform(-1.5, 1.5, size=5):
        probs = every_level(likelihood, [loc])
        mean = float(likelihood.mean(likelihood(np.float32([[loc]])))[0, 0])
        # From half a level on the sum over levels is near the integral: 1 / (96 scale) apart at an end, by Euler-Maclaurin.
        tolerance = 0.5001 if scale < 0.5 else 1e-3 + 1 / (96 * scale)
        assert mean == pytest.approx(probs @ np.arange(64), abs=tolerance)


def test_draws_have_the_probabilities():
    likelihood = likelihoods.DiscretizedLogistic(1.0, levels=6)
    output = np.float32([[0.2, -1.2]])
    draws = likelihood(output).sample(20000, seed=(1, 2)).numpy()[:, 0]
    for variable in range(2):
        counts = np.bincount(draws[:, variable].astype(int), minlength=6)
        expected = 20000 * every_level(likelihood, output[0, variable : variable + 1])
        assert (np.square(counts - expected) / expected).sum() < scipy.stats.chi2.ppf(1 - 1e-6, 5)


@pytest.mark.parametrize("raw", [-1e4, -20.0, 0.0, 20.0, 1e4])
@pytest.mark.parametrize("loc", [-1e4, -3.0, 0.0, 3.0, 1e4])
def test_no_output_is_too_far_off(loc, raw):
    likelihood = likelihoods.DiscretizedLogistic("predicted")
    output = tf.constant(np.tile(np.float32([[loc, raw]]), (4, 1)))
    with tf.GradientTape() as tape:
        tape.watch(output)
        values = likelihood(output).log_prob(np.float32([[0.0], [1.0], [128.0], [255.0]]))
    assert np.isfinite(values).all() and np.all(values <= 1e-6)
    assert np.isfinite(tape.gradient(values, output)).all()
    assert 0.0 <= float(likelihood.mean(likelihood(output))[0, 0]) <= 255.0


def test_a_scale_that_is_learned_or_predicted_starts_at_a_sixteenth_of_the_range():
    x = RNG.integers(256, size=(3, 4)).astype(np.float32)
    loc = RNG.normal(size=(3, 4)).astype(np.float32)
    expected = likelihoods.DiscretizedLogistic(16.0)(loc).log_prob(x)
    learned = likelihoods.DiscretizedLogistic("learned")
    np.testing.assert_allclose(learned(loc).log_prob(x), expected, rtol=1e-5)
    assert [weight.shape for weight in learned.trainable_variables] == [()]
    both = np.concatenate([loc, np.zeros_like(loc)], axis=1)
    np.testing.assert_allclose(likelihoods.DiscretizedLogistic("predicted")(both).log_prob(x), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="must give 2 numbers for each variable"):
        likelihoods.DiscretizedLogistic("predicted")(loc[:, :3])
