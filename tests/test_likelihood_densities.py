"""Every likelihood's density against scipy.stats; its cells, draws, extremes, and its file."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe.units import Moments

stats = pytest.importorskip("scipy.stats", reason="the extra datasets")
L = mopoe.likelihoods
B, E = 6, 4
RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(B, E))
COUNTS = RNG.poisson(3.0, (B, E)).astype(float)
SHARES = RNG.uniform(0.02, 0.98, (B, E))
LEVELS = RNG.integers(0, 16, (B, E)).astype(float)
RAW = RNG.normal(size=(B, E))  # what the network gives, first
MORE = RNG.normal(size=(B, E))  # second
SPREAD = np.array([0.5, 1.0, 2.0, 3.0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def negative_binomial(x, mean, dispersion):
    return stats.nbinom.logpmf(x, dispersion, dispersion / (dispersion + mean))


def beta(x, mean, concentration):
    mean = 1e-4 + (1 - 2e-4) * mean
    return stats.beta.logpdf(x, mean * concentration, (1 - mean) * concentration)


def discretized(x, loc, scale, levels=16):
    loc = (loc + 1) * (levels - 1) / 2
    low, high = np.where(x == 0, -np.inf, x - 0.5), np.where(x == levels - 1, np.inf, x + 0.5)
    side = np.where(x > loc, -1, 1)  # the tail in which nothing is near 1
    return np.log(
        np.abs(stats.logistic.cdf(side * (high - loc) / scale) - stats.logistic.cdf(side * (low - loc) / scale))
    )


def inflated(x, pi, log_prob):
    return np.log(pi * (x == 0) + (1 - pi) * np.exp(log_prob))


# likelihood, x, log p by scipy of the network's output, one number or two per variable
CASES = {
    "normal": (lambda: L.Normal(0.7), REAL, lambda a, b: stats.norm.logpdf(REAL, a, 0.7)),
    "normal, per variable": (lambda: L.Normal(SPREAD.tolist()), REAL, lambda a, b: stats.norm.logpdf(REAL, a, SPREAD)),
    "normal, learned": (lambda: L.Normal("learned"), REAL, lambda a, b: stats.norm.logpdf(REAL, a)),
    "normal, predicted": (
        lambda: L.Normal("predicted"),
        REAL,
        lambda a, b: stats.norm.logpdf(REAL, a, 1e-3 + np.exp(b)),
    ),
    "laplace": (lambda: L.Laplace(0.7), REAL, lambda a, b: stats.laplace.logpdf(REAL, a, 0.7)),
    "laplace, learned per variable": (
        lambda: L.Laplace("learned_per_variable"),
        REAL,
        lambda a, b: stats.laplace.logpdf(REAL, a),
    ),
    "laplace, predicted": (
        lambda: L.Laplace("predicted"),
        REAL,
        lambda a, b: stats.laplace.logpdf(REAL, a, 1e-3 + np.exp(b)),
    ),
    "student": (lambda: L.StudentT(0.7, df=3.0), REAL, lambda a, b: stats.t.logpdf(REAL, 3.0, a, 0.7)),
    "bernoulli": (
        L.Bernoulli,
        (REAL > 0).astype(float),
        lambda a, b: stats.bernoulli.logpmf((REAL > 0).astype(int), sigmoid(a)),
    ),
    "poisson": (L.Poisson, COUNTS, lambda a, b: stats.poisson.logpmf(COUNTS, np.exp(a))),
    "poisson, size": (
        lambda: L.Poisson(size_factor="total"),
        COUNTS,
        lambda a, b: stats.poisson.logpmf(
            COUNTS, COUNTS.sum(1, keepdims=True) * np.exp(a) / np.exp(a).sum(1, keepdims=True)
        ),
    ),
    "negative binomial": (L.NegativeBinomial, COUNTS, lambda a, b: negative_binomial(COUNTS, np.exp(a), 1.0)),
    "negative binomial, number": (
        lambda: L.NegativeBinomial(2.5),
        COUNTS,
        lambda a, b: negative_binomial(COUNTS, np.exp(a), 2.5),
    ),
    "negative binomial, predicted": (
        lambda: L.NegativeBinomial("predicted"),
        COUNTS,
        lambda a, b: negative_binomial(COUNTS, np.exp(a), np.exp(b)),
    ),
    "zero-inflated poisson": (
        lambda: L.ZeroInflated(L.Poisson()),
        COUNTS,
        lambda a, b: inflated(COUNTS, sigmoid(b), stats.poisson.logpmf(COUNTS, np.exp(a))),
    ),
    "zero-inflated negative binomial": (
        lambda: L.ZeroInflated(L.NegativeBinomial()),
        COUNTS,
        lambda a, b: inflated(COUNTS, sigmoid(b), negative_binomial(COUNTS, np.exp(a), 1.0)),
    ),
    "beta": (L.Beta, SHARES, lambda a, b: beta(SHARES, sigmoid(a), 10.0)),
    "beta, number": (lambda: L.Beta(3.0), SHARES, lambda a, b: beta(SHARES, sigmoid(a), 3.0)),
    "beta, predicted": (
        lambda: L.Beta("predicted"),
        SHARES,
        lambda a, b: beta(SHARES, sigmoid(a), 10.0 * np.exp(b)),
    ),
    "discretized logistic": (
        lambda: L.DiscretizedLogistic(1.5, levels=16),
        LEVELS,
        lambda a, b: discretized(LEVELS, a, 1.5),
    ),
    "discretized logistic, learned": (
        lambda: L.DiscretizedLogistic(levels=16),
        LEVELS,
        lambda a, b: discretized(LEVELS, a, 1.0),
    ),
    "discretized logistic, predicted": (
        lambda: L.DiscretizedLogistic("predicted", levels=16),
        LEVELS,
        lambda a, b: discretized(LEVELS, a, np.exp(b)),
    ),
}


def built(case):
    likelihood, x, log_prob = CASES[case][0](), *CASES[case][1:]
    output = np.concatenate([RAW, MORE], axis=1) if likelihood.num_parameters == 2 else RAW
    likelihood.build((None, output.shape[1]))
    return likelihood, tf.constant(output, tf.float32), x.astype(np.float32), log_prob(RAW, MORE)


def of(likelihood, output, x, observed=None):
    arguments = {"size": likelihood.size(tf.constant(x), observed)} if likelihood.reads_size else {}
    return likelihood(output, **arguments)


@pytest.mark.parametrize("case", CASES)
def test_density_is_scipys(case):
    likelihood, output, x, wanted = built(case)
    likelihood.check("x", x)
    distribution = of(likelihood, output, x)
    np.testing.assert_allclose(likelihood.log_prob(distribution, x), wanted.sum(axis=1), rtol=2e-4, atol=1e-4)
    compiled = tf.function(lambda: likelihood.log_prob(of(likelihood, output, x), x))()
    np.testing.assert_allclose(compiled, wanted.sum(axis=1), rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_cells_count_alone_and_what_is_missing_has_no_gradient(case):
    likelihood, output, x, wanted = built(case)
    observed = np.random.default_rng(1).random((B, E)) < 0.6
    observed[0] = False
    if likelihood.reads_size:
        pytest.skip("a share depends on all variables of the row: below")
    hidden = np.where(observed, x, np.nan).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(output)
        log_prob = likelihood.log_prob(likelihood(output), tf.constant(hidden), tf.constant(observed))
    np.testing.assert_allclose(log_prob, np.where(observed, wanted, 0.0).sum(axis=1), rtol=2e-4, atol=1e-4)
    gradient = np.split(tape.gradient(log_prob, output).numpy(), likelihood.num_parameters, axis=1)
    for part in gradient:
        assert np.isfinite(part).all() and np.all(part[~observed] == 0.0)
    assert np.all(gradient[0][observed] != 0.0)


@pytest.mark.parametrize("case", CASES)
def test_draws_are_of_the_support_and_have_the_reported_mean(case):
    likelihood, output, x, _ = built(case)
    distribution = of(likelihood, output, x)
    draws = distribution.sample(4000, seed=(1, 2)).numpy()
    assert draws.shape == (4000, B, E)
    likelihood.check("x", draws.reshape(-1, E))
    mean = likelihood.mean(distribution).numpy()
    slack = 0.5 if "discretized" in case else 1e-6  # documented: within half a level
    error = 6 * draws.std(axis=0) / np.sqrt(4000) + slack
    if "student" not in case:
        first, second = (np.asarray(part) for part in likelihood.moments(distribution, tf.constant([3, 4])))
        exact = not np.array_equal(first, np.round(first)) and "discretized" not in case
        if exact:
            np.testing.assert_allclose(np.sqrt(second - first**2), draws.std(axis=0), rtol=0.25)
    assert np.all(np.abs(draws.mean(axis=0) - mean) < error)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_networks_that_give_anything_have_a_finite_density_and_gradient(case, size):
    likelihood, output, x, _ = built(case)
    output = tf.sign(output) * size
    with tf.GradientTape() as tape:
        tape.watch(output)
        log_prob = likelihood.log_prob(of(likelihood, output, x), x)
    assert np.isfinite(log_prob).all() and np.isfinite(tape.gradient(log_prob, output)).all()


@pytest.mark.parametrize("case", CASES)
def test_a_decoder_with_it_comes_back_from_its_file(case, tmp_path):
    likelihood, _, x, _ = built(case)
    moments = Moments()
    if likelihood.adapt_input(x) is not None:
        moments.add(x)
        likelihood.adapt(moments)
    decoder = mopoe.Decoder(keras.Sequential([keras.layers.Dense(5)]), CASES[case][0](), event_shape=E)
    model = keras.Sequential([keras.Input((2,)), decoder.network])  # builds the network
    assert model.built
    decoder.build((None, 2))
    if likelihood.adapt_input(x) is not None:
        decoder.likelihood.adapt(moments)
    wrapped = mopoe.MultimodalVAE({"x": mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(E), 2)}, {"x": decoder})
    wrapped.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras").decoders["x"]
    z = tf.random.stateless_normal([B, 2], (1, 2))
    first, second = (d.likelihood.log_prob(d(z), x) for d in (decoder, loaded))
    np.testing.assert_allclose(first, second, rtol=1e-6)
    assert loaded.likelihood.adapted == decoder.likelihood.adapted


def test_shares_of_a_count_sum_to_the_total_of_what_is_there():
    likelihood, output, x, _ = built("poisson, size")
    np.testing.assert_allclose(of(likelihood, output, x).mean().numpy().sum(axis=1), x.sum(axis=1), rtol=1e-4)
    moments = Moments()
    moments.add(x)
    likelihood.adapt(moments)
    # Half of a row's usual share is there: the total is that over the share.
    observed = np.zeros((B, E), bool)
    observed[:, :2] = True
    share = x.mean(axis=0)[:2].sum() / x.mean(axis=0).sum()
    size = likelihood.size(tf.constant(x), tf.constant(observed))
    np.testing.assert_allclose(size, x[:, :2].sum(axis=1) / share, rtol=1e-4)
    np.testing.assert_allclose(likelihood.mean_size(), x.sum(axis=1).mean(), rtol=1e-4)
    np.testing.assert_allclose(likelihood(output).mean().numpy().sum(axis=1), x.sum(axis=1).mean(), rtol=1e-4)


@pytest.mark.parametrize("scale", [0.02, 0.3, 1.5, 40.0])
@pytest.mark.parametrize("loc", [-1.3, -1.0, 0.1, 1.0, 5.0])
def test_levels_have_a_probability_of_one_together(loc, scale):
    likelihood = L.DiscretizedLogistic(scale, levels=16)
    likelihood.build((None, 1))
    distribution = likelihood(tf.fill([16, 1], loc))
    log_probs = likelihood.log_prob(distribution, tf.range(16.0)[:, None]).numpy()
    assert np.exp(log_probs).sum() == pytest.approx(1.0, abs=1e-4)
    assert np.isfinite(log_probs).all()
    exact = np.exp(log_probs) @ np.arange(16.0)
    assert likelihood.mean(distribution).numpy()[0, 0] == pytest.approx(exact, abs=0.51)


def test_bits_per_dimension_of_a_uniform_code():
    nats = np.full(3, -10 * np.log(256.0))
    np.testing.assert_allclose(mopoe.evaluation.bits_per_dimension(nats, 10), 8.0)
    with pytest.raises(ValueError, match="`num_variables` must"):
        mopoe.evaluation.bits_per_dimension(nats, 0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: L.Normal("big"), '`scale` must be a positive number, one per variable, or "learned"'),
        (lambda: L.Normal([1.0, -1.0]), "`scale` must be a positive number"),
        (lambda: L.StudentT(df=0), "`df` must be a positive number"),
        (lambda: L.Poisson("rows"), "`size_factor` must be"),
        (lambda: L.NegativeBinomial(-1), '`dispersion` must be "learned"'),
        (lambda: L.ZeroInflated(L.Normal()), "`likelihood` must be Poisson or NegativeBinomial"),
        (lambda: L.Beta(0), '`concentration` must be "learned"'),
        (lambda: L.DiscretizedLogistic("big"), '`scale` must be "learned"'),
        (lambda: L.DiscretizedLogistic(levels=1), "`levels` must"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "likelihood, x, message",
    [
        (L.Poisson(), [0.5], "counts, 0, 1, 2, ... .Poisson.. Received: 0.5"),
        (L.NegativeBinomial(), [-1.0], "counts"),
        (L.Beta(), [1.5], r"in \[0, 1\] .Beta."),
        (L.DiscretizedLogistic(), [256.0], "integers from 0 to 255 .DiscretizedLogistic.. Received: 256"),
        (L.DiscretizedLogistic(), [0.5], "integers from 0 to 255"),
        (L.Bernoulli(), [2.0], r"in \[0, 1\]"),
    ],
)
def test_numbers_outside_the_support(likelihood, x, message):
    x = np.array([x], np.float32)
    with pytest.raises(ValueError, match=message):
        likelihood.check("x", x)
    likelihood.check("x", x, np.zeros_like(x, bool))  # what is missing may be anything
