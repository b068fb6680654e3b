"""The Gaussian algebra against plain loops in float64, and far from 1."""

import numpy as np
import pytest
import reference
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe import gaussian, subsets
from tf_mopoe.families import Normal
from tf_mopoe.mixture import Mixture

tfd = tfp.distributions
NAMES = ("a", "b", "c")


def random_experts(rows=5, modalities=3, latent_dim=4, seed=0):
    rng = np.random.default_rng(seed)
    loc = rng.normal(size=(rows, modalities, latent_dim)) * 2.0
    scale = np.exp(rng.normal(size=(rows, modalities, latent_dim)))
    return loc.astype(np.float32), scale.astype(np.float32)


@pytest.mark.parametrize("prior", [0.0, 1.0])
def test_products_for_all_subsets_equal_the_products_one_by_one(prior):
    loc, scale = random_experts()
    family = reference.powerset(NAMES)
    membership = subsets.membership_matrix(family, NAMES)
    available = np.ones((5, 3), bool)
    locs, scales = gaussian.products_of_experts(loc, scale, available, membership, np.full(len(family), prior, "f"))
    for row in range(5):
        for s, subset in enumerate(family):
            members = [NAMES.index(name) for name in subset]
            expected = reference.product(loc[row, members], scale[row, members], with_prior=bool(prior))
            np.testing.assert_allclose(locs[row, s], expected[0], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(scales[row, s], expected[1], rtol=1e-5)


def test_a_lone_expert_is_not_altered():
    loc, scale = random_experts(modalities=1)
    locs, scales = gaussian.products_of_experts(
        loc, scale, np.ones((5, 1), bool), np.ones((1, 1), "f"), np.zeros(1, "f")
    )
    # 1 / scale, its square, a sum, a quotient and a root: 8 units in the last place
    np.testing.assert_allclose(locs[:, 0], loc[:, 0], rtol=1e-6)
    np.testing.assert_allclose(scales[:, 0], scale[:, 0], rtol=1e-6)


def test_the_product_is_order_free():
    loc, scale = random_experts()
    product = lambda order: gaussian.products_of_experts(  # noqa: E731
        loc[:, order], scale[:, order], np.ones((5, 3), bool), np.ones((1, 3), "f"), np.zeros(1, "f")
    )
    for forward, backward in zip(product([0, 1, 2]), product([2, 0, 1])):
        np.testing.assert_allclose(forward, backward, rtol=1e-6)


def test_the_product_of_nothing_is_the_prior_and_missing_experts_get_no_gradient():
    loc, scale = random_experts(rows=2)
    loc[:, 1], scale[:, 1] = np.nan, 0.0  # whatever a missing expert says
    available = np.array([[True, False, True], [False, False, False]])
    loc, scale = tf.constant(loc), tf.constant(scale)
    with tf.GradientTape() as tape:
        tape.watch([loc, scale])
        locs, scales = gaussian.products_of_experts(loc, scale, available, np.ones((1, 3), "f"), np.zeros(1, "f"))
        total = tf.reduce_sum(locs) + tf.reduce_sum(scales)
    np.testing.assert_array_equal(locs[1, 0], np.zeros(4))
    np.testing.assert_array_equal(scales[1, 0], np.ones(4))
    for gradient in tape.gradient(total, [loc, scale]):
        np.testing.assert_array_equal(gradient.numpy()[~available], 0.0)
        assert np.all(gradient.numpy()[0, [0, 2]] != 0.0)


def test_scales_from_1e_minus_6_to_1e6_give_finite_values_and_gradients():
    scale = tf.constant(10.0 ** np.linspace(-6, 6, 13, dtype=np.float32).reshape(1, 13, 1))
    loc = tf.constant(np.linspace(-3, 3, 13, dtype=np.float32).reshape(1, 13, 1))
    family = [(m,) for m in range(13)] + [(m, 12 - m) for m in range(6)] + [tuple(range(13))]
    membership = subsets.membership_matrix(family, range(13))
    weights = np.full((1, len(family)), 1.0 / len(family), np.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([loc, scale])
        locs, scales = gaussian.products_of_experts(
            loc, scale, np.ones((1, 13), bool), membership, np.zeros(len(family), "f")
        )
        kl = Normal.kl_to_standard(locs, scales)
        density = Mixture(weights, locs, scales).log_prob(tf.constant([[0.3]]))
    for value in (locs, scales, kl, density):
        assert np.all(np.isfinite(value))
        for gradient in tape.gradient(value, [loc, scale], unconnected_gradients=tf.UnconnectedGradients.ZERO):
            assert np.all(np.isfinite(gradient))
    exact = reference.product(np.asarray(loc[0]), np.asarray(scale[0]), with_prior=False)
    np.testing.assert_allclose(scales[0, -1], exact[1], rtol=1e-5)
    np.testing.assert_allclose(locs[0, -1], exact[0], rtol=1e-5)


def test_kl_equals_tfp_and_the_loop():
    loc, scale = random_experts()
    kl = Normal.kl_to_standard(loc, scale)
    q = tfd.MultivariateNormalDiag(loc, scale)
    p = tfd.MultivariateNormalDiag(tf.zeros(4), tf.ones(4))
    np.testing.assert_allclose(kl, tfd.kl_divergence(q, p), rtol=1e-5)
    np.testing.assert_allclose(kl[2, 1], reference.kl_to_standard_normal(loc[2, 1], scale[2, 1]), rtol=1e-5)


def test_mixture_density_equals_the_sum_written_out():
    loc, scale = random_experts()
    weights = np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 1.0], [1 / 3] * 3], np.float32)
    z = np.random.default_rng(3).normal(size=(2, 5, 4)).astype(np.float32)
    density = Mixture(weights, loc, scale).log_prob(z)
    for k in range(2):
        for row in range(5):
            parts = list(zip(weights[row], loc[row], scale[row]))
            np.testing.assert_allclose(density[k, row], reference.mixture_log_density(z[k, row], parts), rtol=1e-5)
