"""The data's own units: what normalizations and likelihoods take from data, and that a change of units changes nothing."""

import warnings

import keras
import numpy as np
import on_device
import pytest
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import export
from tf_mopoe.units import Moments, Units, units_shape

SIZES = {"a": 4, "b": 3}
# Pascals, metres, Kelvins, a constant column, ...
FACTOR = {"a": np.array([1e5, 1.0, 1e-3, 3.0]), "b": np.array([40.0, 1e3, 2.0])}
OFFSET = {"a": np.array([1e6, 0.0, 1e-2, 280.0]), "b": np.array([0.0, -5e3, 1.0])}


def rows(count=200, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, 2))
    x = {name: z @ rng.normal(size=(2, size)) + 0.3 * rng.normal(size=(count, size)) for name, size in SIZES.items()}
    return {name: (value * FACTOR[name] + OFFSET[name]).astype(np.float32) for name, value in x.items()}


def made(scale="learned_per_variable", normalization="standard", standardize=True, cells=False, **kwargs):
    keras.utils.set_random_seed(0)
    encode, decode = mopoe.networks.mlp_encoder, mopoe.networks.mlp_decoder
    return mopoe.MultimodalVAE(
        {
            name: mopoe.GaussianEncoder(
                encode(size * (1 + cells), (8,)), 2, normalization=normalization, cells=cells, hidden_share=0.0
            )
            for name, size in SIZES.items()
        },
        {
            name: mopoe.Decoder(
                decode(size * (1 + (scale == "predicted")), 2, (8,)),
                mopoe.likelihoods.Normal(scale, standardize=standardize),
            )
            for name, size in SIZES.items()
        },
        seed=0,
        **kwargs,
    )


@pytest.mark.parametrize("shape", [(3,), (2, 3, 2), ()])
def test_moments_of_parts_are_those_of_the_whole(shape):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(101, *(shape or (4,)))) * 3 + 1e4
    observed = rng.random(x.shape) < 0.8
    moments = Moments()
    for start in range(0, 101, 17):
        moments.add(x[start : start + 17], observed[start : start + 17])
    wanted = units_shape(shape) if shape else ()
    mean, spread = moments.mean_and_spread(wanted)
    hidden = np.where(observed, x, np.nan)
    axes = {1: 0, 3: (0, 1, 2), 0: None}[len(shape)]
    assert mean.shape == spread.shape == wanted
    np.testing.assert_allclose(mean.ravel(), np.nanmean(hidden, axes).ravel(), rtol=1e-6)
    np.testing.assert_allclose(spread.ravel(), np.nanstd(hidden, axes).ravel(), rtol=1e-5)


def test_units_map_there_and_back_and_leave_a_constant_variable_alone():
    units = Units()
    units.build((2,))
    moments = Moments()
    moments.add(np.array([[1.0, 7.0], [3.0, 7.0]]))
    assert not units.adapted
    units.adapt(moments)
    assert units.adapted
    np.testing.assert_allclose(units.spread, [1.0, 1.0])  # of {1, 3}; and of the constant
    np.testing.assert_allclose(units(tf.constant([[3.0, 7.0]])), [[1.0, 0.0]])
    np.testing.assert_allclose(units.back(units(tf.constant([[5.0, 8.0]]))), [[5.0, 8.0]])


@pytest.mark.parametrize("scale", ["learned_per_variable", "predicted", "learned", 0.5])
def test_a_change_of_units_adds_its_constant_to_the_loss_and_changes_nothing_else(scale):
    raw = rows()
    own = {name: ((x - x.mean(0)) / x.std(0)).astype(np.float32) for name, x in raw.items()}
    terms = []
    for data in (own, raw):
        model = made(scale)
        model.adapt(data)
        inputs = {name: tf.constant(x) for name, x in data.items()}
        with tf.GradientTape() as tape:
            term = model.loss_terms(inputs, tf.constant([1, 2]))
            loss = tf.reduce_mean(term.loss)
        terms.append((term, tape.gradient(loss, [v.value for v in model.trainable_variables])))
    constant = sum(np.log(x.std(0)).sum() for x in raw.values())
    np.testing.assert_allclose(terms[1][0].loss, terms[0][0].loss + constant, rtol=1e-3, atol=1e-2)
    for raw_gradient, gradient in zip(terms[1][1], terms[0][1]):
        np.testing.assert_allclose(raw_gradient, gradient, rtol=1e-2, atol=1e-3)


def test_adapt_counts_the_rows_and_cells_that_are_there():
    data = rows()
    hidden = np.random.default_rng(2).random(data["a"].shape) < 0.3
    has_b = np.random.default_rng(3).random(200) < 0.5
    inputs = {"a": np.where(hidden, np.nan, data["a"]), "b": np.where(has_b[:, None], data["b"], 1e9), "has_b": has_b}
    model = made(cells=True)
    model.adapt(inputs)
    for units in (model.encoders["a"].units, model.decoders["a"].likelihood.units):
        np.testing.assert_allclose(units.center, np.nanmean(inputs["a"], 0), rtol=1e-5)
        np.testing.assert_allclose(units.spread, np.nanstd(inputs["a"].astype(float), 0), rtol=1e-4)
    np.testing.assert_allclose(model.encoders["b"].units.spread, data["b"][has_b].std(0), rtol=1e-4)
    batches = tf.data.Dataset.from_tensor_slices(inputs).batch(33)
    other = made(cells=True)
    other.adapt(batches)
    np.testing.assert_allclose(other.encoders["a"].units.spread, model.encoders["a"].units.spread, rtol=1e-6)


@pytest.mark.parametrize("normalization", ["log1p", "log1p_share"])
def test_counts_are_read_as_their_logarithm(normalization):
    x = np.random.default_rng(0).poisson(30.0, size=(50, 4)).astype(np.float32)
    shared = mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(4), 2, normalization=normalization)
    model = mopoe.MultimodalVAE(
        {"x": shared}, {"x": mopoe.Decoder(mopoe.networks.mlp_decoder(4, 2), mopoe.likelihoods.Poisson())}
    )
    model.adapt({"x": x})
    logs = np.log1p(x if normalization == "log1p" else 1e4 * x / x.sum(1, keepdims=True))
    wanted = (logs - logs.mean(0)) / logs.std(0)
    np.testing.assert_allclose(shared.network_input(tf.constant(x)), wanted, atol=2e-3)


@pytest.mark.usefixtures("eagerly")
def test_fit_takes_the_units_once_and_files_keep_them(tmp_path):
    data = rows()
    model = made()
    assert not model.adapted
    model.compile("lion")
    model.fit(data, epochs=1, verbose=0)
    center = np.asarray(model.encoders["a"].units.center)
    np.testing.assert_allclose(center, data["a"].mean(0), rtol=1e-4)
    model.fit({name: x + 100.0 for name, x in data.items()}, epochs=1, verbose=0)
    np.testing.assert_array_equal(model.encoders["a"].units.center, center)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.adapted
    np.testing.assert_allclose(loaded.embed(data), model.embed(data), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loaded.translate(data, "b", seed=1), model.translate(data, "b", seed=1), rtol=1e-5)


@pytest.mark.integration
def test_exports_keep_the_units(tmp_path):
    data = rows(9)
    model = made()
    model.adapt(rows())
    export.tflite_encoders(model, tmp_path / "edge")
    found = on_device.encode(tmp_path / "edge", data)
    served = tf.saved_model.load(str(export.saved_model(model, tmp_path / "served"))).signatures["encode"]
    flags = {f"has_{name}": tf.ones([9], tf.bool) for name in data}
    loc = served(**{name: tf.constant(x) for name, x in data.items()}, **flags)["loc"]
    np.testing.assert_allclose(loc, model.embed(data), rtol=1e-4, atol=1e-4)
    for name, x in data.items():
        expert = model.encoders[name](x)
        np.testing.assert_allclose(found[name][0], expert.mean(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[name][1], expert.stddev(), rtol=1e-4, atol=1e-4)


def test_raw_units_train_in_three_of_three_seeds():
    """Breast cancer's columns, from thousandths to thousands."""
    sklearn = pytest.importorskip("sklearn.datasets", reason="scikit-learn has the data")
    x = sklearn.load_breast_cancer().data.astype(np.float32)
    data = {"mean": x[:, :10], "error": x[:, 10:20], "worst": x[:, 20:]}
    encode, decode = mopoe.networks.mlp_encoder, mopoe.networks.mlp_decoder
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        normal = lambda: mopoe.likelihoods.Normal("learned_per_variable", standardize=True)  # noqa: E731
        model = mopoe.MultimodalVAE(
            {name: mopoe.GaussianEncoder(encode(10, (16,)), 4, normalization="standard") for name in data},
            {name: mopoe.Decoder(decode(10, 4, (16,)), normal()) for name in data},
            seed=seed,
        )
        model.compile(keras.optimizers.Lion(5e-3))
        losses = model.fit(data, batch_size=64, epochs=8, verbose=0).history["loss"]
        assert np.isfinite(losses).all() and losses[-1] < losses[0] - 5.0


def test_an_own_loop_is_told_to_adapt():
    model = made()
    model.compile("lion")
    data = {name: tf.constant(x) for name, x in rows(8).items()}
    with pytest.raises(ValueError, match=r"model.adapt\(data\) before the training"):
        model.train_step(data)
    with pytest.raises(ValueError, match="`x` must be data that can be read more than once"):
        model.fit(iter([data]))
    model.adapt(data)
    assert np.isfinite(model.train_step(data)["loss"])


def test_units_of_nothing_are_an_error():
    model = made()
    with pytest.raises(ValueError, match="`b` must have values to take its units from"):
        model.adapt({"a": rows()["a"]})


def test_units_of_a_model_in_a_strategy():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = made()
        model.compile("lion")
    losses = model.fit(rows(64), epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and model.adapted


def test_one_warning_for_scales_that_are_orders_apart():
    data = rows(64)
    data["a"], data["b"] = data["a"] * 0 + 5e3, np.random.default_rng(0).normal(size=(64, 3)) * 1e-3
    model = made(0.5, normalization=None, standardize=False)
    model.compile("lion", run_eagerly=True)
    with pytest.warns(UserWarning, match='normalization="standard".*`b` has a standard dev.*standardize=True') as found:
        model.fit(data, epochs=1, verbose=0)
    assert len(found) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for model, given in ((made(), data), (made(0.5, None, False), {"a": data["b"][:, [0, 1, 2, 0]] * 1e3})):
            model.compile("lion", run_eagerly=True)
            given = given | {"b": data["b"] * 1e3}
            model.fit(given, epochs=1, verbose=0)
