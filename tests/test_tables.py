"""Tables of different rows: the outer join by index, and the way back."""

import numpy as np
import pytest

import tf_mopoe as mopoe

pandas = pytest.importorskip("pandas", reason="the extra tables")


def tables():
    return {
        "lab": pandas.DataFrame({"x": [1.0, 2.0, np.nan], "y": [4.0, 5.0, 6.0]}, index=["p1", "p3", "p2"]),
        "age": pandas.Series([50, 60], index=["p4", "p1"], name="age"),
        "flags": pandas.DataFrame({"sick": pandas.array([True, None], "boolean")}, index=["p3", "p5"]),
    }


def test_align_joins_by_index_and_marks_what_is_missing():
    inputs, index = mopoe.tables.align(tables())
    assert list(index) == ["p1", "p3", "p2", "p4", "p5"]
    nan = np.nan
    np.testing.assert_array_equal(inputs["lab"], [[1, 4], [2, 5], [nan, 6], [nan, nan], [nan, nan]])
    np.testing.assert_array_equal(inputs["has_lab"], ~np.isnan(inputs["lab"]))  # of cells: p2 has one of two
    np.testing.assert_array_equal(inputs["age"][:, 0], [60, nan, nan, 50, nan])
    np.testing.assert_array_equal(inputs["has_age"], [True, False, False, True, False])
    np.testing.assert_array_equal(inputs["has_flags"], [False, True, False, False, False])


def test_align_agrees_with_pandas_own_join():
    given = tables()
    inputs, index = mopoe.tables.align(given)
    joined = given["lab"].join(given["age"], how="outer").join(given["flags"].astype("Float64"), how="outer")
    np.testing.assert_array_equal(inputs["lab"], joined.loc[index, ["x", "y"]].to_numpy())
    np.testing.assert_array_equal(inputs["age"], joined.loc[index, ["age"]].to_numpy())


def test_from_tables_to_filled_tables():
    given = tables()
    inputs, index = mopoe.tables.align(given)
    sizes = {"lab": 2, "age": 1, "flags": 1}
    encode, decode = mopoe.networks.mlp_encoder, mopoe.networks.mlp_decoder
    normal = mopoe.likelihoods.Normal
    model = mopoe.MultimodalVAE(
        {
            n: mopoe.GaussianEncoder(encode(2 * s, (4,)), 2, normalization="standard", cells=True)
            for n, s in sizes.items()
        },
        {n: mopoe.Decoder(decode(s, 2, (4,)), normal(standardize=True)) for n, s in sizes.items()},
    )
    model.compile("lion")
    rows = {key: value[:4] for key, value in inputs.items()}  # p5 has nothing that is known
    model.fit(rows, epochs=1, verbose=0)
    made = model.impute(rows, seed=0)
    filled = mopoe.tables.frames(made, given, index[:4])
    assert list(filled["lab"].columns) == ["x", "y"] and list(filled["lab"].index) == ["p1", "p3", "p2", "p4"]
    assert filled["lab"].loc["p3", "y"] == 5.0 and filled["age"].loc["p4", "age"] == 50
    assert not any(frame.isna().any(axis=None) for frame in filled.values())
    std = mopoe.tables.frames(made.std, given, index[:4])
    assert std["lab"].loc["p3", "y"] == 0.0 and std["lab"].loc["p4", "y"] > 0.0


@pytest.mark.parametrize(
    "bad, message",
    [
        ({}, "`tables` must be a dict of one or more"),
        ({"a": np.zeros([2, 2])}, r"`tables\['a'\]` must be a DataFrame or a Series"),
        ({"a": pandas.DataFrame({"x": [1, 2]}, index=["p", "p"])}, "without duplicates. Received: 'p' twice"),
        ({"a": pandas.DataFrame({"x": ["u", "v"]})}, "`a` must be an array of numbers: .*likelihoods.Table"),
    ],
)
def test_bad_tables(bad, message):
    with pytest.raises(ValueError, match=message):
        mopoe.tables.align(bad)


def test_frames_of_another_shape():
    given = tables()
    _, index = mopoe.tables.align(given)
    with pytest.raises(ValueError, match=r"`arrays\['lab'\]` must have shape \(5, 2\)"):
        mopoe.tables.frames({"lab": np.zeros([5, 3])}, given, index)
