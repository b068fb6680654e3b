"""IWAE: the order of the bounds on a model whose log p(X) is known, and the doubly reparameterised gradient."""

import itertools
from types import SimpleNamespace

import linear_gaussian
import numpy as np
import objective_reference as loops
import pytest
import reference
import tensorflow as tf

from tf_mopoe import objectives
from tf_mopoe.mixture import Mixture
from tf_mopoe.streams import as_stream

SEED = tf.constant([3, 4])
TARGET, NOISE = np.array([1.0, -0.5]), 0.3  # p(x | z) ~ exp(-|z - TARGET|^2 / (2 * NOISE^2))


def mixture(subsets, seed=0):
    """loc and scale [S, 2] of a mixture near the posterior."""
    rng = np.random.default_rng(seed)
    loc = rng.normal(size=(subsets, 2)) * 0.5 + [0.7, -0.3]
    return loc.astype(np.float32), np.exp(rng.normal(size=(subsets, 2)) * 0.3 - 0.7).astype(np.float32)


def gradients(objective, loc, scale, rows, seed, target=None, drawn=None):
    """d loss / d(loc, scale) of each of `rows` rows with the same posterior, [B, 2 * S * D]; and of the decoder's target.

    `drawn`: a list that gets the z, [S * K, B, D].
    """
    target = tf.constant(TARGET if target is None else target, tf.float32)
    every = [tf.repeat(part[None], rows, axis=0) for part in (tf.constant(loc), tf.constant(scale))]

    def log_likelihood(z):
        if drawn is not None:
            drawn.append(z.numpy())
        return -0.5 * tf.reduce_sum(((z - target) / NOISE) ** 2, axis=-1)

    with tf.GradientTape() as tape:
        tape.watch([*every, target])
        q = SimpleNamespace(joint=Mixture(tf.fill([rows, len(loc)], 1.0 / len(loc)), *every), step=0)
        loss = objective(q, loops.generative(log_likelihood, 2), as_stream(seed)).loss
    *encoder, decoder = tape.gradient(loss, [*every, target])
    return np.concatenate([g.numpy().reshape(rows, -1) for g in encoder], axis=1).astype(float), decoder.numpy()


def dreg_by_hand(loc, scale, noise, beta, published=False):
    """The formula of the docstring for one row, in loops: [S, D] and [S, D] of the loss. noise [S, K, D]."""
    subsets, samples, _ = noise.shape
    of_loc, of_scale = np.zeros_like(loc), np.zeros_like(loc)
    for s in range(subsets):
        z = loc[s] + scale[s] * noise[s]  # [K, D]
        log_weights, slopes, scores = [], [], []
        for point in z:
            parts = [(1.0 / subsets, loc[r], scale[r]) for r in range(subsets)]
            log_q = reference.mixture_log_density(point, parts)
            prior = reference.normal_log_density(point, np.zeros(2), np.ones(2))
            log_weights.append(-0.5 * np.sum(((point - TARGET) / NOISE) ** 2) + beta * (prior - log_q))
            share = [
                np.exp(reference.normal_log_density(point, loc[r], scale[r]) - log_q) / subsets for r in range(subsets)
            ]
            slope_of_q = -sum(share[r] * (point - loc[r]) / scale[r] ** 2 for r in range(subsets))
            slopes.append(-(point - TARGET) / NOISE**2 + beta * (-point - slope_of_q))
            scores.append(share)
        v = np.exp(np.array(log_weights) - max(log_weights))
        v /= v.sum()
        for k in range(samples):
            path = (1.0 - beta + beta * v[k]) * v[k] * slopes[k]
            of_loc[s] -= path / subsets
            of_scale[s] -= path * noise[s, k] / subsets
            for r in range(0 if published else subsets):
                factor = beta * (v[k] - 1.0 / samples) * (scores[k][r] - (r == s)) / subsets
                of_loc[r] += factor * (z[k] - loc[r]) / scale[r] ** 2
                of_scale[r] += factor * ((z[k] - loc[r]) ** 2 / scale[r] ** 3 - 1.0 / scale[r])
    return np.concatenate([of_loc.ravel(), of_scale.ravel()])


@pytest.mark.parametrize("gradient", ["dreg", "dreg_published"])
@pytest.mark.parametrize("subsets, samples, beta", [(1, 4, 1.0), (3, 1, 1.0), (3, 4, 1.0), (3, 4, 2.5)])
def test_dreg_is_its_formula(gradient, subsets, samples, beta):
    loc, scale = mixture(subsets)
    rows = 3
    drawn = []
    found, _ = gradients(objectives.IWAE(samples, beta, gradient), loc, scale, rows, SEED, drawn=drawn)
    z = drawn[0].astype(float).reshape(subsets, samples, rows, 2)
    noise = (z - loc[:, None, None]) / scale[:, None, None]
    for row in range(rows):
        own = noise[:, :, row]
        expected = dreg_by_hand(loc.astype(float), scale.astype(float), own, beta, gradient == "dreg_published")
        # atol: float32 sums of terms of the size of 10 that cancel
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)


def test_dreg_leaves_the_value_and_the_decoders_gradient_as_they_are():
    loc, scale = mixture(3)
    _, plain = gradients(objectives.IWAE(4, 1.5), loc, scale, 5, SEED)
    for gradient in ("dreg", "dreg_published"):
        _, decoder = gradients(objectives.IWAE(4, 1.5, gradient), loc, scale, 5, SEED)
        np.testing.assert_allclose(decoder, plain, rtol=1e-5)


@pytest.mark.parametrize(
    "subsets, samples, beta, ratio",
    [(1, 10, 1.0, 0.036), (1, 10, 2.5, 0.187), (3, 1, 1.0, 0.723), (3, 2, 1.0, 0.534), (3, 10, 1.0, 0.290)],
)
def test_dreg_has_the_mean_of_the_iwae_gradient_and_a_lower_variance(subsets, samples, beta, ratio):
    """60,000 rows of each; `ratio`: of the variances, summed over the parameters, as measured with these seeds."""
    loc, scale = mixture(subsets)
    plain, _ = gradients(objectives.IWAE(samples, beta), loc, scale, 60000, tf.constant([1, 2]))
    for gradient in ("dreg", "dreg_published"):
        other, _ = gradients(objectives.IWAE(samples, beta, gradient), loc, scale, 60000, tf.constant([3, 4]))
        error = np.sqrt((plain.var(axis=0) + other.var(axis=0)) / len(plain))
        apart = np.abs(plain.mean(axis=0) - other.mean(axis=0)) / error
        if gradient == "dreg":
            assert apart.max() < 4.5  # standard errors, of up to 12 parameters
            np.testing.assert_allclose(other.var(axis=0).sum() / plain.var(axis=0).sum(), ratio, rtol=0.02)
        elif (subsets, samples) == (3, 10):
            assert apart.max() > 10.0  # the mixture's own term, left out


def test_the_bounds_are_in_order():
    """20 rows, 400 times each: averaged over the draws, within 5 standard errors."""
    model, weights, inputs = linear_gaussian.linear_gaussian(joint_posterior="mmvae")
    model.reconstruction_weights = None
    exact = linear_gaussian.exact(weights, inputs, list(weights))
    many = {name: np.repeat(x, 400, axis=0) for name, x in inputs.items()}
    bounds = {
        "components": objectives.ELBO(),
        "mixture": objectives.ELBO(kl="mixture"),
        **{samples: objectives.IWAE(samples) for samples in (1, 2, 8, 32)},
        "dreg": objectives.IWAE(32, gradient="dreg"),
    }
    mean, error = {}, {}
    for number, (name, objective) in enumerate(bounds.items()):
        model.objective = objective
        values = -model.loss_terms(many, tf.constant([5, number])).loss.numpy().astype(float).reshape(20, 400)
        mean[name], error[name] = values.mean(axis=1), values.std(axis=1) / 20.0
        assert np.all(mean[name] < exact + 5.0 * error[name]), name
    order = ["components", 1, 2, 8, 32]
    for low, high in itertools.pairwise(order):
        assert np.all(mean[low] < mean[high] + 5.0 * (error[low] + error[high])), (low, high)
        assert mean[low].mean() < mean[high].mean()
    for same, other in (("mixture", 1), ("dreg", 32)):
        assert np.all(np.abs(mean[same] - mean[other]) < 5.0 * (error[same] + error[other]))
    assert exact.mean() - mean[32].mean() < 0.2 * (exact.mean() - mean[1].mean())  # nats: most of the gap is closed
