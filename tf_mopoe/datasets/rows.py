"""Rows that are computed on demand: data sets too large, or too easily generated, to be kept as arrays."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tf_mopoe.checks import check_count, check_integer
from tf_mopoe.datasets.arrays import SparseRows


class Rows:
    """The rows of a data set, as a function of their numbers.

        rows[:100], rows[[3, 1, 4]]                {name: NumPy array [B, ...]}
        rows.dataset(256, seed=0)                  a `tf.data.Dataset` of such dicts

    A model's `fit`, `evaluate` and `predict`, and the measures in `tf_mopoe.evaluation` take them as they take arrays.

    Args:
        num_rows: how many rows there are.
        make: function of TensorFlow ops: row numbers, int64 [B] -> {name: tensor [B, ...]}. The same number always gives
            the same row.
    """

    def __init__(self, num_rows: int, make: Callable[[tf.Tensor], dict[str, tf.Tensor]]):
        self.num_rows = check_count("num_rows", num_rows, low=0)
        if not callable(make):
            raise ValueError(f"`make` must be a function. Received: make={make!r}")
        self.make = make

    @classmethod
    def of(cls, arrays: "Mapping[str, Any] | Rows") -> "Rows":
        """Wrap arrays {name: [N, ...]}, of which only the rows of a batch are copied; `Rows` are returned unchanged."""
        if isinstance(arrays, Rows):
            return arrays
        if not isinstance(arrays, dict) or not arrays or not all(len(np.shape(array)) for array in arrays.values()):
            raise ValueError(
                f"`arrays` must be a dict of arrays with an axis of rows. Received: {type(arrays).__name__}"
            )
        arrays = {n: x if isinstance(x, SparseRows) else np.asarray(x) for n, x in arrays.items()}
        lengths = {name: x.shape[0] for name, x in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"All arrays must have the same number of rows. Received: {lengths}")
        dtypes = {name: batch_dtype(x.dtype) for name, x in arrays.items()}

        def fetch(rows):
            return [np.ascontiguousarray(x[rows], dtypes[name]) for name, x in arrays.items()]

        def make(rows):
            values = tf.numpy_function(fetch, [rows], [tf.as_dtype(dtype) for dtype in dtypes.values()], stateful=False)
            values = tf.nest.flatten(values)
            lead = rows.shape[:1]
            return {n: tf.ensure_shape(v, lead + x.shape[1:]) for v, (n, x) in zip(values, arrays.items())}

        return cls(next(iter(lengths.values())), make)

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, rows: slice | ArrayLike) -> dict[str, np.ndarray]:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(self.num_rows))
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows) if rows.shape == (self.num_rows,) else rows.astype(object)
        if rows.ndim != 1 or (rows.dtype.kind not in "iu" and rows.size):
            raise IndexError(f"Rows are chosen by a slice or a list of numbers. Received: shape {rows.shape}")
        rows = rows.astype(np.int64)
        if rows.size and not (-self.num_rows <= rows.min() and rows.max() < self.num_rows):
            raise IndexError(f"Rows must be from 0 to {self.num_rows - 1}. Received: {rows.min()} to {rows.max()}")
        rows = np.where(rows < 0, rows + self.num_rows, rows)
        return {name: x.numpy() for name, x in self.make(tf.constant(rows, tf.int64)).items()}

    def take(self, num_rows: int) -> "Rows":
        """Return the first `num_rows` of these, or all if there are fewer."""
        return Rows(min(check_count("num_rows", num_rows, low=0), self.num_rows), self.make)

    def drop(self, num_rows: int) -> "Rows":
        """Return all but the first `num_rows` of these."""
        first = min(check_count("num_rows", num_rows, low=0), self.num_rows)
        return Rows(self.num_rows - first, lambda rows: self.make(rows + first))

    def join(self, arrays: Mapping[str, Any]) -> "Rows":
        """Return these rows with more entries, {name: [N, ...]}, such as `has_<name>` flags."""
        more = Rows.of(arrays)
        if len(more) != len(self):
            raise ValueError(f"`arrays` must have {len(self)} rows. Received: {len(more)}")
        return Rows(self.num_rows, lambda rows: self.make(rows) | more.make(rows))

    def dataset(self, batch_size: int, seed: int | None = None, order: ArrayLike | None = None) -> tf.data.Dataset:
        """Return a `tf.data.Dataset` of batches {name: [B, ...]}, prefetched; the last may have fewer rows.

        Args:
            batch_size: B.
            seed: int, to shuffle the rows again in each epoch. Default: in their order.
            order: int [N'], the row numbers to use. Default: all.
        """
        batch_size = check_count("batch_size", batch_size)
        seed = None if seed is None else check_integer("seed", seed)
        numbers = np.arange(self.num_rows) if order is None else np.asarray(order)
        data = tf.data.Dataset.from_tensor_slices(numbers.astype(np.int64))
        if seed is not None:
            data = data.shuffle(max(len(numbers), 1), seed=seed, reshuffle_each_iteration=True)
        data = data.batch(batch_size, drop_remainder=len(numbers) % batch_size == 0)  # the shapes known if all are full
        return data.map(self.make, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def take(inputs: Mapping[str, Any] | Rows, rows: slice | ArrayLike) -> dict[str, np.ndarray]:
    """Select rows of arrays {name: [N, ...]} or `Rows`, by a slice or by numbers: {name: NumPy [B, ...]}."""
    return inputs[rows] if isinstance(inputs, Rows) else {name: x[rows] for name, x in inputs.items()}


def batch_dtype(dtype):
    """Return the dtype of a batch of an array: float32 for any floats, the processor's byte order for all."""
    dtype = np.dtype(dtype)
    return np.dtype(np.float32) if dtype.kind == "f" else dtype.newbyteorder("=")
