"""Missing cells: a row's observed cells and no others, in likelihoods, encoders, gradients and exports."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tf_mopoe as mopoe
from tf_mopoe import export
from tf_mopoe.streams import as_stream

SHAPES = {"a": 5, "b": 3}
RNG = np.random.default_rng(0)
X = {name: RNG.normal(size=(10, size)).astype(np.float32) for name, size in SHAPES.items()}
THERE = {name: RNG.random(x.shape) < 0.7 for name, x in X.items()}
THERE["a"][4], THERE["b"][4] = False, True  # a row without any cell of a
THERE["a"][5], THERE["b"][5] = True, False


def made(seed=0, hidden_share=0.0, **kwargs):
    keras.utils.set_random_seed(seed)
    encode, decode = mopoe.networks.mlp_encoder, mopoe.networks.mlp_decoder
    encoders = {
        name: mopoe.GaussianEncoder(encode(2 * size, (8,)), 2, cells=True, hidden_share=hidden_share)
        for name, size in SHAPES.items()
    }
    decoders = {
        name: mopoe.Decoder(decode(size, 2, (8,)), mopoe.likelihoods.Normal(0.7)) for name, size in SHAPES.items()
    }
    return mopoe.MultimodalVAE(encoders, decoders, seed=seed, **kwargs)


def with_nan():
    return {name: np.where(THERE[name], x, np.nan) for name, x in X.items()}


def with_flags(fill):
    return {
        key: value
        for name, x in X.items()
        for key, value in ((name, np.where(THERE[name], x, fill).astype(np.float32)), ("has_" + name, THERE[name]))
    }


def terms_and_gradients(model, inputs):
    with tf.GradientTape() as tape:
        terms = model.loss_terms({k: tf.constant(v) for k, v in inputs.items()}, tf.constant([1, 2]), training=True)
        loss = tf.reduce_sum(terms.loss)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables], unconnected_gradients="zero")
    return terms, gradients


@pytest.mark.parametrize("hidden_share", [0.0, 0.5])
def test_what_a_missing_cell_holds_reaches_nothing(hidden_share):
    model = made(hidden_share=hidden_share)
    found = [terms_and_gradients(model, inputs) for inputs in (with_nan(), with_flags(np.nan), with_flags(1e30))]
    for terms, gradients in found:
        for one, other in zip(tf.nest.flatten((terms, gradients)), tf.nest.flatten(found[0])):
            assert np.isfinite(one).all()
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_row_without_cells_is_a_row_without_the_modality():
    model, inputs = made(), with_nan()
    without = with_nan() | {"has_a": np.arange(10) != 4, "has_b": np.arange(10) != 5}
    without["a"][4], without["b"][5] = 7.0, 7.0
    (terms, gradients), (other_terms, other_gradients) = (terms_and_gradients(model, x) for x in (inputs, without))
    np.testing.assert_array_equal(terms.reconstruction["a"][4], 0.0)
    for one, other in zip(tf.nest.flatten((terms, gradients)), tf.nest.flatten((other_terms, other_gradients))):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    alone = model.embed({"b": X["b"][4:5]})
    np.testing.assert_allclose(model.embed({k: v[4:5] for k, v in inputs.items()}), alone, rtol=1e-5)


def test_the_likelihood_is_the_sum_over_observed_cells():
    model = made()
    inputs = with_nan()
    q = model.encode(inputs)
    z = q.mean()
    log_probs = model.generative.given(q.batch).log_prob(z)
    for name, x in X.items():
        loc = model.decode(z, name).numpy()
        cells = -0.5 * ((x - loc) / 0.7) ** 2 - np.log(0.7) - 0.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(log_probs[name], np.where(THERE[name], cells, 0.0).sum(axis=1), rtol=1e-4, atol=1e-5)


def test_the_encoder_reads_which_cells_are_there():
    encoder = made().encoders["a"]
    x = with_nan()["a"]
    read = encoder.network_input(tf.constant(x)).numpy()
    np.testing.assert_array_equal(read, np.concatenate([np.where(THERE["a"], x, 0.0), THERE["a"]], axis=1))
    hidden = made(hidden_share=0.5).encoders["a"]
    many = np.tile(X["a"], (2000, 1))
    read = hidden.network_input(tf.constant(many), as_stream(3)).numpy()
    there = read[:, 5:]
    np.testing.assert_array_equal(read[:, :5], np.where(there > 0, many, 0.0))
    assert there.mean() == pytest.approx(0.75, abs=0.01)  # shares from 0 to .5, .25 on average
    # The share is a row's own: the variance of its mean is that of the share and of 5 draws by it.
    expected = 0.5**2 / 12 + (0.25 - 0.25**2 - 0.5**2 / 12) / 5
    assert there.mean(axis=1).var() == pytest.approx(expected, rel=0.05)


def test_hidden_cells_are_hidden_in_training_only():
    plain, hiding = made(), made(hidden_share=0.9)
    inputs = {k: tf.constant(v.astype(np.float32)) for k, v in with_nan().items()}
    for model, changes in ((plain, False), (hiding, True)):
        losses = [model.loss_terms(inputs, tf.constant([1, 2]), training=t).loss for t in (False, True)]
        assert np.any(np.abs(losses[0] - losses[1]) > 1e-3) == changes


def test_flags_of_cells_need_an_encoder_that_reads_them():
    model = mopoe.MultimodalVAE(
        {"a": mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(5), 2)},
        {"a": mopoe.Decoder(mopoe.networks.mlp_decoder(5, 2), mopoe.likelihoods.Normal())},
    )
    with pytest.raises(ValueError, match="`has_a` may mark cells only if .*cells=True"):
        model.embed({"a": X["a"], "has_a": THERE["a"]})
    with pytest.raises(ValueError, match="`a` must be finite .*single cells by GaussianEncoder.*cells=True"):
        model.embed({"a": with_nan()["a"]})


class Whole(mopoe.likelihoods.Likelihood):
    """A density of a whole row, not of its cells."""

    def call(self, loc):
        return tfp.distributions.MultivariateNormalDiag(loc)


def test_cells_of_a_likelihood_that_is_of_whole_rows():
    model = mopoe.MultimodalVAE(
        {"a": mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(10), 2, cells=True)},
        {"a": mopoe.Decoder(mopoe.networks.mlp_decoder(5, 2), Whole())},
    )
    with pytest.raises(ValueError, match="need a likelihood that is a tfd.Independent.*MultivariateNormalDiag"):
        model.log_likelihood({"a": with_nan()["a"][:4]})


@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_fit_with_missing_cells_learns_and_is_compiled_too(jit):
    z = RNG.normal(size=(256, 2))
    whole = {name: (z @ RNG.normal(size=(2, size))).astype(np.float32) for name, size in SHAPES.items()}
    data = {name: np.where(RNG.random(x.shape) < 0.3, np.nan, x) for name, x in whole.items()}
    model = made(hidden_share=0.1)
    model.compile(keras.optimizers.Lion(1e-2), jit_compile=jit)
    losses = model.fit(data, batch_size=64, epochs=2 if jit else 30, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    if not jit:
        filled = model.impute(data, seed=0)
        hidden = {name: np.isnan(x) for name, x in data.items()}
        errors = np.concatenate([(filled[name] - whole[name])[hidden[name]] for name in SHAPES])
        sizes = np.concatenate([whole[name][hidden[name]] for name in SHAPES])
        assert np.mean(errors**2) < 0.5 * np.mean(sizes**2)


def test_files_and_exports_read_nan_as_missing(tmp_path):
    model, inputs = made(), {k: v.astype(np.float32) for k, v in with_nan().items()}
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded.embed(inputs), model.embed(inputs), rtol=1e-6)
    path = export.saved_model(model, tmp_path / "served")
    encode = tf.saved_model.load(str(path)).signatures["encode"]
    flags = {f"has_{name}": tf.ones([10], tf.bool) for name in SHAPES}
    loc = encode(**{k: tf.constant(v) for k, v in inputs.items()}, **flags)["loc"]
    np.testing.assert_allclose(loc, model.embed(inputs), rtol=1e-4, atol=1e-5)


def test_a_joint_encoder_reads_what_the_encoders_read():
    networks = {name: mopoe.networks.mlp_encoder(2 * size, (8,)) for name, size in SHAPES.items()}
    model = made(joint_posterior=mopoe.JointEncoder(mopoe.networks.joint_encoder(networks, (8,)), 2))
    for inputs in (with_nan(), with_flags(1e30)):
        terms, gradients = terms_and_gradients(model, inputs)
        assert all(np.isfinite(x).all() for x in tf.nest.flatten((terms.loss, gradients)))
