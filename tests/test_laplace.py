"""Laplace densities against tfd and numerical integration; Laplace experts in a model."""

import draws
import numpy as np
import pytest
import small
import tensorflow as tf
import tensorflow_probability as tfp

import tf_mopoe as mopoe
from tf_mopoe import objectives
from tf_mopoe.families import Laplace, Normal
from tf_mopoe.priors import Standard
from tf_mopoe.streams import as_stream

tfd = tfp.distributions
SEED = tf.constant([3, 4])
NAMES = ("word", "sensor")


def parameters(shape):
    rng = np.random.default_rng(0)
    return rng.normal(size=shape).astype(np.float32) * 2.0, np.exp(rng.normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize("density, scalar", [(Laplace, tfd.Laplace), (Normal, tfd.Normal)])
def test_the_density_is_tfds(density, scalar):
    loc, scale = parameters((5, 3))
    z = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32) * 3.0
    expected = tf.reduce_sum(scalar(loc, scale).log_prob(z), axis=-1)
    np.testing.assert_allclose(density.log_prob(z, loc, scale), expected, rtol=1e-5)
    np.testing.assert_allclose(density.distribution(loc, scale).log_prob(z), expected, rtol=1e-5)
    expected = tf.reduce_sum(scalar(0.0, 1.0).log_prob(z), axis=-1)
    prior = Standard()
    prior.build_for(3, density)
    np.testing.assert_allclose(prior.log_prob(z), expected, rtol=1e-5)


@pytest.mark.parametrize("density", [Laplace, Normal])
def test_the_kl_to_the_prior_is_its_integral(density):
    """By the trapezoidal rule over 60 scales to either side, in float64."""
    logs = {
        Laplace: lambda z, m, s: -np.abs(z - m) / s - np.log(2.0 * s),
        Normal: lambda z, m, s: -0.5 * ((z - m) / s) ** 2 - np.log(s) - 0.5 * np.log(2.0 * np.pi),
    }
    loc, scale = parameters((6,))
    for m, s in zip(loc.astype(float), scale.astype(float)):
        z = np.sort(np.concatenate([m + s * np.linspace(-60.0, 60.0, 400001), [0.0, m]]))  # the kinks are nodes
        q, p = logs[density](z, m, s), logs[density](z, 0.0, 1.0)
        kl = density.kl_to_standard(tf.constant([m], tf.float32), tf.constant([s], tf.float32))
        terms = np.exp(q) * (q - p)
        np.testing.assert_allclose(kl, np.sum((terms[1:] + terms[:-1]) * np.diff(z)) / 2.0, rtol=1e-5, atol=1e-6)
    assert float(density.kl_to_standard(tf.zeros(3), tf.ones(3))) == 0.0


@pytest.mark.parametrize("density, scalar", [(Laplace, tfd.Laplace), (Normal, tfd.Normal)])
def test_the_noise_has_the_densitys_quantiles(density, scalar):
    """Of 400,000 draws, within 5 standard errors sqrt(q (1 - q) / n) of the share below; none is infinite."""
    draws = np.sort(density.noise(as_stream(SEED), [400000, 1])[:, 0].numpy())
    assert np.all(np.isfinite(draws))
    for share in (0.0005, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.9995):
        below = np.searchsorted(draws, float(scalar(0.0, 1.0).quantile(share))) / len(draws)
        assert abs(below - share) < 5.0 * np.sqrt(share * (1.0 - share) / len(draws)), share


def laplace_model(names=NAMES, **kwargs):
    encoders = {
        name: mopoe.LaplaceEncoder(mopoe.networks.mlp_encoder(small.SHAPES[name], (8,)), 4, name=f"{name}_encoder")
        for name in names
    }
    decoders = small.model(names).decoders
    return mopoe.MultimodalVAE(encoders, decoders, **{"joint_posterior": "mmvae", "seed": 0} | kwargs)


def test_laplace_experts_give_mmvaes_bound():
    """Against tfd: the mixture of what each row has, z from each of its experts, K = 2."""
    model = laplace_model(objective=objectives.IWAE(2))
    inputs = small.with_missing(small.rows(6, NAMES))
    q = model.encode(inputs)
    available = tf.stack([tf.cast(q.available[name], tf.float32) for name in NAMES], axis=1)
    weights = (available / tf.reduce_sum(available, axis=1, keepdims=True)).numpy().astype(float)
    found, (drawn,) = draws.decoded(model, lambda: model.loss_terms(inputs, SEED))
    expected = 0.0
    for number, z in enumerate(drawn.reshape(2, 2, 6, 4)):  # [S, K, B, D]
        densities = [np.exp(q.expert(other).log_prob(z).numpy().astype(float)) for other in NAMES]
        log_q = np.log(sum(w * d for w, d in zip(weights.T, densities)))
        log_p = tf.reduce_sum(tfd.Laplace(0.0, 1.0).log_prob(z), axis=-1).numpy().astype(float)
        terms = model.generative.given(q.batch).log_prob(z)
        log_weight = sum(term.numpy().astype(float) for term in terms.values()) + log_p - log_q
        bound = np.log(np.mean(np.exp(log_weight), axis=0))
        expected = expected - np.where(weights[:, number] > 0.0, weights[:, number] * bound, 0.0)
    np.testing.assert_allclose(found.loss, expected, rtol=1e-5)


def test_the_z_of_laplace_experts_has_their_density():
    model, count = laplace_model(objective=objectives.IWAE(2)), 2000
    inputs = draws.repeated(small.rows(1, NAMES), 0, count)
    _, (z,) = draws.decoded(model, lambda: model.loss_terms(inputs, SEED))
    for name, own in zip(NAMES, z.reshape(2, 2 * count, 4)):
        expert = model.encoders[name](inputs[name][:1]).distribution
        draws.assert_drawn_from(own, [1.0], expert.loc, expert.scale, "laplace")


def test_laplace_experts_train_translate_and_survive_a_file(tmp_path):
    model = laplace_model(objective=objectives.IWAE(2, gradient="dreg"))
    model.compile(optimizer="lion")
    inputs = small.with_missing(small.rows(16, NAMES), rate=0.2)
    before = [variable.numpy() for variable in model.trainable_variables]
    losses = model.fit(inputs, epochs=3, batch_size=16, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses))
    assert all(np.any(variable.numpy() != old) for variable, old in zip(model.trainable_variables, before))
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    given = {"word": small.rows(3, NAMES)["word"]}
    assert isinstance(model.subset_posterior(given).distribution, tfd.Laplace)  # one expert has a product: itself
    np.testing.assert_array_equal(loaded.translate(given, "sensor", seed=1), model.translate(given, "sensor", seed=1))


@pytest.mark.parametrize("method", ["mopoe", "mvae", "mmjsd", "mvtcae"])
def test_laplace_experts_have_no_products(method):
    with pytest.raises(ValueError, match="Only normal experts have products: laplace ones need .*unimodal"):
        laplace_model(joint_posterior=method)


def test_what_needs_normal_experts_says_so():
    rows = small.rows(3, NAMES)
    for objective in (objectives.MVAE(), objectives.MVTCAE(), objectives.MMJSD(), objectives.JMVAE()):
        with pytest.raises(ValueError, match="needs `joint_posterior=.*Received: .*subsets='unimodal'"):
            laplace_model(objective=objective)
    for objective in (objectives.MMJSD(), objectives.JMVAE(), objectives.MVTCAE()):  # of one modality any layer suits
        with pytest.raises(ValueError, match="This objective needs normal experts. Received: laplace experts"):
            laplace_model(("word",), objective=objective).loss_terms({"word": rows["word"]}, SEED)
    with pytest.raises(ValueError, match="Only normal experts have products. Received: laplace experts"):
        laplace_model().subset_posterior(rows)
