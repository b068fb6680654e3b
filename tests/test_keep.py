"""Weights of the subsets by their size: each modality that a row has is kept with a probability."""

import keras
import numpy as np
import pytest
import reference
import scipy.stats
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import objectives, sampling
from tf_mopoe.streams import as_stream

SEED, NAMES = tf.constant([3, 4]), tuple(small.SHAPES)


def by_keeping(subsets, has, keep):
    """P(the kept modalities are this subset, given that they are one of the subsets), modality by modality."""
    shares = []
    for subset in subsets:
        share = 1.0 if set(subset) <= set(has) else 0.0
        for name in has:
            share *= keep if name in subset else 1.0 - keep
        shares.append(share)
    return np.array(shares) / np.sum(shares)


@pytest.mark.parametrize("keep", [0.25, 0.9])
@pytest.mark.parametrize("subsets", ["powerset", [("word",), ("image", "word"), ("image", "sensor", "word")]], ids=str)
def test_weights_are_those_of_modalities_kept_at_random(subsets, keep):
    model = small.model(joint_posterior=mopoe.MixtureOfProducts(subsets, keep=keep))
    inputs = small.rows(3) | {"has_image": np.array([True, False, True]), "has_sensor": np.array([True, True, False])}
    q = model.encode(inputs)
    listed = reference.powerset(NAMES) if subsets == "powerset" else subsets
    for row, has in enumerate([NAMES, ("word", "sensor"), ("image", "word")]):
        np.testing.assert_allclose(q.joint.weights[row], by_keeping(listed, has, keep), rtol=1e-5)
    # A row that can form none of the subsets has the product of all that it has.
    none = model.encode(inputs | {"has_word": np.zeros(3, bool)}).joint.weights.numpy()
    np.testing.assert_allclose(none.sum(axis=1), 1.0, rtol=1e-6)
    if subsets != "powerset":
        np.testing.assert_allclose(none, np.eye(3)[[0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("kl", ["components", "mixture"])
def test_the_bound_is_that_of_a_loop(kl):
    keep = 0.3
    model = small.model(joint_posterior=mopoe.MixtureOfProducts(keep=keep), objective=objectives.ELBO(kl=kl))
    inputs = small.with_missing(small.rows(6))
    q, terms = model.encode(inputs), model.loss_terms(inputs, SEED)
    experts = {n: (p.loc[:, 0].numpy(), p.scale[:, 0].numpy()) for n, p in q.experts.items()}
    z = q.joint.sample(as_stream(SEED)).z.numpy()
    subsets = reference.powerset(NAMES)
    for row in range(6):
        has = [name for name in NAMES if inputs["has_" + name][row]]
        if not has:
            continue
        parts = reference.components(experts, row, has, subsets, NAMES, "full")
        shares = by_keeping([s for s in subsets if set(s) <= set(has)], has, keep)
        parts = [(share, loc, scale) for share, (_, loc, scale) in zip(shares, parts, strict=True)]
        if kl == "components":
            expected = sum(share * reference.kl_to_standard_normal(loc, scale) for share, loc, scale in parts)
        else:
            own = reference.normal_log_density(z[row], np.zeros(z.shape[1]), np.ones(z.shape[1]))
            expected = reference.mixture_log_density(z[row], parts) - own
        np.testing.assert_allclose(terms.kl[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.5, 0.97])
def test_sizes_are_binomial_but_for_none(keep):
    cdf = sampling.size_cdf(60, keep)
    for n in (1, 2, 17, 60):
        binomial = scipy.stats.binom(n, keep)
        sizes = np.arange(1, 61)
        expected = (binomial.cdf(np.minimum(sizes, n)) - binomial.pmf(0)) / binomial.sf(0)
        np.testing.assert_allclose(cdf[n], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(cdf[0], 0.0)
    assert np.all(np.isfinite(sampling.size_cdf(600, keep)))


@pytest.mark.parametrize("num_subsets", [1, 12])
def test_drawn_subsets_have_the_weights_of_listed_ones(num_subsets):
    keep, rows = 0.2, 4000
    has = np.array([True, False, True, True, True])
    drawn = sampling.subsets(np.tile(has, (rows, 1)), num_subsets, as_stream(SEED), keep).numpy()
    subsets = reference.powerset(np.flatnonzero(has))
    shares = [
        np.mean(np.all(drawn == np.isin(np.arange(5), subset), axis=-1), axis=1) for subset in subsets
    ]  # each [rows], which are independent
    mean, error = np.mean(shares, axis=1), np.std(shares, axis=1) / np.sqrt(rows)
    assert np.all(np.abs(mean - by_keeping(subsets, np.flatnonzero(has), keep)) <= 5.0 * error + 1e-9)
    np.testing.assert_allclose(np.sum(shares, axis=0), 1.0)


def test_a_layer_that_draws_its_subsets_estimates_the_kl_of_all():
    inputs = small.with_missing(small.rows(4))
    copies = {name: np.repeat(x, 500, axis=0) for name, x in inputs.items()}
    every = small.model(joint_posterior=mopoe.MixtureOfProducts(keep=0.2))
    drawn = small.model(joint_posterior=mopoe.MixtureOfProducts(keep=0.2, max_components=2, num_components=2))
    drawn.set_weights(every.get_weights())
    found = drawn.loss_terms(copies, SEED).kl.numpy().reshape(4, 500)
    error = found.std(axis=1) / np.sqrt(500)
    assert np.all(np.abs(found.mean(axis=1) - every.loss_terms(inputs, SEED).kl) <= 5.0 * error + 1e-4)


def test_it_multiplies_learned_weights():
    layer = mopoe.MixtureOfProducts(learned_weights=True, keep=0.25)
    model = small.model(joint_posterior=layer)
    own = np.array([1.0, 3.0, 2.0, 5.0, 4.0, 6.0, 7.0])  # by name: image, sensor, word, and their pairs
    layer.logits.assign(np.log(own))
    weights = model.encode(small.rows(2)).joint.weights[0]  # the model's order: image, word, sensor
    expected = np.arange(1.0, 8.0) / 3.0 ** np.array([1, 1, 1, 2, 2, 2, 3])
    np.testing.assert_allclose(weights, expected / expected.sum(), rtol=1e-5)


def test_what_is_made_from_given_modalities_does_not_depend_on_it():
    inputs = small.with_missing(small.rows(5))
    models = [small.model(joint_posterior=mopoe.MixtureOfProducts(keep=keep)) for keep in (0.5, 0.1)]
    models[1].set_weights(models[0].get_weights())
    first, second = (model.translate(inputs, to="word", seed=0) for model in models)
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_it_is_kept_in_files(tmp_path):
    model = small.model(joint_posterior=mopoe.MixtureOfProducts(keep=0.2))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.mixture.keep == 0.2
    inputs = small.rows(2)
    np.testing.assert_allclose(loaded.encode(inputs).joint.weights, model.encode(inputs).joint.weights, rtol=1e-6)
    assert mopoe.methods.MoPoEPlus(keep=0.2).parts({})["joint_posterior"].keep == 0.2


@pytest.mark.parametrize("keep", [0.0, 1.0, -0.1, 1.5, float("nan"), True, "half", None])
def test_a_share_that_is_none_is_an_error(keep):
    with pytest.raises(ValueError, match="`keep` must be a number between 0 and 1, and neither. Received: keep="):
        mopoe.MixtureOfProducts(keep=keep)
