"""Tokens: the density in parts against a plain softmax, its gradient, padding, draws, and models of pictures and text."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe.likelihoods import tokens

B, T, F, V = 5, 4, 3, 7
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(B, T, F)).astype(np.float32)
KERNEL = RNG.normal(size=(F, V)).astype(np.float32)
BIAS = RNG.normal(size=V).astype(np.float32)
IDS = RNG.integers(0, V, (B, T)).astype(np.int32)


@pytest.fixture(params=[1, 21, 60, 10**6])
def parts(request, monkeypatch):
    """Positions in a part: 1, 3, 8, all."""
    monkeypatch.setattr(tokens, "LOGITS", request.param)


def plain(features, kernel, bias):
    return tf.nn.log_softmax(features @ kernel + bias)


def value_and_gradients(function):
    values = [tf.constant(x) for x in (FEATURES, KERNEL, BIAS)]
    with tf.GradientTape() as tape:
        tape.watch(values)
        log_prob = function(*values)
        loss = tf.reduce_sum(log_prob * tf.range(1.0, B + 1.0))
    return log_prob, tape.gradient(loss, values)


@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("graph", [False, True])
def test_log_prob_and_gradient_are_those_of_a_softmax(parts, padding, graph):
    def wanted(*values):
        log_probs = tf.gather(plain(*values), IDS, batch_dims=2)
        return tf.reduce_sum(tf.where(padding == IDS, 0.0, log_probs), axis=1)

    def own(*values):
        return tokens.TokensDistribution(*values, padding).log_prob(IDS)

    found = value_and_gradients(tf.function(own) if graph else own)
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(value_and_gradients(wanted))):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_xla_compiles_value_and_gradient():
    def own(*values):
        return tokens.TokensDistribution(*values).log_prob(IDS)

    compiled = tf.function(lambda: value_and_gradients(own), jit_compile=True)()
    for one, other in zip(tf.nest.flatten(compiled), tf.nest.flatten(value_and_gradients(own))):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_draws_have_the_probabilities_and_the_mode_is_the_likeliest(parts):
    distribution = tokens.TokensDistribution(*map(tf.constant, (FEATURES, KERNEL, BIAS)))
    probabilities = tf.exp(plain(FEATURES, KERNEL, BIAS)).numpy()
    np.testing.assert_array_equal(distribution.mode(), probabilities.argmax(-1))
    draws = distribution.sample(4000, seed=(1, 2)).numpy()
    assert draws.shape == (4000, B, T) and draws.dtype == np.int32
    shares = np.mean(draws[..., None] == np.arange(V), axis=0)
    assert np.all(np.abs(shares - probabilities) < 5 * np.sqrt(probabilities * (1 - probabilities) / 4000) + 1e-9)


def made(padding=0, **kwargs):
    keras.utils.set_random_seed(0)
    text = keras.Sequential([keras.layers.Embedding(V, 4, mask_zero=True), keras.layers.GRU(6)])
    encode, decode = mopoe.networks.mlp_encoder, mopoe.networks.mlp_decoder
    return mopoe.MultimodalVAE(
        {"text": mopoe.GaussianEncoder(text, 2), "x": mopoe.GaussianEncoder(encode(3, (8,)), 2)},
        {
            "text": mopoe.Decoder(
                keras.Sequential([keras.layers.Dense(8, "relu")]),
                mopoe.likelihoods.Tokens(V, padding, 5),
                event_shape=T,
            ),
            "x": mopoe.Decoder(decode(3, 2, (8,)), mopoe.likelihoods.Normal(0.5)),
        },
        seed=0,
        **kwargs,
    )


def rows(count=200):
    classes = np.random.default_rng(1).integers(0, 3, count)
    texts = np.array([[1, 2, 3, 0], [4, 5, 0, 0], [6, 6, 1, 2]], np.int32)
    return {"text": texts[classes], "x": np.eye(3, dtype=np.float32)[classes] * 3.0}


@pytest.mark.integration
def test_a_model_of_text_learns_translates_and_comes_back(tmp_path):
    model, data = made(), rows()
    model.compile(keras.optimizers.Adam(1e-2))
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


def test_padding_adds_nothing_to_value_and_gradient():
    model, data = made(), {k: v[:6] for k, v in rows().items()}
    terms = model.loss_terms({k: tf.constant(v) for k, v in data.items()}, tf.constant([1, 2]))
    q = model.encode(data)
    distribution = model.generative.given(q.batch).decode("text", q.mean())
    logs = plain(*(tf.convert_to_tensor(v) for v in (distribution.features, distribution.kernel, distribution.bias)))
    wanted = np.where(data["text"] != 0, np.take_along_axis(logs.numpy(), data["text"][..., None], 2)[..., 0], 0).sum(1)
    np.testing.assert_allclose(distribution.log_prob(data["text"]), wanted, rtol=1e-5)
    assert np.isfinite(terms.loss).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"vocabulary_size": 1}, "`vocabulary_size` must"),
        ({"vocabulary_size": 5, "padding": 5}, "`padding` must be from 0 to 4, or None"),
        ({"vocabulary_size": 5, "num_features": 0}, "`num_features` must"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        mopoe.likelihoods.Tokens(**arguments)


def test_tokens_outside_the_vocabulary_and_missing_cells_are_errors():
    model, data = made(), rows(8)
    with pytest.raises(ValueError, match="`text` must hold integers from 0 to 6"):
        model.compile("adam")
        model.fit(data | {"text": data["text"] + 4}, verbose=0)
    with pytest.raises(ValueError, match=r"encoders\['text'\] cannot have cells=True"):
        mopoe.MultimodalVAE(
            {"text": mopoe.GaussianEncoder(keras.layers.Embedding(V, 4), 2, cells=True)},
            {"text": mopoe.Decoder(keras.layers.Dense(8), mopoe.likelihoods.Tokens(V), event_shape=T)},
        )
