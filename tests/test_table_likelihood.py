"""A table of mixed columns: the way from a DataFrame and back, its density by the parts, and a model that fills it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mopoe as mopoe

pandas = pytest.importorskip("pandas", reason="the extra tables")
Table = mopoe.likelihoods.Table
COUNT = 60


def frame(count=COUNT):
    rng = np.random.default_rng(0)
    made = pandas.DataFrame(
        {
            "age": rng.normal(50, 10, count),
            "stage": pandas.Categorical(rng.choice(["I", "II", "III"], count), categories=["I", "II", "III"]),
            "visits": rng.poisson(4, count),
            "sick": rng.random(count) < 0.4,
            "dose": rng.uniform(0.1, 0.9, count),
            "bmi": rng.normal(25, 3, count),
            "sex": rng.choice(["m", "f"], count),
        },
        index=[f"P{number}" for number in range(count)],
    )
    made["stage"] = made["stage"].mask(rng.random(count) < 0.2)
    made["age"] = made["age"].mask(rng.random(count) < 0.2)
    made["sick"] = made["sick"].astype("boolean").mask(rng.random(count) < 0.2)
    return made


def table():
    return Table.of(frame(), counts=["visits"], shares=["dose"])


def test_kinds_are_found():
    assert table().columns == {
        "age": "number",
        "stage": ["I", "II", "III"],
        "visits": "count",
        "sick": "flag",
        "dose": "share",
        "bmi": "number",
        "sex": ["f", "m"],
    }


def test_encode_and_decode_are_inverse():
    given, likelihood = frame(), table()
    numbers = likelihood.encode(given)
    assert list(numbers.columns) == ["age", "stage=I", "stage=II", "stage=III", "visits", "sick", "dose", "bmi"] + [
        "sex=f",
        "sex=m",
    ]
    assert all(dtype == np.float32 for dtype in numbers.dtypes) and list(numbers.index) == list(given.index)
    assert numbers[["stage=I", "stage=II", "stage=III"]].isna().all(axis=1).equals(given["stage"].isna())
    back = likelihood.decode(numbers)
    pandas.testing.assert_frame_equal(back, given.assign(sex=back["sex"]), check_dtype=False, rtol=1e-6)
    assert (back["sex"].astype(object) == given["sex"]).all()
    pandas.testing.assert_frame_equal(likelihood.decode(numbers.to_numpy(), given.index), back)


def test_density_is_the_sum_of_the_parts():
    likelihood = table()
    x = likelihood.encode(frame()).to_numpy()
    likelihood.build((None, *likelihood.output_shape((10,))))
    output = tf.random.stateless_normal([COUNT, *likelihood.output_shape((10,))], (1, 2))
    observed = ~np.isnan(x)
    likelihood.check("x", x, observed)
    distribution = likelihood(output)
    found = likelihood.log_prob(distribution, tf.constant(x), tf.constant(observed))
    parts = np.split(output.numpy(), np.cumsum(list(likelihood.output_sizes.values()))[:-1], axis=1)
    wanted = 0.0
    own = {
        "number": mopoe.likelihoods.Normal(),
        "count": mopoe.likelihoods.NegativeBinomial(),
        "share": mopoe.likelihoods.Beta(),
        "flag": mopoe.likelihoods.Bernoulli(),
    }
    for (key, places), part in zip(likelihood.places.items(), parts):
        single = own.get(key, mopoe.likelihoods.Categorical())
        single.build((None, part.shape[1]))
        wanted += single.log_prob(single(part), tf.constant(x[:, places]), tf.constant(observed[:, places]))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    whole = observed.all(axis=1)
    np.testing.assert_allclose(distribution.log_prob(np.where(observed, x, 0.5))[whole], found[whole], rtol=1e-5)
    with tf.GradientTape() as tape:
        tape.watch(output)
        loss = likelihood.log_prob(likelihood(output), tf.constant(x), tf.constant(observed))
    assert np.isfinite(tape.gradient(loss, output)).all()


def test_draws_are_of_the_support_and_means_are_near_theirs():
    likelihood = table()
    likelihood.build((None, *likelihood.output_shape((10,))))
    output = tf.random.stateless_normal([3, *likelihood.output_shape((10,))], (1, 2))
    distribution = likelihood(output)
    draws = distribution.sample(4000, seed=(3, 4)).numpy()
    assert draws.shape == (4000, 3, 10)
    likelihood.check("x", draws.reshape(-1, 10))
    error = 6 * draws.std(axis=0) / np.sqrt(4000) + 1e-3
    assert np.all(np.abs(draws.mean(axis=0) - likelihood.mean(distribution)) < error)
    first, second = likelihood.moments(distribution, tf.constant([1, 2]))
    np.testing.assert_allclose(np.sqrt(second - first**2), draws.std(axis=0), rtol=0.2)


@pytest.mark.integration
def test_a_table_with_empty_cells_and_strings_trains_is_filled_and_comes_back(tmp_path):
    given, likelihood = frame(400), table()
    rng = np.random.default_rng(1)
    given["age"] = np.where(given["stage"] == "III", 80.0, 40.0) + rng.normal(0, 2, 400)  # what can be learned
    inputs, index = mopoe.tables.align({"clinic": likelihood.encode(given)})
    keras.utils.set_random_seed(0)
    model = mopoe.MultimodalVAE(
        {
            "clinic": mopoe.GaussianEncoder(
                mopoe.networks.mlp_encoder(20, (16,)), 3, normalization="standard", cells=True
            )
        },
        {"clinic": mopoe.Decoder(mopoe.networks.mlp_decoder(16, 3, (16,)), likelihood, event_shape=10)},
        objective=mopoe.objectives.ELBO(0.5),
        seed=0,
    )
    model.compile(keras.optimizers.Adam(1e-2))
    losses = model.fit(inputs, batch_size=50, epochs=60, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    filled = likelihood.decode(model.impute(inputs, seed=0)["clinic"], index)
    assert not filled.isna().any(axis=None)
    for column in ("stage", "sick"):
        there = given[column].notna()
        assert (filled[column][there].astype(object) == given[column][there].astype(object)).all()
    old = given["age"] > 60
    emptied = given.assign(age=np.nan)
    guess = likelihood.decode(model.impute({"clinic": likelihood.encode(emptied)}, seed=0)["clinic"])["age"]
    known = given["stage"].notna().to_numpy()
    assert np.mean((guess.to_numpy() > 60)[known] == old.to_numpy()[known]) > 0.9
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded.embed(inputs), model.embed(inputs), rtol=1e-4, atol=1e-5)
    assert loaded.decoders["clinic"].likelihood.columns == likelihood.columns
    np.testing.assert_allclose(
        loaded.log_likelihood(inputs, 4, seed=0), model.log_likelihood(inputs, 4, seed=0), rtol=1e-4
    )


def test_what_a_class_column_counts():
    assert table().dimension((10,)) == 7


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Table({}), "`columns` must be a dict of one or more"),
        (lambda: Table({"a": "date"}), r"`columns\['a'\]` must be one of .*Received: 'date'"),
        (lambda: Table({"a": ["x"]}), r"`columns\['a'\]` must be one of .* two or more classes"),
        (lambda: Table.of(np.zeros([2, 2])), "`frame` must be a DataFrame"),
        (lambda: Table.of(frame(), counts=["visit"]), r"`counts` must be names of columns. Received: \['visit'\]"),
        (lambda: table().encode(frame().drop(columns="age")), "`frame` must have the columns"),
        (lambda: table().encode(frame().assign(sex="x")), "in its column 'sex' one of .*Received: 'x'"),
        (lambda: table().decode(np.zeros([2, 3])), r"`x` must have shape \('rows', 10\)"),
        (lambda: table().check("x", np.full([1, 10], -1.0)), "`x` must be one-hot"),
        (
            lambda: mopoe.Decoder(keras.layers.Dense(3), table()).build((None, 2)),
            "or `Decoder` be given event_shape=10",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
