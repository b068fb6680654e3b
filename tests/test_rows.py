"""Rows that are made when asked for: the same row in every batch and order."""

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

from tf_mopoe.datasets import Rows

ARRAYS = {"a": np.arange(24).reshape(12, 2), "b": np.arange(12.0)}


def test_rows_of_arrays_are_the_arrays():
    rows = Rows.of(ARRAYS)
    assert len(rows) == 12
    assert Rows.of(rows) is rows
    for chosen in (slice(None), slice(3, 7), [5, 1, 1], np.array([11])):
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(rows[chosen][name], array[chosen])
    assert {name: len(x) for name, x in rows[:0].items()} == {"a": 0, "b": 0}


def test_take_and_join():
    rows = Rows.of(ARRAYS)
    assert len(rows.take(5)) == 5 and len(rows.take(50)) == 12
    joined = rows.take(5).join({"has_b": np.array([True, False, True, False, True])})
    assert joined[[4, 1]]["has_b"].tolist() == [True, False]
    np.testing.assert_array_equal(joined[:]["a"], ARRAYS["a"][:5])
    with pytest.raises(ValueError, match="`arrays` must have 12 rows. Received: 5"):
        rows.join({"c": np.zeros(5)})
    with pytest.raises(ValueError, match="same number of rows"):
        Rows.of({"a": np.zeros(3), "b": np.zeros(4)})
    with pytest.raises(IndexError, match="slice or a list"):
        rows[3]


def test_a_data_set_has_every_row_once_and_is_shuffled_anew_in_each_epoch():
    rows = Rows.of(ARRAYS)
    in_order = [batch["b"].numpy().tolist() for batch in rows.dataset(5)]
    assert in_order == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]
    shuffled = rows.dataset(5, seed=1)
    epochs = [np.concatenate([batch["b"] for batch in shuffled]) for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert epochs[0].tolist() != epochs[1].tolist() != list(range(12))
    again = rows.dataset(5, seed=1)
    np.testing.assert_array_equal(np.concatenate([batch["b"] for batch in again]), epochs[0])
    ordered = rows.dataset(2, order=[7, 3, 3, 0])
    assert [batch["b"].numpy().tolist() for batch in ordered] == [[7, 3], [3, 0]]
    assert ordered.element_spec["a"].shape == (2, 2)  # all batches are full, and the shape says so


def test_made_rows_are_made_by_need():
    asked = []

    def make(rows):
        tf.py_function(lambda numbers: asked.extend(numbers.numpy().tolist()), [rows], [])
        return {"square": tf.cast(rows, tf.float32) ** 2}

    rows = Rows(10**7, make)
    squares = rows[[3, 10**7 - 1]]["square"]
    np.testing.assert_allclose(squares, [9.0, 1e14], rtol=4e-7)  # a power: 3 units in the last place
    assert asked == [3, 10**7 - 1]


def test_fit_takes_them_as_it_takes_arrays():
    inputs = small.with_missing(small.rows(20))
    losses = []
    for data in (inputs, Rows.of(inputs).dataset(10)):
        keras.utils.set_random_seed(0)
        model = small.compiled()
        losses.append(model.fit(data, batch_size=10, epochs=2, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
