import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
import tensorflow_probability as tfp

import tf_mopoe as mopoe
from tf_mopoe import likelihoods

tfd = tfp.distributions


def test_densities_equal_the_loops():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(3, 4, 5)).astype(np.float32)
    x = rng.normal(size=(3, 4, 5)).astype(np.float32)
    binary = rng.integers(2, size=(3, 4, 5)).astype(np.float32)
    one_hot = np.eye(5, dtype=np.float32)[rng.integers(5, size=(3, 4))]
    for row in range(3):
        for likelihood, value, expected in (
            (likelihoods.Laplace(0.75), x, reference.laplace_log_density(x[row], mean[row], 0.75)),
            (likelihoods.Normal(1.7), x, reference.normal_log_likelihood(x[row], mean[row], 1.7)),
            (likelihoods.Bernoulli(), binary, reference.bernoulli_log_likelihood(binary[row], mean[row])),
            (likelihoods.Categorical(), one_hot, reference.categorical_log_likelihood(one_hot[row], mean[row])),
        ):
            distribution = likelihood(mean)
            assert distribution.batch_shape == (3,) and distribution.event_shape == (4, 5)
            np.testing.assert_allclose(distribution.log_prob(value)[row], expected, rtol=1e-5)


def test_means():
    logits = np.array([[[0.0, np.log(3.0)]]], np.float32)
    np.testing.assert_allclose(likelihoods.Categorical()(logits).mean(), [[[0.25, 0.75]]], rtol=1e-6)
    np.testing.assert_allclose(likelihoods.Bernoulli()(logits).mean(), [[[0.5, 0.75]]], rtol=1e-6)
    for location_scale in (likelihoods.Normal(2.0), likelihoods.Laplace(2.0)):
        np.testing.assert_array_equal(location_scale(logits).mean(), logits)


def test_dimension_counts_positions_of_a_sequence_and_numbers_of_the_rest():
    assert likelihoods.Categorical().dimension((8, 71)) == 8
    assert likelihoods.Laplace().dimension((32, 32, 3)) == 3072
    assert likelihoods.Bernoulli().dimension((28, 28, 1)) == 784


@pytest.mark.parametrize("kind", [likelihoods.Laplace, likelihoods.Normal])
def test_a_learned_scale_is_one_positive_weight_that_begins_at_1(kind):
    likelihood = kind("learned")
    mean, x = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    np.testing.assert_allclose(likelihood(mean).log_prob(x), kind(1.0)(mean).log_prob(x), rtol=1e-6)
    assert len(likelihood.trainable_variables) == 1
    likelihood.log_scale.assign(np.log(0.3))
    np.testing.assert_allclose(likelihood(mean).log_prob(x), kind(0.3)(mean).log_prob(x), rtol=1e-5)


@pytest.mark.parametrize("scale", [0.0, -1.0, "fixed", None, float("inf"), float("nan")])
def test_a_scale_that_is_no_positive_number_is_an_error(scale):
    with pytest.raises(ValueError, match="`scale` must be a positive number, one per variable, or .*Received: scale="):
        likelihoods.Laplace(scale)


class Poisson(likelihoods.Likelihood):
    """A likelihood of one's own: counts."""

    def call(self, log_rate):
        return tfd.Independent(tfd.Poisson(log_rate=log_rate), reinterpreted_batch_ndims=1)


def test_a_likelihood_of_ones_own_is_a_layer_with_a_call():
    model = mopoe.MultimodalVAE(
        {"counts": mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(5), 2)},
        {"counts": mopoe.Decoder(mopoe.networks.mlp_decoder(5, 2), Poisson())},
    )
    model.compile("lion")
    counts = np.random.default_rng(0).poisson([1, 2, 3, 4, 50], size=(64, 5)).astype(np.float32)
    losses = model.fit({"counts": counts}, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert model.predict({"counts": counts}, verbose=0)["counts"][:, 4].mean() > 10


class Gamma(likelihoods.Likelihood):
    """Positive numbers: the density of 0, which stands in for missing rows, is 0 or infinite."""

    def call(self, parameter):
        return tfd.Independent(tfd.Gamma(tf.nn.softplus(parameter) + 0.5, 1.0), reinterpreted_batch_ndims=1)


@pytest.mark.parametrize("objective", [mopoe.objectives.ELBO(), mopoe.objectives.IWAE(3)])
def test_missing_rows_are_nothing_to_a_likelihood_without_a_density_at_zero(objective):
    x = np.random.default_rng(0).gamma(2.0, size=(16, 5)).astype(np.float32)
    has = np.arange(16) % 2 == 0
    parts = {"a": Gamma(), "b": likelihoods.Normal()}
    keras.utils.set_random_seed(0)
    model = mopoe.MultimodalVAE(
        {name: mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(5), 2) for name in parts},
        {name: mopoe.Decoder(mopoe.networks.mlp_decoder(5, 2), likelihood) for name, likelihood in parts.items()},
        objective=objective,
        seed=0,
    )
    found = []
    for fill in (np.nan, 3.0):
        inputs = {"a": np.where(has[:, None], x, np.float32(fill)), "has_a": has, "b": x}
        with tf.GradientTape() as tape:
            terms = model.loss_terms(inputs, tf.constant([0, 1]), training=True)
            loss = tf.reduce_sum(terms.loss)
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        found.append([terms.loss, terms.reconstruction["a"], *gradients])
    for missing, other in zip(*found):
        assert np.isfinite(missing).all()
        np.testing.assert_array_equal(missing, other)
    np.testing.assert_array_equal(found[0][1].numpy()[~has], 0.0)
    assert all(np.any(gradient != 0.0) for gradient in found[0][2:])


def test_numpy_numbers_are_numbers():
    scale = likelihoods.Normal(scale=np.float32(0.5)).get_config()["scale"]
    beta = mopoe.objectives.ELBO(beta=np.float32(2.5)).get_config()["beta"]
    assert (type(scale), scale, type(beta), beta) == (float, 0.5, float, 2.5)
