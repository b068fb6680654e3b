"""Priors: densities against SciPy, KLs closed and by the sample, draws, and models with each of them."""

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import priors
from tf_mopoe.families import Laplace, Normal
from tf_mopoe.mixture import Mixture
from tf_mopoe.streams import as_stream

SEED = tf.constant([1, 2])
PRIVATE = {"image": 2, "word": 0, "sensor": 3}


def built(prior, latent_dim=3, family=Normal, shared_dim=None):
    keras.utils.set_random_seed(0)
    prior.build_for(latent_dim, family, shared_dim)
    for variable in prior.trainable_variables:
        variable.assign_add(0.5 * keras.random.normal(variable.shape, seed=1))
    return prior


def model(joint_posterior="mopoe", **kwargs):
    networks, likelihoods = mopoe.networks, small.LIKELIHOODS
    encoders = {n: mopoe.GaussianEncoder(networks.mlp_encoder(s, (8,)), 4, PRIVATE[n]) for n, s in small.SHAPES.items()}
    decoders = {
        n: mopoe.Decoder(networks.mlp_decoder(s, 4 + PRIVATE[n], (8,)), likelihoods[n]())
        for n, s in small.SHAPES.items()
    }
    return mopoe.MultimodalVAE(encoders, decoders, joint_posterior, seed=0, **kwargs)


def test_densities_are_scipys():
    stats = pytest.importorskip("scipy.stats")
    z = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    prior = built(priors.LearnedScale())
    _, scale = (x.numpy() for x in prior.parameters())
    np.testing.assert_allclose(prior.log_prob(z), stats.norm(0, scale).logpdf(z).sum(-1), rtol=1e-5)
    prior = built(priors.LearnedScale(), family=Laplace)
    _, scale = (x.numpy() for x in prior.parameters())
    np.testing.assert_allclose(prior.log_prob(z), stats.laplace(0, scale).logpdf(z).sum(-1), rtol=1e-5)
    for family, density in ((Normal, stats.norm), (Laplace, stats.laplace)):
        prior = built(priors.Mixture(4, learn_weights=True), family=family)
        log_weights, loc, scale = (x.numpy() for x in prior.components())
        assert abs(np.exp(log_weights).sum() - 1) < 1e-6 and np.ptp(log_weights) > 0.1
        terms = np.stack([w + density(m, s).logpdf(z).sum(-1) for w, m, s in zip(log_weights, loc, scale)])
        np.testing.assert_allclose(prior.log_prob(z), np.log(np.exp(terms).sum(0)), rtol=1e-5)
        shares = np.moveaxis(np.exp(terms) / np.exp(terms).sum(0), 0, -1)
        np.testing.assert_allclose(prior.responsibilities(z), shares, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", [Normal, Laplace])
def test_draws_have_the_density(family):
    for prior in (priors.Standard(), priors.LearnedScale(0.3), priors.Mixture(3, spread=2.0)):
        z = built(prior, family=family).sample(as_stream(1), [20000]).numpy().astype(float)
        # The expected gradient of log p is 0, and E z . grad log p = -D, whatever p.
        z = tf.constant(z, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(z)
            total = tf.reduce_sum(prior.log_prob(z))
        score = tape.gradient(total, z).numpy().astype(float)
        for values, expected in ((score, 0.0), (score * z.numpy(), -1.0)):
            error = values.std(axis=0) / np.sqrt(20000)
            assert np.all(np.abs(values.mean(axis=0) - expected) < 5 * error)
        center = prior.sample(as_stream(1), [7], temperature=0.0).numpy()
        if not isinstance(prior, priors.Mixture):
            np.testing.assert_array_equal(center, np.zeros((7, 3)))


def test_the_kl_by_the_sample_agrees_with_the_closed_one():
    rng = np.random.default_rng(0)
    loc, scale = tf.constant(rng.normal(size=(1, 3)), tf.float32), tf.constant([[0.5, 0.8, 1.2]])
    rows = 20000
    q = Mixture(tf.ones([rows, 1]), *(tf.repeat(x[:, None], rows, axis=0) for x in (loc, scale)))
    sample = q.sample(as_stream(1))
    for prior in (built(priors.Standard()), built(priors.LearnedScale(0.7))):
        closed = float(prior.kl(loc, scale)[0])
        estimates = Normal.log_prob(sample.z, sample.loc, sample.scale) - prior.log_prob(sample.z)
        error = np.std(estimates) / np.sqrt(rows)
        assert abs(np.mean(estimates) - closed) < 5 * error
        np.testing.assert_allclose(q.kl_to(prior, sample)[0], closed, rtol=1e-4)


def test_a_mixture_of_one_component_is_the_fixed_prior():
    inputs = small.rows(4000)
    plain, mixed = model(), model(prior=priors.Mixture(1))
    z = tf.random.stateless_normal([9, 4], SEED)
    np.testing.assert_allclose(mixed.prior.log_prob(z), plain.prior.log_prob(z), rtol=1e-5)
    copy_networks(plain, mixed)
    closed, estimated = plain.loss_terms(inputs, SEED), mixed.loss_terms(inputs, SEED)
    for name, values in closed.reconstruction.items():
        np.testing.assert_allclose(estimated.reconstruction[name], values, rtol=1e-5, atol=1e-5)
    difference = estimated.kl - closed.kl
    # The closed KL is the mean over components, the estimate that of the component drawn.
    assert abs(np.mean(difference)) < 5 * np.std(difference) / np.sqrt(4000)


def copy_networks(source, target):
    for part in ("encoders", "decoders"):
        for name, layer in getattr(source, part).items():
            getattr(target, part)[name].set_weights(layer.get_weights())


def test_pseudo_inputs_are_the_mean_posterior_of_rows():
    net = model(prior=priors.PseudoInputs(5))
    rows = small.rows(5, seed=3)
    net.prior.assign(rows)
    z = tf.random.stateless_normal([6, 4], SEED)
    posterior = net.subset_posterior(rows)
    terms = np.stack([posterior.log_prob(point).numpy() for point in z])  # [6, 5]
    np.testing.assert_allclose(net.prior.log_prob(z), np.log(np.exp(terms).mean(axis=1)), rtol=1e-4)


def test_pseudo_inputs_are_in_the_units_that_networks_read():
    x = np.random.default_rng(0).normal(1e4, 300.0, size=(50, 3)).astype(np.float32)
    encoder = mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(6), 2, normalization="standard", cells=True)
    net = mopoe.MultimodalVAE(
        {"x": encoder},
        {"x": mopoe.Decoder(mopoe.networks.mlp_decoder(3, 2), mopoe.likelihoods.Normal(standardize=True))},
        prior=priors.PseudoInputs(5),
    )
    net.adapt({"x": x})
    assert np.abs(net.prior.inputs["x"]).max() < 1.0
    net.prior.assign({"x": x[:5]})
    np.testing.assert_allclose(net.prior.inputs["x"], (x[:5] - x.mean(0)) / x.std(0), atol=1e-3)
    z = tf.random.stateless_normal([6, 2], SEED)
    terms = np.stack([net.subset_posterior({"x": x[:5]}).log_prob(point).numpy() for point in z])
    np.testing.assert_allclose(net.prior.log_prob(z), np.log(np.exp(terms).mean(axis=1)), rtol=1e-4)


def test_the_prior_given_z_starts_as_the_standard_one_and_follows_z():
    prior = built(priors.GivenShared(8), 2, shared_dim=4)
    fresh = priors.GivenShared(8)
    fresh.build_for(2, shared_dim=4)
    z, w = tf.random.stateless_normal([50, 4], SEED), tf.random.stateless_normal([50, 2], SEED + 1)
    standard = Normal.log_prob(w, tf.zeros_like(w), tf.ones_like(w))
    np.testing.assert_allclose(fresh.log_prob(w, z), standard, atol=0.2)
    loc, scale = prior.parameters(z)
    np.testing.assert_allclose(prior.log_prob(w, z), Normal.log_prob(w, loc, scale), rtol=1e-5)
    assert np.std(loc) > 0.1 and np.all(scale <= np.exp(3.0))
    np.testing.assert_allclose(prior.sample(as_stream(1), [50], z, temperature=0.0), loc, rtol=1e-6)


CASES = {
    "learned_scale": lambda: {"prior": priors.LearnedScale()},
    "mixture": lambda: {"prior": priors.Mixture(5)},
    "pseudo_inputs": lambda: {"prior": priors.PseudoInputs(5)},
    "private_mixture": lambda: {"private_prior": priors.Mixture(3)},
    "given_shared": lambda: {"prior": priors.Mixture(5), "private_prior": priors.GivenShared(8)},
}


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("case", CASES)
def test_a_model_with_it_learns_is_used_and_comes_back_from_a_file(case, tmp_path):
    net, inputs = model(**CASES[case]()), small.with_missing(small.rows(24))
    net.compile(keras.optimizers.Lion(1e-2))
    layers = [layer for layer in (net.prior, *net.private_priors.values()) if layer.trainable_variables]
    before = [[v.numpy() for v in layer.trainable_variables] for layer in layers]
    history = net.fit(inputs, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert layers
    for layer, values in zip(layers, before):
        assert all(np.any(v.numpy() != old) for v, old in zip(layer.trainable_variables, values)), layer
    made = net.generate(3, seed=1)
    net.save(tmp_path / "m.keras")
    copy = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(copy.loss_terms(inputs, SEED).loss, net.loss_terms(inputs, SEED).loss)
    for name, x in copy.generate(3, seed=1).items():
        np.testing.assert_allclose(x, made[name], rtol=1e-6)
    assert np.isfinite(net.log_likelihood(inputs, 8, seed=1)).all()


# ---- priors of the user's own


@keras.saving.register_keras_serializable(package="test")
class Shifted(priors.Located):
    """N(2, 0.5^2)."""

    def parameters(self, given=None):
        return tf.fill([self.latent_dim], 2.0), tf.fill([self.latent_dim], 0.5)


@keras.saving.register_keras_serializable(package="test")
class TwoCenters(priors.ComponentsPrior):
    """A quarter at -1, three quarters at 3."""

    def components(self):
        loc = tf.constant([[-1.0], [3.0]]) * tf.ones([self.latent_dim])
        return tf.math.log([0.25, 0.75]), loc, tf.ones_like(loc)


@keras.saving.register_keras_serializable(package="test")
class Uniform(priors.Prior):
    """On [-50, 50]; its KL is not closed."""

    def log_prob(self, z, given=None):
        return tf.fill(tf.shape(z)[:-1], np.float32(-self.latent_dim * np.log(100.0)))

    def sample(self, stream, shape, given=None, temperature=1.0):
        return temperature * stream.uniform([*shape, self.latent_dim], row_axis=-2, minval=-50.0, maxval=50.0)


@pytest.mark.parametrize("own, mean", [(Shifted, 2.0), (TwoCenters, 2.0), (Uniform, 0.0)])
def test_a_prior_of_the_users_own_is_the_models(own, mean, tmp_path):
    net, inputs = model("mvae", prior=own()), small.rows(400)
    posterior, z = net.subset_posterior(inputs), tf.random.stateless_normal([400, 4], SEED)
    np.testing.assert_allclose(net.prior.mean(), np.full(4, mean), rtol=1e-6)
    draws = net.prior.sample(as_stream(1), [20000]).numpy().astype(float)
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 5 * draws.std(axis=0) / np.sqrt(20000))
    kl = net.loss_terms(inputs, SEED).kl.numpy()
    samples = posterior.sample(500, seed=1)  # the KL by as many samples, for all rows together
    ratio = posterior.log_prob(samples) - net.prior.log_prob(samples)
    error = np.hypot(np.std(np.mean(ratio, axis=1)) / np.sqrt(500), np.std(kl) / np.sqrt(400) * (not own.has_closed_kl))
    assert abs(np.mean(kl) - np.mean(ratio)) < 5 * error
    net.save(tmp_path / "m.keras")
    copy = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(copy.prior.log_prob(z), net.prior.log_prob(z))


def test_bad_arguments():
    with pytest.raises(ValueError, match="`prior` must be one of tf_mopoe.priors. Received: prior='normal'"):
        model(prior="normal")
    with pytest.raises(ValueError, match="`prior` must not read the shared latent variables"):
        model(prior=priors.GivenShared())
    with pytest.raises(ValueError, match="`private_prior` must be a prior, or one for each of the modalities"):
        model(private_prior={"image": priors.Standard()})
    with pytest.raises(ValueError, match="`private_source` must be one of 'auxiliary', 'own'"):
        model(private_source="none")
    with pytest.raises(ValueError, match="This prior already has 3 normal latent variables"):
        model(prior=built(priors.Mixture(2)))
