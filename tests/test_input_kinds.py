"""Arrays of every kind that users have: the same numbers give the same results."""

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import small
import tensorflow as tf

import tf_mopoe as mopoe
import tf_mopoe.adaptation
import tf_mopoe.inference
from tf_mopoe.datasets.arrays import SparseRows
from tf_mopoe.datasets.rows import Rows

pytestmark = pytest.mark.usefixtures("eagerly")  # graphs are no part of the claims here

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(2.0, (12, 7)).astype(np.float32)
KINDS = {
    "int64": COUNTS.astype(np.int64),
    "uint8": COUNTS.astype(np.uint8),
    "float64": COUNTS.astype(np.float64),
    "big-endian": COUNTS.astype(">f4"),
    "list": COUNTS.tolist(),
    "DataFrame": pd.DataFrame(COUNTS),
    "DataFrame of integers": pd.DataFrame(COUNTS.astype(int)),
    "DataFrame, nullable": pd.DataFrame(COUNTS.astype(int)).astype("Int64"),
    "masked array": np.ma.masked_array(COUNTS, mask=np.zeros(COUNTS.shape, bool)),
    "csr": scipy.sparse.csr_matrix(COUNTS),
    "csc": scipy.sparse.csc_array(COUNTS),
    "coo": scipy.sparse.coo_array(COUNTS),
    "tf.SparseTensor": tf.sparse.from_dense(COUNTS),
    "tf.Tensor": tf.constant(COUNTS),
    "Fortran order": np.asfortranarray(COUNTS),
}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return small.compiled(("sensor", "word"), learning_rate=0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_what_float32_gives(kind, model):
    given, plain = {"sensor": KINDS[kind]}, {"sensor": COUNTS}
    np.testing.assert_allclose(model.embed(given), model.embed(plain), rtol=1e-6)
    np.testing.assert_allclose(
        model.translate(given, "word", seed=1), model.translate(plain, "word", seed=1), rtol=1e-5
    )
    np.testing.assert_allclose(
        model.log_likelihood(given, 4, seed=1), model.log_likelihood(plain, 4, seed=1), rtol=1e-5
    )
    np.testing.assert_allclose(
        model.predict(given, batch_size=5, verbose=0)["word"],
        model.predict(plain, batch_size=5, verbose=0)["word"],
        1e-5,
    )
    losses = [model.fit(x, batch_size=5, shuffle=False, verbose=0).history["loss"][0] for x in (given, plain)]
    assert np.isfinite(losses).all()
    losses = [model.evaluate(x, batch_size=5, verbose=0, return_dict=True)["loss"] for x in (given, plain)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


FLAGS = {
    "integers": lambda has: has.astype(int),
    "floats": lambda has: has.astype(float),
    "list": lambda has: has.tolist(),
    "nullable": lambda has: pd.Series(has).astype("boolean"),
}


@pytest.mark.parametrize("kind", FLAGS)
def test_flags_may_be_numbers(kind, model):
    has = np.arange(12) % 3 > 0
    rows = {"sensor": COUNTS, "word": small.rows(12)["word"]}
    given = rows | {"has_sensor": FLAGS[kind](has)}
    np.testing.assert_allclose(model.embed(given), model.embed(rows | {"has_sensor": has}), rtol=1e-6)
    data = tf.data.Dataset.from_tensor_slices(rows | {"has_sensor": has.astype(int)}).batch(6)
    losses = [model.evaluate(x, verbose=0, return_dict=True)["loss"] for x in (data, data.map(dict))]
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_a_data_set_of_integers_flags_and_sparse_tensors(model):
    rows = {"sensor": COUNTS.astype(int), "has_sensor": (np.arange(12) % 3 > 0).astype(int)}
    rows["word"] = small.rows(12)["word"].astype(np.uint8)
    data = tf.data.Dataset.from_tensor_slices(rows).batch(6)
    dense = model.evaluate(data, verbose=0, return_dict=True)
    plain = {"sensor": COUNTS, "has_sensor": rows["has_sensor"] > 0, "word": rows["word"].astype(np.float32)}
    expected = model.evaluate(plain, batch_size=6, verbose=0, return_dict=True)
    assert dense == pytest.approx(expected, rel=1e-5)
    sparse = data.map(lambda x: x | {"sensor": tf.sparse.from_dense(x["sensor"])})
    assert model.evaluate(sparse, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(model.embed(data), model.embed(plain), rtol=1e-5, atol=1e-6)
    assert np.isfinite(model.fit(sparse, verbose=0).history["loss"]).all()


class Batches(keras.utils.PyDataset):
    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def __len__(self):
        return 3

    def __getitem__(self, number):
        return {name: x[4 * number : 4 * number + 4] for name, x in self.rows.items()}


@pytest.mark.parametrize("kind", [Batches, Rows.of, lambda rows: tf.data.Dataset.from_tensor_slices(rows).batch(4)])
def test_data_sets_in_every_method(kind, model):
    rows = {"sensor": COUNTS, "word": small.rows(12)["word"]}
    data = kind(rows)
    np.testing.assert_allclose(model.embed(data), model.embed(rows), rtol=1e-5, atol=1e-6)
    assert model.translate({"sensor": COUNTS}, "word", seed=0).shape == (12, 3, 4)
    assert model.translate(data, seed=0)["word"].shape == (12, 3, 4)
    assert model.log_likelihood(data, 2, seed=0).shape == (12,)
    assert model.posterior_predictive(data, "sensor", num_samples=3, seed=0).shape == (3, 12, 7)


def test_masked_cells_are_missing_rows_or_an_error(model):
    mask = np.zeros(COUNTS.shape, bool)
    mask[3] = True
    masked = np.ma.masked_array(np.where(mask, 1e20, COUNTS), mask)
    rows = {"word": small.rows(12)["word"]}
    expected = model.embed(rows | {"sensor": COUNTS, "has_sensor": ~mask[:, 0]})
    np.testing.assert_allclose(model.embed(rows | {"sensor": masked}), expected, rtol=1e-6)
    losses = model.fit(rows | {"sensor": masked}, batch_size=12, verbose=0).history["loss"]
    assert losses[0] < 1e3  # and not that of the fill values
    masked[5, 2] = np.ma.masked
    with pytest.raises(ValueError, match=r"`sensor` must be finite .*cells=True.* row 5"):
        model.embed(rows | {"sensor": masked})


@pytest.mark.parametrize(
    "wrong, remedy",
    [
        (
            pd.DataFrame({"a": ["x"] * 12}),
            r"likelihoods.Table.*Received: a DataFrame with columns of other kinds: \['a'\]",
        ),
        (np.array(["a"] * 12), "one-hot or integers"),
        (tf.ragged.constant([[1.0], [2.0, 3.0]]), "pad its rows"),
        ([[1.0], [1.0, 2.0]], "rows of one length"),
        (np.array(["2020-01-01"] * 12, "datetime64[D]"), "convert it to numbers"),
    ],
)
def test_what_has_no_reading_says_what_to_write(wrong, remedy, model):
    for use in (model.embed, model.translate, lambda x: model.fit(x, verbose=0)):
        with pytest.raises(ValueError, match=f"`sensor` must be an array of numbers: .*{remedy}"):
            use({"sensor": wrong})


def test_fit_reads_a_batch_at_a_time(tmp_path, monkeypatch):
    """No array is copied as a whole: not a memory map, not a sparse matrix."""
    path = tmp_path / "rows.npy"
    np.save(path, np.tile(COUNTS, (50, 1)))
    mapped = np.load(path, mmap_mode="r")
    taken = []
    monkeypatch.setattr(tf_mopoe.adaptation, "LOOKED_AT", 50)
    original = SparseRows.__getitem__
    monkeypatch.setattr(SparseRows, "__getitem__", lambda self, rows: taken.append(rows) or original(self, rows))
    model = small.compiled(("sensor",))
    rows = Rows.of({"sensor": mapped})
    assert all(len(batch["sensor"]) == 8 for batch in rows.dataset(8).take(3))
    history = model.fit({"sensor": mapped}, batch_size=100, validation_split=0.1, verbose=0).history
    assert np.isfinite(history["loss"] + history["val_loss"]).all()
    model.fit({"sensor": scipy.sparse.csr_matrix(np.tile(COUNTS, (50, 1)))}, batch_size=100, verbose=0)
    sizes = [len(np.arange(600)[rows]) for rows in taken[1:]]  # after the one look at the values
    assert max(sizes) <= 100


def test_sparse_rows_are_those_of_the_matrix():
    for matrix in (scipy.sparse.csr_matrix(COUNTS), scipy.sparse.coo_array(COUNTS), tf.sparse.from_dense(COUNTS)):
        rows = SparseRows(matrix)
        np.testing.assert_array_equal(rows[:], COUNTS)
        np.testing.assert_array_equal(rows[3:9:2], COUNTS[3:9:2])
        np.testing.assert_array_equal(rows[np.array([5, 0, 5])], COUNTS[[5, 0, 5]])
    twice = scipy.sparse.coo_matrix(([1.0, 2.0], ([0, 0], [1, 1])), shape=(2, 3))
    np.testing.assert_array_equal(SparseRows(twice)[:], twice.toarray())


def test_validation_split_is_keras_own():
    rows = small.rows(20)
    model = small.compiled(learning_rate=0.0)
    split = model.fit(rows, batch_size=20, validation_split=0.25, verbose=0).history["val_loss"]
    whole = model.fit(rows, batch_size=20, validation_data={k: x[15:] for k, x in rows.items()}, verbose=0)
    np.testing.assert_allclose(split, whole.history["val_loss"], rtol=1e-5)
    for wrong, text in ((1.0, "number from 0 to 1"), (0.999, "rows on both sides")):
        with pytest.raises(ValueError, match=f"`validation_split` must .*{text}"):
            model.fit(rows, validation_split=wrong, verbose=0)
    with pytest.raises(ValueError, match="`validation_split` needs a dict"):
        model.fit(tf.data.Dataset.from_tensor_slices(rows).batch(5), validation_split=0.5, verbose=0)


def test_many_rows_are_taken_in_batches(monkeypatch, model):
    rows = {"sensor": COUNTS}
    whole = model.embed(rows)
    monkeypatch.setattr(tf_mopoe.inference, "NUMBERS", 5 * 12)
    assert model.rows_at_a_time() == 5
    np.testing.assert_allclose(model.embed(rows), whole, rtol=1e-5)
    np.testing.assert_allclose(
        model.log_likelihood(rows, 256, seed=0)[:5], model.log_likelihood({"sensor": COUNTS[:5]}, 256, seed=0)
    )
    assert mopoe.evaluation.expert_conflict(model, rows | {"word": small.rows(12)["word"].astype(int)}).shape == (12,)
