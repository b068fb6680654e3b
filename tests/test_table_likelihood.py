"""Table: columns of several kinds in one modality, and DataFrames to x and back."""

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import likelihoods
from tf_mopoe.tables import align
from tf_mopoe.units import Moments

RNG = np.random.default_rng(0)
N = 40
FRAME = pd.DataFrame(
    {
        "color": RNG.choice(["red", "green", "blue"], N),
        "age": RNG.normal(50.0, 20.0, N),
        "smoker": RNG.random(N) < 0.3,
        "visits": RNG.poisson(3.0, N),
        "share": RNG.beta(2.0, 5.0, N),
        "size": pd.Categorical(RNG.choice(["S", "M", "L"], N), categories=["S", "M", "L"], ordered=True),
        "weight": RNG.normal(70.0, 9.0, N),
        "grade": RNG.choice(["a", "b"], N),
    },
    index=[f"row{i}" for i in range(N)],
)
FRAME.index.name = "patient"


def made():
    return likelihoods.Table.of(FRAME, counts=["visits"], shares=["share"])


def holed():
    """The frame with a third of its cells empty, but for whole rows."""
    frame = FRAME.astype({"smoker": object, "visits": object, "color": object, "grade": object})
    return frame.mask(np.random.default_rng(1).random(FRAME.shape) < 0.3)


def adapted(table):
    moments = Moments()
    moments.add(table.adapt_input(table.encode(FRAME).to_numpy()))
    table.build((None, *table.output_shape((13,))))
    assert not table.adapted
    table.adapt(moments)
    assert table.adapted
    return table


def test_kinds_are_seen_in_the_frame():
    assert made().columns == {
        "color": ["blue", "green", "red"],
        "age": "number",
        "smoker": "flag",
        "visits": "count",
        "share": "share",
        "size": ["S", "M", "L"],
        "weight": "number",
        "grade": ["a", "b"],
    }
    objects = pd.DataFrame(
        {"flag": [True, None, False], "number": [1, None, 2.5], "class": ["x", None, 3]}, dtype=object
    )
    assert likelihoods.Table.of(objects).columns == {"flag": "flag", "number": "number", "class": [3, "x"]}
    nullable = pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": pd.array([True, None], "boolean")})
    assert likelihoods.Table.of(nullable).columns == {"a": "number", "b": "flag"}


def test_layout_is_by_column():
    table = made()
    encoded = table.encode(FRAME)
    assert encoded.columns.tolist() == (
        ["color=blue", "color=green", "color=red", "age", "smoker", "visits", "share"]
        + ["size=S", "size=M", "size=L", "weight", "grade=a", "grade=b"]
    )
    assert encoded.index.equals(FRAME.index) and set(encoded.dtypes) == {np.dtype("float32")}
    assert table.columns_of("size") == slice(7, 10) and table.columns_of("weight") == slice(10, 11)
    np.testing.assert_array_equal(encoded.to_numpy()[:, 7:10].argmax(axis=1), FRAME["size"].cat.codes)
    np.testing.assert_array_equal(encoded["visits"], FRAME["visits"])
    assert table.dimension((13,)) == 8 and table.event_shape((13,)) == table.output_shape((13,)) == (13,)
    inputs, index = align({"table": encoded})
    np.testing.assert_array_equal(inputs["table"], encoded)
    assert index.equals(FRAME.index)


@pytest.mark.parametrize("frame", [FRAME, holed()], ids=["whole", "with empty cells"])
def test_a_frame_comes_back(frame):
    table = made()
    encoded = table.encode(frame)
    for back in (table.decode(encoded), table.decode(encoded.to_numpy(), index=frame.index)):
        assert back.index.equals(frame.index) and back.columns.equals(frame.columns)
        assert (back.isna() == frame.isna()).to_numpy().all()
        for name in frame:
            there = frame[name].notna()
            if name in ("age", "share", "weight"):
                np.testing.assert_allclose(back[name][there], frame[name][there].astype(float), rtol=1e-6)
            else:
                assert back[name][there].tolist() == frame[name][there].tolist()
    assert table.decode(encoded.to_numpy()).index.tolist() == list(range(N))


def test_means_become_the_likeliest_classes_flags_and_counts():
    table = likelihoods.Table({"class": ["a", "b"], "flag": "flag", "count": "count", "level": [1, 2, 3]})
    decoded = table.decode(np.float32([[0.4, 0.6, 0.7, 2.6, 0.2, 0.3, 0.5], [0.9, 0.1, 0.2, 0.4, 0.8, 0.1, 0.1]]))
    assert decoded.to_dict("list") == {"class": ["b", "a"], "flag": [True, False], "count": [3, 0], "level": [3, 1]}
    assert [decoded[name].dtype for name in ("flag", "count", "level")] == [bool, np.int64, np.int64]


def expected_log_probs(table, x):
    """[N, columns] of scipy, for outputs that are 0."""
    cells = {name: x[:, part].astype(np.float64) for name, part in table.layout.slices.items()}
    means = {name: np.nanmean(FRAME[name].astype(float)) for name in ("age", "weight", "visits", "share")}
    spreads = {name: FRAME[name].std(ddof=0) for name in ("age", "weight")}
    classes = {name: np.log(1 / cells[name].shape[1]) * cells[name].sum(axis=1) for name in ("color", "size", "grade")}
    numbers = {name: scipy.stats.norm(means[name], spreads[name]).logpdf(cells[name][:, 0]) for name in spreads}
    count = scipy.stats.nbinom(1.0, 1.0 / (1.0 + means["visits"])).logpmf(cells["visits"][:, 0])
    share = scipy.stats.beta(10 * means["share"], 10 * (1 - means["share"])).logpdf(cells["share"][:, 0])
    smoker = np.log(0.5) + 0 * cells["smoker"][:, 0]
    columns = classes | numbers | {"visits": count, "share": share, "smoker": smoker}
    return np.stack([columns[name] for name in table.columns], axis=1)


def test_the_density_is_the_product_over_columns_of_what_is_there():
    table = adapted(made())
    distribution = table(np.zeros((N, 13), np.float32))
    assert distribution.batch_shape == (N,) and distribution.event_shape == (13,)
    x = table.encode(FRAME).to_numpy()
    expected = expected_log_probs(table, x)
    np.testing.assert_allclose(table.log_prob(distribution, x), expected.sum(axis=1), rtol=2e-3)
    np.testing.assert_allclose(distribution.log_prob(x), expected.sum(axis=1), rtol=2e-3)
    x = table.encode(holed()).to_numpy()
    values = table.log_prob(distribution, x, ~np.isnan(x))
    np.testing.assert_allclose(values, np.where(holed().isna(), 0.0, expected).sum(axis=1), rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("jit", [False, True])
def test_an_empty_cell_gives_no_gradient(jit):
    table = adapted(made())
    x = table.encode(holed()).to_numpy()
    output = RNG.normal(size=(N, 13)).astype(np.float32)

    @tf.function(jit_compile=jit)
    def run(output, x, observed):
        with tf.GradientTape() as tape:
            tape.watch(output)
            values = table.log_prob(table(output), x, observed)
        return values, tape.gradient(values, [output, *(v.value for v in table.trainable_variables)])

    # The outputs are in the order of the kinds: that of x, for the columns' numbers.
    of_x = np.concatenate([part.cells for part in table.parts])
    found = [
        run(output, np.where(np.isnan(x), fill, x).astype(np.float32), ~np.isnan(x)) for fill in (np.nan, 1e30, -3.0)
    ]
    for values, (of_output, *of_weights) in found:
        assert all(np.isfinite(value).all() for value in (values, of_output, *of_weights))
        assert not np.any(of_output.numpy()[np.isnan(x)[:, of_x]])
        np.testing.assert_allclose(values, found[0][0], rtol=1e-6)
        np.testing.assert_allclose(of_output, found[0][1][0], rtol=1e-5, atol=1e-6)


def test_means_draws_and_moments_are_by_column():
    table = adapted(made())
    distribution = table(np.zeros((2, 13), np.float32))
    means = table.mean(distribution).numpy()
    expected = [1 / 3] * 3 + [FRAME["age"].mean(), 0.5, FRAME["visits"].mean(), FRAME["share"].mean()]
    expected += [1 / 3] * 3 + [FRAME["weight"].mean(), 0.5, 0.5]
    np.testing.assert_allclose(means, [expected] * 2, rtol=1e-3)
    draws = distribution.sample(4000, seed=(1, 2)).numpy()
    assert draws.shape == (4000, 2, 13) and draws.dtype == np.float32
    first, squares = table.moments(distribution, seed=(0, 1))
    deviations = np.sqrt(squares - np.square(first))
    np.testing.assert_allclose(first, means, rtol=1e-6)
    assert np.all(np.abs(draws.mean(axis=0) - means) < 5 * deviations / np.sqrt(4000))
    np.testing.assert_allclose(draws.std(axis=0), deviations, rtol=0.15)
    np.testing.assert_array_equal(draws[..., 7:10].sum(axis=-1), 1.0)
    assert table.stand_in(distribution).shape == (2, 13)
    table.check("x", draws.reshape(-1, 13))


def test_a_hundred_columns_of_a_kind_are_one_density():
    table = likelihoods.Table({f"c{i}": ["number", "flag", ["x", "y"], ["u", "v", "w"]][i % 4] for i in range(400)})
    assert len(table.parts) == 4
    assert table(np.zeros((1, 700), np.float32)).event_shape == (700,)


def test_a_likelihood_of_ones_own_is_a_kind():
    own = likelihoods.Normal("predicted")
    table = likelihoods.Table({"a": "flag", "b": own, "c": likelihoods.ZeroInflated(likelihoods.Poisson())})
    assert table.output_shape((3,)) == (5,)
    output = np.float32([[0.0, 1.0, 0.0, np.log(2.0), 0.0]])
    expected = np.log(0.5) + scipy.stats.norm(1.0, 1.001).logpdf(1.5) + np.log(0.5 * scipy.stats.poisson(2.0).pmf(3))
    np.testing.assert_allclose(table(output).log_prob(np.float32([[1.0, 1.5, 3.0]])), [expected], rtol=1e-5)
    for bad in (likelihoods.Poisson("total"), likelihoods.Tokens(3), "text", [], ["a", "a"], [None], {"a": 1}, 3):
        with pytest.raises(ValueError, match=r"`columns\['a'\]` must be 'number', .* or a likelihood. Received: "):
            likelihoods.Table({"a": bad})
    with pytest.raises(ValueError, match="one likelihood for each column"):
        likelihoods.Table({"a": own, "b": own})
    for bad in ({}, "number"):
        with pytest.raises(ValueError, match="`columns` must be a dict of one or more columns"):
            likelihoods.Table(bad)


def test_what_does_not_fit_is_named():
    table = made()
    with pytest.raises(ValueError, match=r"`frame\['size'\]` must hold one of the classes .*'L'\]. Received: 'XL'"):
        table.encode(FRAME.assign(size="XL"))
    with pytest.raises(ValueError, match=r"`frame\['age'\]` must hold numbers. Received: dtype"):
        table.encode(FRAME.assign(age="old"))
    with pytest.raises(ValueError, match=r"`frame\['smoker'\]` must hold True and False, or 1 and 0. Received: 2"):
        table.encode(FRAME.assign(smoker=2))
    with pytest.raises(ValueError, match=r"`frame` must have the columns .*Received: a frame without \['age'\]"):
        table.encode(FRAME.drop(columns="age"))
    with pytest.raises(ValueError, match="`frame` must be a pandas DataFrame. Received: dict"):
        table.encode({})
    with pytest.raises(ValueError, match=r"`array` must have shape \('rows', 13\). Received: shape \(2, 12\)"):
        table.decode(np.zeros((2, 12)))
    with pytest.raises(ValueError, match="`name` must be one of .*Received: name='tail'"):
        table.columns_of("tail")
    with pytest.raises(
        ValueError,
        match=r"must give shape \(13,\), or `Decoder` be given event_shape=13.*Received: output shape \(12,\)",
    ):
        table(np.zeros((2, 12), np.float32))
    with pytest.raises(
        ValueError, match=r"`frame\['t'\]` must hold numbers, bools, strings or categories. Received: dtype"
    ):
        likelihoods.Table.of(pd.DataFrame({"t": pd.to_datetime(["2020-01-01"])}))
    with pytest.raises(ValueError, match=r"`frame\['t'\]` must have a value"):
        likelihoods.Table.of(pd.DataFrame({"t": pd.Series([None, None], dtype=object)}))
    with pytest.raises(ValueError, match=r"`counts` must be a list of columns of the frame. Received: counts=\['x'\]"):
        likelihoods.Table.of(FRAME, counts=["x"])
    x = table.encode(FRAME).to_numpy()
    table.check("t", x)
    for column, number, message in (
        (5, 0.5, r"`t\['visits'\]` must hold counts"),
        (4, 2.0, r"`t\['smoker'\]` must be in"),
    ):
        bad = x.copy()
        bad[3, column] = number
        with pytest.raises(ValueError, match=message):
            table.check("t", bad)
        table.check("t", bad, np.arange(13) + 0 * x != column)


def model_of(table, width):
    encoder = mopoe.GaussianEncoder(
        mopoe.networks.mlp_encoder(2 * width, (16,)), 3, normalization="standard", cells=True
    )
    decoder = mopoe.Decoder(mopoe.networks.mlp_decoder(16, 3, (16,)), table, event_shape=width)
    return mopoe.MultimodalVAE({"t": encoder}, {"t": decoder}, objective=mopoe.objectives.ELBO(0.5), seed=0)


def test_a_table_is_saved_with_its_columns_units_and_weights(tmp_path):
    table = likelihoods.Table(made().columns | {"own": likelihoods.StudentT("learned", df=3.0), 7: [2020, 2021]})
    frame = FRAME.assign(own=RNG.normal(size=N))
    frame[7] = RNG.choice([2020, 2021], N)
    x = table.encode(frame).to_numpy()
    model = model_of(table, 16)
    model.adapt({"t": x})
    for variable in table.trainable_variables:
        variable.assign(RNG.normal(size=variable.shape))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    again = loaded.decoders["t"].likelihood
    assert again.adapted and list(again.columns) == list(table.columns)
    assert again.columns_of(7) == slice(14, 16) and again.columns[7] == [2020, 2021]
    z = RNG.normal(size=(N, 3)).astype(np.float32)
    found = [m.decoders["t"](z).log_prob(x) for m in (model, loaded)]
    np.testing.assert_allclose(*found, rtol=1e-6)
    pd.testing.assert_frame_equal(again.decode(again.encode(frame)), table.decode(x, index=frame.index))


@pytest.mark.integration
def test_a_table_with_empty_cells_trains_and_is_filled():
    count = 300
    rng = np.random.default_rng(1)
    given = pd.DataFrame(
        {
            "age": rng.normal(50, 10, count),
            "stage": rng.choice(["I", "II", "III"], count),
            "visits": rng.poisson(4, count),
            "sick": rng.random(count) < 0.4,
            "dose": rng.uniform(0.1, 0.9, count),
        },
        index=[f"P{number}" for number in range(count)],
    )
    given["age"] = np.where(given["stage"] == "III", 80.0, 40.0) + rng.normal(0, 2, count)  # what can be learned
    table = likelihoods.Table.of(given, counts=["visits"], shares=["dose"])
    holes = rng.random(given.shape) < 0.15
    holes[:, 0] &= ~holes[:, 1]
    empty = given.astype({"visits": "Int64", "sick": "boolean"}).mask(holes)
    inputs, index = align({"t": table.encode(empty)})
    model = model_of(table, 7)
    model.compile(keras.optimizers.Lion(1e-2))
    losses = model.fit(inputs, batch_size=50, epochs=50, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    filled = table.decode(model.impute(inputs, seed=0)["t"], index)
    assert not filled.isna().any(axis=None)
    for name in ("stage", "sick", "visits"):
        there = empty[name].notna()
        assert filled[name][there].tolist() == empty[name][there].tolist()
    hidden = empty["age"].isna()
    assert np.mean((filled["age"] > 60)[hidden] == (given["age"] > 60)[hidden]) > 0.9
