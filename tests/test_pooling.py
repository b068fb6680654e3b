"""Poolings against their formulas in NumPy, and what every one of them has to be."""

import itertools

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import pooling
from tf_mopoe.experts import Experts
from tf_mopoe.families import Normal

NAMES = ("a", "b", "c")
SUBSETS = [s for size in (1, 2, 3) for s in itertools.combinations(range(3), size)]
POOLINGS = {
    "product": lambda: pooling.Product("none"),
    "weighted": pooling.WeightedProduct,
    "geometric": pooling.GeometricMean,
    "hoelder": pooling.Hoelder,
    "hellinger": pooling.Hellinger,
    "correlated": lambda: pooling.Correlated(0.4),
    "correlated_learned": lambda: pooling.Correlated(0.3, learned=True),
}


def experts(available=None, seed=0, rows=6):
    rng = np.random.default_rng(seed)
    loc, scale = rng.normal(size=(rows, 3, 2)), np.exp(0.5 * rng.normal(size=(rows, 3, 2)))
    available = np.ones((rows, 3), bool) if available is None else available
    return Experts(NAMES, tf.constant(loc, tf.float32), tf.constant(scale, tf.float32), tf.constant(available), Normal)


def pooled(layer, given):
    """loc and scale, NumPy [B, S, D], of all subsets."""
    if not layer.built:
        layer.build_for(NAMES, 2)
    membership = tf.constant([[float(m in s) for m in range(3)] for s in SUBSETS])
    mixture = layer.mixture(given, membership, tf.fill([len(given.loc), len(SUBSETS)], 1 / len(SUBSETS)))
    return mixture.loc.numpy().astype(float), mixture.scale.numpy().astype(float)


def weighted(loc, scale, weights):
    weights = weights / weights.sum(axis=0)
    precision = (weights / scale**2).sum(axis=0)
    return (weights * loc / scale**2).sum(axis=0) / precision, precision**-0.5


def consensus(loc, scale, rho):
    result = []
    for d in range(loc.shape[1]):
        covariance = rho * np.outer(scale[:, d], scale[:, d]) + (1 - rho) * np.diag(scale[:, d] ** 2)
        inverse = np.linalg.inv(covariance)
        result.append((inverse.sum(axis=0) @ loc[:, d] / inverse.sum(), inverse.sum() ** -0.5))
    return np.array(result).T


def by_quadrature(loc, scale):
    """The first two moments of ( sum sqrt(q) )^2 on a grid of two dimensions."""
    axis = np.linspace(-14, 14, 1401)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"))
    density = 0.0
    for m, s in zip(loc, scale):
        parts = [np.exp(-0.5 * ((grid[d] - m[d]) / s[d]) ** 2) / s[d] for d in range(2)]
        density = density + np.sqrt(parts[0] * parts[1])
    density = density**2 / (density**2).sum()
    first = np.array([(grid[d] * density).sum() for d in range(2)])
    return first, np.sqrt([((grid[d] - first[d]) ** 2 * density).sum() for d in range(2)])


@pytest.mark.parametrize("name", POOLINGS)
def test_it_is_its_formula(name):
    layer, given = POOLINGS[name](), experts()
    layer.build_for(NAMES, 2)
    if name == "weighted":
        logits = np.random.default_rng(1).normal(size=(3, 2))
        layer.logits.assign(logits)
    loc, scale = pooled(layer, given)
    rows = 2 if name == "hellinger" else 6
    for row, (number, subset) in itertools.product(range(rows), enumerate(SUBSETS)):
        own = [np.asarray(x, float)[row, list(subset)] for x in (given.loc, given.scale)]
        if name == "product":
            expected = weighted(*own, np.ones((len(subset), 2)))
            expected = expected[0], expected[1] / np.sqrt(len(subset))
        elif name == "weighted":
            expected = weighted(*own, np.exp(logits[list(subset)]))
        elif name in ("geometric", "hoelder"):
            expected = weighted(*own, np.ones((len(subset), 2)))
        elif name == "hellinger":
            expected = by_quadrature(*own)
        else:
            expected = consensus(*own, 0.4 if name == "correlated" else 0.3)
        np.testing.assert_allclose((loc[row, number], scale[row, number]), expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", POOLINGS)
def test_a_lone_expert_is_itself_and_order_and_absent_experts_do_not_matter(name):
    layer, given = POOLINGS[name](), experts()
    loc, scale = pooled(layer, given)
    np.testing.assert_allclose(loc[:, :3], given.loc, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scale[:, :3], given.scale, rtol=1e-5)
    turned = Experts(NAMES, given.loc[:, ::-1], given.scale[:, ::-1], given.available, Normal)
    for part, other in zip((loc, scale), pooled(layer, turned)):
        np.testing.assert_allclose(part[:, -1], other[:, -1], rtol=1e-5, atol=1e-6)
    available = np.ones((6, 3), bool)
    available[:, 1] = False
    nothing = np.array([[False] * 3] * 6)
    for flags in (available, nothing):
        torn = Experts(
            NAMES,
            tf.where(flags[..., None], given.loc, np.nan),
            tf.where(flags[..., None], given.scale, np.nan),
            tf.constant(flags),
            Normal,
        )
        with tf.GradientTape() as tape:
            tape.watch([torn.loc, torn.scale])
            membership, weights = tf.constant([[1.0, 1.0, 1.0]]), tf.ones([6, 1])
            mixture = layer.mixture(torn, membership, weights)
            total = tf.reduce_sum(mixture.loc) + tf.reduce_sum(mixture.scale)
        gradients = tape.gradient(total, [torn.loc, torn.scale], unconnected_gradients="zero")
        assert all(np.isfinite(g).all() for g in gradients)
        kept = (loc[:, 4], scale[:, 4]) if flags is available else (np.zeros((6, 2)), np.ones((6, 2)))
        np.testing.assert_allclose(mixture.loc[:, 0], kept[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(mixture.scale[:, 0], kept[1], rtol=1e-5)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", POOLINGS)
def test_a_model_with_it_learns_and_comes_back_from_a_file(name, tmp_path):
    layer = mopoe.MixtureOfProducts("powerset", pooling=POOLINGS[name]())
    model = small.compiled(joint_posterior=layer)
    inputs = small.with_missing(small.rows(24))
    history = model.fit(inputs, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    model.save(tmp_path / "m.keras")
    copy, seed = keras.models.load_model(tmp_path / "m.keras"), tf.constant([1, 2])
    np.testing.assert_array_equal(copy.loss_terms(inputs, seed).loss, model.loss_terms(inputs, seed).loss)


def test_a_geometric_mean_with_the_prior_is_mmjsds_dynamic_prior():
    """Of what a row has, with equal powers 1/(n + 1); of nothing, the prior itself."""
    flags = np.random.default_rng(2).random((6, 3)) < 0.6
    given = experts(flags)
    loc, scale = pooled(pooling.GeometricMean(with_prior=True), given)
    for row, (number, subset) in itertools.product(range(6), enumerate(SUBSETS)):
        members = [m for m in subset if flags[row, m]]
        own = [np.asarray(x, float)[row, members] for x in (given.loc, given.scale)]
        total = (own[1] ** -2.0).sum(axis=0) + 1.0
        np.testing.assert_allclose(loc[row, number], (own[0] / own[1] ** 2).sum(axis=0) / total, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(scale[row, number], np.sqrt((len(members) + 1) / total), rtol=1e-5)


def test_mmjsd_translates_from_its_dynamic_prior_by_a_second_model_of_its_networks():
    model = small.compiled(joint_posterior="mmjsd", objective=mopoe.objectives.MMJSD())
    layer = mopoe.MixtureOfProducts("full", pooling=pooling.GeometricMean(with_prior=True))
    other = mopoe.MultimodalVAE(model.encoders, model.decoders, joint_posterior=layer)
    model.fit(small.rows(24), epochs=1, verbose=0)
    given = {name: x for name, x in small.rows(9).items() if name != "word"}
    q, own = other.encode(given).joint, model.encode(given)
    precision = [1.0 / np.square(own.expert(name).scale[:, 0]) for name in given]
    np.testing.assert_allclose(q.scale[:, 0], np.sqrt(3.0 / (1.0 + sum(precision))), rtol=1e-5)
    assert other.translate(given, to="word", seed=0).shape == (9, *small.SHAPES["word"])


PAIRS = ["a", "b", "c", ("a", "b"), ("a", "c"), ("b", "c")]


def test_hoelder_pooling_is_the_squared_sum_of_roots():
    """The density of the mixture is a row's constant times ( sum sqrt q )^2, of what the row has, at any z; and its first
    two moments are those of `Hellinger`."""
    flags = np.array([[1, 1, 1], [1, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    given = experts(flags)
    layer = mopoe.MixtureOfProducts(PAIRS, pooling=pooling.Hoelder(), modalities=NAMES)
    joint = layer.joint(given)
    z = np.random.default_rng(3).normal(size=(50, 6, 2))
    log_prob = joint.log_prob(tf.constant(z, tf.float32)).numpy()
    log_q = Normal.log_probs(tf.constant(z, tf.float32), given.loc, given.scale).numpy()  # [50, 6, 3]
    expected = 2.0 * np.log((flags * np.exp(0.5 * log_q)).sum(axis=-1), where=flags.any(axis=1), out=np.zeros((50, 6)))
    np.testing.assert_allclose(np.ptp(log_prob - expected, axis=0)[:5], 0.0, atol=1e-4)
    np.testing.assert_allclose(log_prob[:, 5], -0.5 * (z[:, 5] ** 2).sum(-1) - np.log(2.0 * np.pi), rtol=1e-4)
    weights, loc, scale = (x.numpy() for x in (joint.weights[..., None], joint.loc, joint.scale))
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    first = (weights * loc).sum(axis=1)
    second = np.sqrt((weights * (scale**2 + (loc - first[:, None]) ** 2)).sum(axis=1))
    moments = mopoe.MixtureOfProducts("full", pooling=pooling.Hellinger(), modalities=NAMES).joint(given)
    np.testing.assert_allclose(first, moments.loc[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(second, moments.scale[:, 0], rtol=1e-4)


def test_hoelders_weights_are_those_of_experts_that_agree():
    """The same three: pairs weigh twice; far apart: nothing is left of pairs. The largest subsets keep their weights."""
    names, flags = NAMES, tf.ones([1, 3], tf.bool)
    layer = mopoe.MixtureOfProducts(PAIRS, pooling=pooling.Hoelder(), modalities=NAMES)
    for distance, expected in ((0.0, [1 / 9] * 3 + [2 / 9] * 3), (100.0, [1 / 5] * 3 + [2 / 5, 0.0, 0.0])):
        loc = tf.constant([[[0.0, 0.0], [0.0, 0.0], [distance, 0.0]]])
        given = Experts(names, loc, tf.ones([1, 3, 2]), flags, Normal)
        weights = layer.joint(given).weights[0]
        np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-6)
        pairs = np.array(expected) * [0, 0, 0, 1, 1, 1]
        np.testing.assert_allclose(
            layer.maximal_components(given).weights[0], pairs / pairs.sum(), rtol=1e-5, atol=1e-6
        )


def test_correlation_0_is_the_product_and_equal_weights_the_geometric_mean():
    given = experts()
    for a, b in zip(pooled(pooling.Correlated(0.0), given), pooled(pooling.Product("none"), given)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    sizes = np.array([len(subset) for subset in SUBSETS])[:, None]
    (loc, scale), (product_loc, product_scale) = (
        pooled(layer, given) for layer in (pooling.WeightedProduct(), pooling.Product("none"))
    )
    np.testing.assert_allclose(loc, product_loc, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scale, product_scale * np.sqrt(sizes), rtol=1e-5)


@keras.saving.register_keras_serializable(package="test")
class Average(pooling.Pooling):
    """Means of loc and scale, which nobody recommends."""

    def pool(self, loc, scale, members, names):
        share = tf.cast(members, tf.float32)
        share /= tf.reduce_sum(share, axis=-1, keepdims=True)  # NaN without members: anything will do
        return tf.matmul(share, loc), tf.matmul(share, scale)


def test_a_pooling_of_the_users_own_has_no_more_than_pool(tmp_path):
    model = small.model(joint_posterior=mopoe.MixtureOfProducts("powerset", pooling=Average()))
    inputs = small.with_missing(small.rows(9))
    q = model.encode(inputs)
    joint = q.joint
    for number, subset in enumerate(small.family("powerset", model.modalities)):
        has = np.all([q.available[name] for name in subset], axis=0)
        for part in ("loc", "scale"):
            expected = np.mean([getattr(q.expert(name), part)[:, 0] for name in subset], axis=0)
            np.testing.assert_allclose(getattr(joint, part)[:, number][has], expected[has], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(joint.weights[:, number] > 0.0, has)
    nothing = small.rows(2) | {f"has_{name}": np.zeros(2, bool) for name in small.SHAPES}
    np.testing.assert_array_equal(model.encode(nothing).subset().loc, np.zeros((2, 1, 4)))
    np.testing.assert_array_equal(model.encode(nothing).subset().scale, np.ones((2, 1, 4)))
    model.save(tmp_path / "m.keras")
    copy = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(copy.encode(inputs).joint.loc, joint.loc)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`correlation` must be a number from 0 to below 1"):
        pooling.Correlated(1.0)
    with pytest.raises(ValueError, match="`prior_expert` must be one of 'full'"):
        pooling.Product("some")
    with pytest.raises(ValueError, match="`pooling` must be one of tf_mopoe.pooling, without `prior_expert`"):
        mopoe.MixtureOfProducts(prior_expert="all", pooling=pooling.Hellinger())
