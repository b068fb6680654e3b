"""The posterior predictive distribution: against closed forms, what imputation keeps and fills, and coverage."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe.refinement import refined
from tf_mopoe.streams import as_stream

SIZES = {"a": 4, "b": 3}
NOISE = 0.4


def linear(seed=0, private_dim=0):
    """A model with linear decoders: p(x* | X) is Gaussian, of known moments."""
    keras.utils.set_random_seed(seed)
    wide = keras.initializers.RandomNormal(stddev=0.7)
    return mopoe.MultimodalVAE(
        {
            name: mopoe.GaussianEncoder(
                mopoe.networks.mlp_encoder(2 * size, (8,)), 2, cells=True, hidden_share=0.0, private_dim=private_dim
            )
            for name, size in SIZES.items()
        },
        {
            name: mopoe.Decoder(
                keras.Sequential([keras.layers.Dense(size, kernel_initializer=wide, bias_initializer=wide)]),
                mopoe.likelihoods.Normal(NOISE),
            )
            for name, size in SIZES.items()
        },
        seed=seed,
    )


def some_rows(count=6, seed=0):
    rng = np.random.default_rng(seed)
    data = {name: rng.normal(size=(count, size)).astype(np.float32) for name, size in SIZES.items()}
    data["a"][0, 1] = data["a"][2, :2] = data["b"][3, 2] = np.nan
    data["has_b"] = np.array([True] * (count - 1) + [False])
    return data


def test_draws_have_the_moments_of_the_closed_form():
    model, data = linear(), some_rows()
    q = model.subset_posterior(data)
    draws = model.posterior_predictive(data, "b", num_samples=20000, seed=0).numpy()
    kernel, bias = (np.asarray(v) for v in model.decoders["b"].network.weights)
    for row in range(6):
        loc, scale = np.asarray(q.mean())[row], np.asarray(q.stddev())[row]
        covariance = kernel.T @ np.diag(scale**2) @ kernel + NOISE**2 * np.eye(3)
        error = 5 * np.sqrt(np.diag(covariance) / 20000)
        assert np.all(np.abs(draws[:, row].mean(0) - (loc @ kernel + bias)) < error)
        np.testing.assert_allclose(np.cov(draws[:, row].T), covariance, atol=0.05 * np.max(covariance))


def test_imputation_fills_what_is_missing_and_keeps_the_rest():
    model, data = linear(), some_rows()
    made = model.impute(data, num_samples=4000, seed=0)
    q = model.subset_posterior(data)
    assert set(made) == set(SIZES)
    for name in SIZES:
        there = ~np.isnan(data[name]) & np.reshape(data.get("has_" + name, np.ones(6, bool)), (-1, 1))
        np.testing.assert_array_equal(made[name][there], data[name][there])
        np.testing.assert_array_equal(made.std[name][there], 0.0)
        kernel, bias = (np.asarray(v) for v in model.decoders[name].network.weights)
        mean = np.asarray(q.mean()) @ kernel + bias
        std = np.sqrt(np.square(np.asarray(q.stddev())) @ np.square(kernel) + NOISE**2)
        assert np.all(np.abs(made[name] - mean)[~there] < 5 * std[~there] / np.sqrt(4000))
        np.testing.assert_allclose(made.std[name][~there], std[~there], rtol=0.1)
    alone = model.impute({"a": data["a"]}, seed=0)
    assert alone["b"].shape == (6, 3) and np.all(alone.std["b"] >= NOISE * 0.99)


def test_the_same_seed_gives_the_same_numbers_and_another_others():
    model, data = linear(private_dim=2), some_rows()
    first, same, other = (model.impute(data, seed=seed)["a"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other)
    draws = [model.posterior_predictive(data, num_samples=3, seed=seed)["b"].numpy() for seed in (1, 1, 2)]
    assert draws[0].shape == (3, 6, 3)
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.any(draws[0] != draws[2])


def test_draws_in_parts_and_batches_are_as_many(monkeypatch):
    from tf_mopoe import inference, predictive

    model, data = linear(), some_rows(40)
    monkeypatch.setattr(predictive, "NUMBERS", 64)
    monkeypatch.setattr(inference, "NUMBERS", 40)
    draws = model.posterior_predictive(data, num_samples=5, seed=0)
    assert draws["a"].shape == (5, 40, 4) and draws["b"].shape == (5, 40, 3)
    made = model.impute(data, num_samples=5, seed=0)
    assert np.isfinite(made["a"]).all() and made["a"].shape == (40, 4)


def test_frames_come_back_as_frames():
    pandas = pytest.importorskip("pandas", reason="the extra tables")
    data = some_rows()
    frame = pandas.DataFrame(data["a"], index=list("pqrstu"), columns=["w", "x", "y", "z"])
    made = linear().impute({"a": frame}, seed=0)
    assert isinstance(made["a"], pandas.DataFrame) and isinstance(made.std["a"], pandas.DataFrame)
    assert list(made["a"].index) == list("pqrstu") and list(made["a"].columns) == ["w", "x", "y", "z"]
    there = frame.notna()
    pandas.testing.assert_frame_equal(made["a"].where(there), frame, check_dtype=False)
    assert not made["a"].isna().any(axis=None)
    assert isinstance(made["b"], np.ndarray)


def test_refinement_raises_the_bound_of_every_row_and_nears_the_exact_posterior():
    """Of linear decoders the posterior is known: precision I + sum W W' / noise^2 over the observed cells."""
    model, data = linear(), some_rows()
    q = model.encode(model.check_rows(data))
    p = model.generative.given(q.batch)
    found = refined(q, p, 600, as_stream(0))
    for row in range(6):
        precision, score = np.eye(2), np.zeros(2)
        for name in SIZES:
            if not data.get("has_" + name, np.ones(6, bool))[row]:
                continue
            there = ~np.isnan(data[name][row])
            kernel, bias = (np.asarray(v) for v in model.decoders[name].network.weights)
            kernel, residual = kernel[:, there], (data[name][row] - bias)[there]
            precision += kernel @ kernel.T / NOISE**2
            score += kernel @ residual / NOISE**2
        exact = np.linalg.solve(precision, score)
        np.testing.assert_allclose(np.asarray(found.loc)[row, 0], exact, atol=0.25)
        start = np.asarray(q.subset().loc)[row, 0]
        assert np.linalg.norm(np.asarray(found.loc)[row, 0] - exact) < np.linalg.norm(start - exact) + 0.05
        # The best Gaussian with independent variables has the precision's diagonal (Bishop 2006, section 10.1.2).
        np.testing.assert_allclose(np.asarray(found.scale)[row, 0], 1 / np.sqrt(np.diag(precision)), rtol=0.25)


@pytest.mark.integration
def test_intervals_of_a_trained_model_cover_and_those_of_translate_do_not():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(600, 2))
    data = {
        n: (z @ rng.normal(size=(2, s)) + NOISE * rng.normal(size=(600, s))).astype("float32") for n, s in SIZES.items()
    }
    model = linear()
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(data, batch_size=100, epochs=60, verbose=0)
    draws = model.posterior_predictive({"a": data["a"]}, "b", num_samples=200, seed=0).numpy()
    means = np.stack([model.translate({"a": data["a"]}, "b", seed=seed).numpy() for seed in range(30)])

    def coverage(x):
        low, high = np.quantile(x, [0.05, 0.95], axis=0)
        return np.mean((low <= data["b"]) & (data["b"] <= high))

    assert 0.85 < coverage(draws) < 0.95 and coverage(means) < 0.8
    filled = model.impute({"a": data["a"]}, seed=0)["b"]
    rmse = [float(np.sqrt(np.mean(np.square(x - data["b"])))) for x in (filled, means[0])]
    assert rmse[0] < 0.95 * rmse[1]


@pytest.mark.parametrize("likelihood", ["Poisson", "Categorical", "Beta"])
def test_imputation_in_other_units(likelihood):
    rng = np.random.default_rng(0)
    x = {
        "Poisson": rng.poisson(3.0, (20, 3)),
        "Categorical": np.eye(3)[rng.integers(0, 3, 20)],
        "Beta": rng.uniform(0.1, 0.9, (20, 3)),
    }[likelihood].astype(np.float32)
    made = getattr(mopoe.likelihoods, likelihood)()
    normal = mopoe.likelihoods.Normal()
    model = mopoe.MultimodalVAE(
        {name: mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(3), 2) for name in "xy"},
        {
            "x": mopoe.Decoder(mopoe.networks.mlp_decoder(made.output_shape((3,)), 2), made),
            "y": mopoe.Decoder(mopoe.networks.mlp_decoder(3, 2), normal),
        },
    )
    model.adapt({"x": x})
    has = np.arange(20) % 2 == 0
    filled = model.impute({"x": x, "has_x": has, "y": x}, seed=0)
    np.testing.assert_array_equal(filled["x"][has], x[has])
    assert np.all(filled["x"][~has] >= 0.0) and np.all(filled.std["x"][~has] > 0.0)
    if likelihood == "Categorical":
        np.testing.assert_allclose(filled["x"].sum(1), 1.0, rtol=1e-5)
    draws = model.posterior_predictive({"y": x}, "x", num_samples=4, seed=0)
    assert draws.shape == (4, 20, 3)


def test_bad_arguments_are_named():
    model, data = linear(), some_rows()
    with pytest.raises(ValueError, match="`num_samples` must"):
        model.impute(data, num_samples=0)
    with pytest.raises(ValueError, match="`refine_steps` must"):
        model.impute(data, refine_steps=-1)
    with pytest.raises(ValueError, match="`to` must be one of"):
        model.posterior_predictive(data, to="c")
    with pytest.raises(ValueError, match="`inputs` must be a dict"):
        model.impute(tf.data.Dataset.from_tensors(data))
