"""A row without a modality never reaches its networks: batch statistics, gradients, optimizer and metrics are untouched."""

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe

SEED = tf.constant([3, 4])
NAMES = ("word", "sensor")


def normalized(jit_compile=False):
    """A model with batch normalisation in encoders and decoders."""
    keras.utils.set_random_seed(0)
    encoders, decoders = {}, {}
    for name in NAMES:
        shape = small.SHAPES[name]
        encoder = keras.Sequential(
            [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(8), keras.layers.BatchNormalization()]
        )
        decoder = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(8),
                keras.layers.BatchNormalization(),
                keras.layers.Dense(int(np.prod(shape))),
                keras.layers.Reshape(shape),
            ]
        )
        encoders[name] = mopoe.GaussianEncoder(encoder, 4)
        decoders[name] = mopoe.Decoder(decoder, mopoe.likelihoods.Normal())
    model = mopoe.MultimodalVAE(encoders, decoders, seed=0)
    model.compile(keras.optimizers.SGD(1e-2, momentum=0.9), jit_compile=jit_compile)
    return model


def statistics(model, name):
    return [v.numpy() for part in (model.encoders, model.decoders) for v in part[name].non_trainable_variables]


def with_half(inputs, name="sensor", fill=np.nan):
    has = np.arange(len(inputs[name])) % 2 == 0
    x = inputs[name].copy()
    x[~has] = fill
    return inputs | {name: x, f"has_{name}": has}, has


def test_encoders_in_training_see_the_rows_that_are_there_alone():
    inputs, has = with_half(small.rows(20, NAMES))
    model = normalized()
    part = model.encode({"sensor": inputs["sensor"][has]}, training=True).expert("sensor")
    model = normalized()
    whole = model.encode(inputs, training=True).expert("sensor")
    np.testing.assert_allclose(whole.loc.numpy()[has], part.loc, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(whole.loc.numpy()[~has], 0.0)
    np.testing.assert_array_equal(whole.scale.numpy()[~has], 1.0)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_modality_that_all_rows_lack_changes_nothing_of_its_networks(jit_compile):
    model, inputs = normalized(jit_compile), small.rows(16, NAMES)
    before = statistics(model, "sensor"), [v.numpy() for v in model.encoders["sensor"].trainable_variables]
    flagged = inputs | {"sensor": np.full_like(inputs["sensor"], np.nan), "has_sensor": np.zeros(16, bool)}
    model.fit(flagged, batch_size=8, epochs=2, verbose=0)
    for old, new in zip(before[0], statistics(model, "sensor")):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(before[1], model.encoders["sensor"].trainable_variables):
        np.testing.assert_array_equal(old, new)
    assert any(np.any(old != 0.0) for old in statistics(model, "word"))
    moments = [v for v in model.optimizer.variables if "sensor" in v.path]
    assert moments and all(np.all(v.numpy() == 0.0) for v in moments)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_flagged_rows_hold_changes_no_weight_and_no_statistic(jit_compile):
    """After two epochs with a sensor of NaN, and of 1e30, in the rows that are flagged missing."""
    model, results = normalized(jit_compile), []
    model.optimizer.build(model.trainable_variables)
    state = [*model.variables, *model.optimizer.variables, model.step]
    start = [v.numpy() for v in state]
    for fill in (np.nan, 1e30):
        for variable, value in zip(state, start):
            variable.assign(value)
        inputs, _ = with_half(small.rows(16, NAMES), fill=fill)
        model.fit(inputs, batch_size=8, epochs=2, verbose=0, shuffle=False)
        results.append([v.numpy() for v in model.variables])
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)


def test_batch_statistics_are_those_of_the_rows_that_are_there():
    model = normalized()
    inputs, has = with_half(small.rows(16, NAMES))
    layer = model.encoders["sensor"].network.layers[-1]
    features = keras.Model(model.encoders["sensor"].network.inputs, layer.input)([inputs["sensor"][has]])
    model.train_step({name: tf.constant(x) for name, x in inputs.items()})
    momentum = layer.momentum
    np.testing.assert_allclose(layer.moving_mean, (1 - momentum) * np.mean(features, axis=0), rtol=1e-4, atol=1e-6)
    expected = momentum + (1 - momentum) * np.var(features, axis=0)
    np.testing.assert_allclose(layer.moving_variance, expected, rtol=1e-4)


def test_metrics_are_means_over_the_rows_that_have_the_modality(monkeypatch):
    model, inputs = normalized(), small.rows(16, NAMES)
    inputs, has = with_half(inputs)
    model.compile("sgd", run_eagerly=True)
    calls, original = [], model.terms_and_posterior
    monkeypatch.setattr(
        model, "terms_and_posterior", lambda *args, **kwargs: calls.append(original(*args, **kwargs)) or calls[-1]
    )
    result = model.evaluate(inputs, batch_size=16, verbose=0, return_dict=True)
    ((terms, _),) = calls
    expected = np.mean(terms.reconstruction["sensor"].numpy()[has])
    np.testing.assert_allclose(result["reconstruction_sensor"], expected, rtol=1e-5)
    np.testing.assert_allclose(result["reconstruction_word"], np.mean(terms.reconstruction["word"]), rtol=1e-5)
    np.testing.assert_allclose(result["loss"], np.mean(terms.loss), rtol=1e-5)


def test_a_likelihood_without_a_finite_density_at_zero_meets_no_missing_row():
    import tensorflow_probability as tfp

    @keras.saving.register_keras_serializable(package="test_missing_rows")
    class Cauchy(mopoe.likelihoods.Likelihood):
        """Its mean is not defined."""

        def call(self, loc):
            return tfp.distributions.Independent(tfp.distributions.Cauchy(loc, 1.0), 1)

    networks = mopoe.networks
    model = mopoe.MultimodalVAE(
        {n: mopoe.GaussianEncoder(networks.mlp_encoder(3, (4,)), 2) for n in "ab"},
        {n: mopoe.Decoder(networks.mlp_decoder(3, 2, (4,)), Cauchy()) for n in "ab"},
        seed=0,
    )
    model.compile("adam")
    x = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    inputs, _ = with_half({"a": x, "b": x}, "b")
    assert np.isfinite(model.fit(inputs, verbose=0).history["loss"]).all()
    assert all(np.isfinite(v).all() for v in model.trainable_variables)


def test_losses_of_networks_count_once_per_call():
    regularizer = keras.regularizers.L2(0.1)

    def networks():
        keras.utils.set_random_seed(0)
        encoder = keras.Sequential([keras.Input((7,)), keras.layers.Dense(4, activity_regularizer=regularizer)])
        dense = keras.layers.Dense(7, kernel_regularizer=regularizer, activity_regularizer=regularizer)
        return encoder, keras.Sequential([keras.Input((3,)), dense])

    inputs, _ = with_half({name: small.rows(8)["sensor"] for name in ("a", "b")}, "b")
    for objective, joint, calls in (
        (mopoe.objectives.ELBO(), "mopoe", {"a": 1, "b": 1}),
        (mopoe.objectives.MVAE(), "mvae", {"a": 2, "b": 2}),
        (mopoe.objectives.TELBO(), "joint", {"a": 2, "b": 2}),  # once with the decoders held still
    ):
        if joint == "joint":
            mlps = {name: mopoe.networks.mlp_encoder(7, (4,)) for name in ("a", "b")}
            joint = mopoe.JointEncoder(mopoe.networks.joint_encoder(mlps, (4,)), 3)
        parts = {name: networks() for name in ("a", "b")}
        model = mopoe.MultimodalVAE(
            {n: mopoe.GaussianEncoder(encoder, 3) for n, (encoder, _) in parts.items()},
            {n: mopoe.Decoder(decoder, mopoe.likelihoods.Normal()) for n, (_, decoder) in parts.items()},
            joint,
            objective,
            seed=0,
        )
        got = {name: [] for name in parts}
        for name, (_, decoder) in parts.items():

            def call(z, *args, outputs=got[name], original=decoder.call, **kwargs):
                outputs.append(original(z, *args, **kwargs))
                return outputs[-1]

            decoder.call = call
        loss = model.loss_terms(inputs, SEED).loss
        for _, decoder in parts.values():
            del decoder.call
        assert {name: len(outputs) for name, outputs in got.items()} == calls
        # Keras divides what a regulariser of activities says by the number of the rows of the call.
        expected = sum(float(regularizer(out)) / len(out) for outputs in got.values() for out in outputs)
        for name, (encoder, decoder) in parts.items():
            expected += float(regularizer(decoder.layers[-1].kernel))
            rows = inputs.get(f"has_{name}", np.ones(8, bool))
            expected += float(regularizer(encoder(inputs[name][rows]))) / np.sum(rows)
        for _, (encoder, decoder) in parts.items():
            encoder.layers[-1].activity_regularizer = decoder.layers[-1].activity_regularizer = None
            decoder.layers[-1].kernel_regularizer = None
            decoder.layers[-1].kernel.regularizer = None
        bare = model.loss_terms(inputs, SEED).loss
        np.testing.assert_allclose(loss - bare, np.full(8, expected), rtol=1e-3)
