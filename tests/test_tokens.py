"""Tokens: the densities of a softmax over a large vocabulary, computed in parts that are never all in memory."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import Decoder, likelihoods
from tf_mopoe.likelihoods import vocabulary

T, F, V = 5, 3, 7
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(4, T, F)).astype(np.float32)
X = RNG.integers(V, size=(4, T)).astype(np.int32)


def built(padding=None, scale=1.0):
    likelihood = likelihoods.Tokens(V, padding)
    likelihood.build((None, T, F))
    likelihood.kernel.assign(scale * RNG.normal(size=(F, V)))
    likelihood.bias.assign(scale * RNG.normal(size=V))
    return likelihood


def reference(likelihood, features, x):
    """Log-probabilities of each position and the softmax, in float64."""
    logits = features.astype(np.float64) @ np.asarray(likelihood.kernel, np.float64) + np.asarray(likelihood.bias)
    log_probs = logits - scipy.special.logsumexp(logits, axis=-1, keepdims=True)
    return np.take_along_axis(log_probs, x[..., None], axis=-1)[..., 0], np.exp(log_probs)


@pytest.mark.parametrize("logits", [1, 3 * V, 8 * V, 2**24])  # parts of 1, 3, 8 and all positions
@pytest.mark.parametrize("how", ["eager", "graph", "compiled"])
def test_values_and_gradients_are_those_of_the_whole_softmax(logits, how, monkeypatch):
    monkeypatch.setattr(vocabulary, "LOGITS", logits)
    likelihood = built()
    weights = RNG.normal(size=4).astype(np.float32)

    def run(features, x):
        with tf.GradientTape() as tape:
            tape.watch(features)
            distribution = likelihood(features)
            values = distribution.log_prob(x)
            total = tf.reduce_sum(weights * values)
        sources = [features, *(v.value for v in likelihood.trainable_variables)]
        return values, tape.gradient(total, sources)

    if how != "eager":
        signature = [
            tf.TensorSpec((None if how == "graph" else 4, *shape), t)
            for shape, t in (((T, F), "float32"), ((T,), "int32"))
        ]
        run = tf.function(run, input_signature=signature, jit_compile=how == "compiled")
    values, (of_features, of_kernel, of_bias) = run(tf.constant(FEATURES), tf.constant(X))
    log_probs, probs = reference(likelihood, FEATURES, X)
    np.testing.assert_allclose(values, log_probs.sum(axis=1), rtol=1e-5)
    of_logits = weights[:, None, None] * (np.eye(V)[X] - probs)
    np.testing.assert_allclose(of_features, of_logits @ np.asarray(likelihood.kernel).T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of_kernel, np.einsum("btf,btv->fv", FEATURES, of_logits), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of_bias, of_logits.sum(axis=(0, 1)), rtol=1e-4, atol=1e-5)


def test_all_sequences_have_probability_1():
    likelihood = likelihoods.Tokens(3)
    distribution = likelihood(FEATURES[:1, :4])
    every = np.stack(np.meshgrid(*[np.arange(3)] * 4, indexing="ij"), axis=-1).reshape(81, 1, 4).astype(np.int32)
    np.testing.assert_allclose(np.exp(distribution.log_prob(every)).sum(), 1.0, rtol=1e-5)


def test_padding_and_masked_positions_do_not_count():
    likelihood = built(padding=2)
    x = np.where(RNG.random(X.shape) < 0.4, 2, X).astype(np.int32)
    observed = RNG.random(X.shape) < 0.6
    features = tf.constant(FEATURES)
    with tf.GradientTape() as tape:
        tape.watch(features)
        distribution = likelihood(features)
        values = likelihood.log_prob(distribution, x, observed)
    gradient = tape.gradient(values, features).numpy()
    log_probs, _ = reference(likelihood, FEATURES, x)
    counts = observed & (x != 2)
    np.testing.assert_allclose(values, np.where(counts, log_probs, 0.0).sum(axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(gradient[~counts], 0.0)
    assert np.all(np.any(gradient[counts] != 0.0, axis=-1))
    np.testing.assert_allclose(
        likelihood.log_prob(distribution, x), np.where(x != 2, log_probs, 0.0).sum(axis=1), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("logits", [3 * V, 2**24])
def test_draws_and_modes(logits, monkeypatch):
    monkeypatch.setattr(vocabulary, "LOGITS", logits)
    likelihood = built()
    distribution = likelihood(FEATURES)
    _, probs = reference(likelihood, FEATURES, X)
    modes = likelihood.mean(distribution)
    assert modes.dtype == tf.int32 and modes.shape == (4, T)
    np.testing.assert_array_equal(modes, probs.argmax(axis=-1))
    draws = distribution.sample(4000, seed=(1, 2)).numpy()
    assert draws.shape == (4000, 4, T) and draws.dtype == np.int32
    shares = np.stack([(draws == token).mean(axis=0) for token in range(V)], axis=-1)
    statistic = (4000 * np.square(shares - probs) / probs).sum()  # chi-square of 4 * T * (V - 1) degrees of freedom
    assert statistic < scipy.stats.chi2.ppf(1 - 1e-6, 4 * T * (V - 1))
    np.testing.assert_array_equal(draws, distribution.sample(4000, seed=(1, 2)))
    assert distribution.sample(seed=(1, 2)).shape == (4, T)


def test_extreme_features_give_finite_values_and_gradients():
    likelihood = built()
    features = tf.constant(np.where(RNG.random(FEATURES.shape) < 0.5, 1e4, -1e4).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(features)
        values = likelihood(features).log_prob(X)
    gradients = tape.gradient(values, [features, *(v.value for v in likelihood.trainable_variables)])
    assert all(np.isfinite(value).all() for value in (values, *gradients))


def test_the_logits_of_a_batch_are_never_all_there(monkeypatch):
    """The products of a step on 32 x 8 positions have 2**12 numbers at most, not 256 * 512."""
    monkeypatch.setattr(vocabulary, "LOGITS", 2**12)
    sizes, matmul = [], tf.matmul

    def noted(*args, **kwargs):
        sizes.append(int(tf.size(matmul(*args, **kwargs))))
        return matmul(*args, **kwargs)

    monkeypatch.setattr(vocabulary.tf, "matmul", noted)
    likelihood = likelihoods.Tokens(512)
    features = tf.constant(RNG.normal(size=(32, 8, 4)).astype(np.float32))
    with tf.GradientTape() as tape:
        distribution = likelihood(features)
        loss = tf.reduce_sum(distribution.log_prob(np.zeros((32, 8), np.int32)))
    tape.gradient(loss, likelihood.kernel.value)
    distribution.mode(), distribution.sample(seed=(0, 1))
    assert max(sizes) == 2**12 and sizes.count(2**12) == 4 * 32  # values, gradients, modes, draws: 32 parts each


def test_shapes_dimension_and_errors():
    likelihood = likelihoods.Tokens(V)
    assert likelihood.event_shape((T, F)) == (T,) and likelihood.dimension((T,)) == T
    assert likelihood.output_shape((T,)) == (T, 64) and likelihoods.Tokens(V, num_features=3).output_shape((T,)) == (
        T,
        3,
    )
    for arguments in ((1,), (0,), (2.5,), ("7",), (V, V), (V, -1), (V, 0.5), (V, None, 0)):
        with pytest.raises(ValueError, match="`(vocabulary_size|padding|num_features)` must be"):
            likelihoods.Tokens(*arguments)
    likelihood.check("text", X)
    for bad in (X - 1, X + V, X + 0.5):
        with pytest.raises(ValueError, match="`text` must hold integers from 0 to 6 .*Received: "):
            likelihood.check("text", bad)
    with pytest.raises(ValueError, match=r"must give features of each position, \[rows, T, F\].*Received: .*\(12,\)"):
        Decoder(keras.Sequential([keras.Input((2,)), keras.layers.Dense(12)]), likelihood).build((None, 2))


def made(padding=0, **kwargs):
    keras.utils.set_random_seed(0)
    text = keras.Sequential([keras.layers.Embedding(V, 4, mask_zero=True), keras.layers.GRU(6)])
    encode, decode = mopoe.networks.mlp_encoder, mopoe.networks.mlp_decoder
    return mopoe.MultimodalVAE(
        {"text": mopoe.GaussianEncoder(text, 2), "x": mopoe.GaussianEncoder(encode(3, (8,)), 2)},
        {
            "text": Decoder(
                keras.Sequential([keras.layers.Dense(8, "relu")]),
                likelihoods.Tokens(V, padding, 5),
                event_shape=T,
            ),
            "x": Decoder(decode(3, 2, (8,)), likelihoods.Normal(0.5)),
        },
        seed=0,
        **kwargs,
    )


def rows(count=200):
    classes = np.random.default_rng(1).integers(0, 3, count)
    texts = np.array([[1, 2, 3, 0, 0], [4, 5, 0, 0, 0], [6, 6, 1, 2, 3]], np.int32)
    return {"text": texts[classes], "x": np.eye(3, dtype=np.float32)[classes] * 3.0}


@pytest.mark.integration
def test_a_model_of_text_learns_translates_and_comes_back(tmp_path):
    model, data = made(), rows()
    model.compile(keras.optimizers.Lion(1e-2))
    losses = model.fit(data, batch_size=50, epochs=40, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    read = model.translate({"x": data["x"]}, "text", seed=0).numpy()
    there = data["text"] != 0
    assert read.dtype == np.int32 and np.mean((read == data["text"])[there]) > 0.9
    has = np.arange(200) % 2 == 0
    inputs = {"text": data["text"], "has_text": has, "x": data["x"]}
    filled = model.impute(inputs, seed=0)
    np.testing.assert_array_equal(filled["text"][has], data["text"][has])
    assert np.isnan(filled.std["text"][~has]).all() and np.all(filled.std["text"][has] == 0.0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(
        loaded.log_likelihood(inputs, 4, seed=1), model.log_likelihood(inputs, 4, seed=1), rtol=1e-4
    )


def test_tokens_outside_the_vocabulary_and_missing_cells_are_errors():
    model, data = made(), rows(8)
    with pytest.raises(ValueError, match="`text` must hold integers from 0 to 6"):
        model.compile("lion")
        model.fit(data | {"text": data["text"] + 4}, verbose=0)
    with pytest.raises(ValueError, match=r"encoders\['text'\] cannot have cells=True"):
        mopoe.MultimodalVAE(
            {"text": mopoe.GaussianEncoder(keras.layers.Embedding(V, 4), 2, cells=True)},
            {"text": Decoder(keras.layers.Dense(8), likelihoods.Tokens(V), event_shape=T)},
        )


@pytest.mark.slow
@pytest.mark.integration
def test_an_embedding_trains_compiled_too():
    """Its gradient, of some rows only, keeps a shape that XLA knows."""
    model = made()
    model.compile(keras.optimizers.Lion(1e-2), jit_compile=True)
    losses = model.fit(rows(64), batch_size=32, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
