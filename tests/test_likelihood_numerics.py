"""Likelihoods where float32 has little room, or where the data say little: extreme parameters, cells, variables, totals."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tf_mopoe import likelihoods
from tf_mopoe.units import Moments

RNG = np.random.default_rng(0)


def adapted(likelihood, x):
    moments = Moments()
    moments.add(x, ~np.isnan(x))
    likelihood.build((None, *likelihood.output_shape(x.shape[1:])))
    likelihood.adapt(moments)
    return likelihood


@pytest.mark.parametrize("dispersion", [1e-3, 1.0, 1e3, 1e5, 1e7])
@pytest.mark.parametrize("mean", [1e-3, 1.0, 300.0, 1e5])
def test_negative_binomial_of_any_dispersion(mean, dispersion):
    x = np.float32([[0.0], [1.0], [2.0], [np.round(mean)], [np.round(1.05 * mean) + 3]])
    likelihood = likelihoods.NegativeBinomial(dispersion)
    found = likelihood(np.full((5, 1), np.log(mean), np.float32)).log_prob(x)
    mean = np.exp(np.float64(np.float32(np.log(mean))))
    expected = scipy.stats.nbinom(dispersion, dispersion / (dispersion + mean)).logpmf(x[:, 0])
    largest = x[:, 0] * abs(np.log(mean))  # a term of the density, which float32 has to some units in the last place
    assert np.all(abs(found - expected) < 0.03 + 2e-4 * abs(expected) + 2e-7 * largest)


@pytest.mark.parametrize("concentration", [1e-2, 1.0, 100.0, 1e4])
@pytest.mark.parametrize("logit", [-6.0, 0.0, 2.0])
def test_beta_of_any_concentration(logit, concentration):
    mean = 1e-4 + (1 - 2e-4) / (1 + np.exp(-logit))
    x = np.float32([[0.001], [mean], [0.5], [0.999]])
    likelihood = likelihoods.Beta(concentration)
    found = likelihood(np.full((4, 1), logit, np.float32)).log_prob(x)
    expected = scipy.stats.beta(mean * concentration, (1 - mean) * concentration).logpdf(x[:, 0].astype(float))
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=0.03)


def test_a_predicted_concentration_is_held_where_float32_can_tell_densities_apart():
    """However sure the network is, the log-density is right at the mean, where it is largest."""
    likelihood = likelihoods.Beta("predicted")
    for raw in (7.0, 12.0):
        distribution = likelihood(np.float32([[0.3, raw]])).distribution
        a, b = (np.float64(part.numpy()[0, 0]) for part in (distribution.concentration1, distribution.concentration0))
        x = np.float32([[a / (a + b)]])
        expected = scipy.stats.beta(a, b).logpdf(np.float64(x))
        np.testing.assert_allclose(distribution.log_prob(x), expected, atol=0.01 if raw < 10 else 0.1)


@pytest.mark.parametrize("kind", [likelihoods.Poisson, lambda size: likelihoods.NegativeBinomial(size_factor=size)])
def test_a_total_of_pictures_of_counts_from_some_of_their_cells(kind):
    x = RNG.poisson([2.0, 30.0], size=(50, 3, 4, 2)).astype(np.float32)
    likelihood = adapted(kind("total"), x)
    observed = RNG.random(x.shape) < 0.5
    size = likelihood.size(tf.constant(np.where(observed, x, np.nan)), tf.constant(observed)).numpy()
    means = np.broadcast_to(x.mean(axis=(0, 1, 2)), x.shape)
    share = np.where(observed, means, 0).sum(axis=(1, 2, 3)) / means[0].sum()
    np.testing.assert_allclose(size, np.where(observed, x, 0).sum(axis=(1, 2, 3)) / share, rtol=1e-4)
    np.testing.assert_allclose(size, x.sum(axis=(1, 2, 3)), rtol=0.4)
    distribution = likelihood(np.zeros(x.shape, np.float32), size=size)
    np.testing.assert_allclose(distribution.mean().numpy().sum(axis=(1, 2, 3)), size, rtol=1e-4)


def test_a_row_without_any_observed_count_has_a_finite_density_of_nothing():
    x = RNG.poisson(3.0, size=(20, 4)).astype(np.float32)
    likelihood = adapted(likelihoods.Poisson("total"), x)
    observed = np.ones(x.shape, bool)
    observed[3] = False
    x[3] = np.nan
    output = tf.constant(RNG.normal(size=x.shape).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(output)
        distribution = likelihood(output, size=likelihood.size(tf.constant(x), tf.constant(observed)))
        values = likelihood.log_prob(distribution, tf.constant(x), tf.constant(observed))
    gradient = tape.gradient(values, output).numpy()
    assert values[3] == 0.0 and np.isfinite(values).all()
    assert np.isfinite(gradient).all() and not gradient[3].any() and gradient[2].any()


@pytest.mark.parametrize("df, finite", [(0.5, False), (1.0, False), (2.0, False), (2.5, True), (4.0, True)])
def test_students_t_reports_loc_and_its_true_spread(df, finite):
    likelihood = likelihoods.StudentT(2.0, df=df)
    loc = RNG.normal(size=(3, 4)).astype(np.float32)
    distribution = likelihood(loc)
    np.testing.assert_array_equal(likelihood.mean(distribution), loc)
    first, squares = (np.asarray(part) for part in likelihood.moments(distribution, seed=(0, 1)))
    np.testing.assert_array_equal(first, loc)
    if finite:
        np.testing.assert_allclose(squares - loc**2, 4.0 * df / (df - 2.0), rtol=1e-4)
    else:
        assert np.isposinf(squares).all()
    assert np.isfinite(likelihood.stand_in(distribution)).all()


def test_a_variable_without_any_value_starts_as_if_nothing_were_known():
    x = RNG.uniform(0.2, 0.4, size=(30, 3)).astype(np.float32)
    x[:, 1] = np.nan
    likelihood = adapted(likelihoods.Beta(), x)
    found = likelihood(np.zeros((1, 3), np.float32)).mean().numpy()[0]
    np.testing.assert_allclose(found, [np.mean(x[:, 0]), 0.5, np.mean(x[:, 2])], rtol=1e-3)
    counts = RNG.poisson(50.0, size=(30, 3)).astype(np.float32)
    counts[:, 1] = np.nan
    likelihood = adapted(likelihoods.Poisson(), counts)
    found = likelihood(np.zeros((1, 3), np.float32)).mean().numpy()[0]
    np.testing.assert_allclose(found, [counts[:, 0].mean(), 1.0, counts[:, 2].mean()], rtol=1e-3)
    likelihood = adapted(likelihoods.Normal(standardize=True), counts)
    distribution = likelihood(np.zeros((1, 3), np.float32)).distribution
    np.testing.assert_allclose(distribution.loc[0], [counts[:, 0].mean(), 0.0, counts[:, 2].mean()], rtol=1e-5)
    np.testing.assert_allclose(distribution.scale, [counts[:, 0].std(), 1.0, counts[:, 2].std()], rtol=1e-4)


@pytest.mark.parametrize("shape, axes", [((4,), 0), ((3, 5, 2), (0, 1, 2))])
def test_moments_batch_by_batch_are_numpys_where_means_dwarf_spreads(shape, axes):
    x = RNG.normal(1e6, np.linspace(1.0, 30.0, shape[-1]), size=(500, *shape))
    x[RNG.random(x.shape) < 0.3] = np.nan
    moments = Moments()
    for start in range(0, 500, 37):
        part = x[start : start + 37]
        moments.add(part, ~np.isnan(part))
    mean, spread = moments.mean_and_spread(shape[-1:] if len(shape) == 1 else (1, 1, shape[-1]))
    np.testing.assert_allclose(mean.ravel(), np.nanmean(x, axis=axes), rtol=1e-7)
    np.testing.assert_allclose(spread.ravel(), np.nanstd(x, axis=axes), rtol=1e-6)


def test_inflated_counts_where_a_zero_is_all_but_impossible():
    likelihood = likelihoods.ZeroInflated(likelihoods.Poisson())
    output = tf.constant(np.float32([[8.0, -60.0], [8.0, 60.0], [-12.0, -60.0]]))
    with tf.GradientTape() as tape:
        tape.watch(output)
        values = likelihood(output).log_prob(np.float32([[0.0], [0.0], [0.0]]))
    # log(pi + (1 - pi) exp(-rate)), the larger of the two, to the last digit.
    np.testing.assert_allclose(values, [-60.0, 0.0, -np.exp(-12.0)], rtol=1e-3, atol=1e-6)
    assert np.isfinite(tape.gradient(values, output)).all()
