"""Rows that are made when they are asked for: data sets too large, or too easily made, to be kept as arrays."""

import random

import numpy as np
import tensorflow as tf

from tf_mopoe.checks import check_count, check_integer


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

    def __init__(self, num_rows, make):
        self.num_rows = check_count("num_rows", num_rows, low=0)
        if not callable(make):
            raise ValueError(f"`make` must be a function. Received: make={make!r}")
        self.make = make

    @classmethod
    def of(cls, arrays):
        """Rows of arrays {name: [N, ...]}; what is `Rows` already stays so."""
        if isinstance(arrays, Rows):
            return arrays
        if not isinstance(arrays, dict) or not arrays or not all(np.ndim(array) for array in arrays.values()):
            raise ValueError(
                f"`arrays` must be a dict of arrays with an axis of rows. Received: {type(arrays).__name__}"
            )
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"All arrays must have the same number of rows. Received: {lengths}")
        # Copied to tensors once, here: a data set's map would copy them again at each start.
        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        return cls(next(iter(lengths.values())), lambda rows: {name: tf.gather(x, rows) for name, x in tensors.items()})

    def __len__(self):
        return self.num_rows

    def __getitem__(self, rows):
        rows = np.arange(self.num_rows)[rows]
        if rows.ndim != 1:
            raise IndexError(f"Rows are chosen by a slice or a list of numbers. Received: shape {rows.shape}")
        return {name: x.numpy() for name, x in self.make(tf.constant(rows, tf.int64)).items()}

    def take(self, num_rows):
        """The first `num_rows` of these, or all if there are fewer."""
        return Rows(min(check_count("num_rows", num_rows, low=0), self.num_rows), self.make)

    def join(self, arrays):
        """These rows with more entries, {name: [N, ...]}, such as `has_<name>` flags."""
        more = Rows.of(arrays)
        if len(more) != len(self):
            raise ValueError(f"`arrays` must have {len(self)} rows. Received: {len(more)}")
        return Rows(self.num_rows, lambda rows: self.make(rows) | more.make(rows))

    def dataset(self, batch_size, seed=None, order=None):
        """A `tf.data.Dataset` of batches {name: [B, ...]}, made ahead of their use; the last may have fewer rows.

        Args:
            batch_size: B.
            seed: int, to shuffle the rows anew in each epoch. Default: in their order.
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


def take(inputs, rows):
    """Rows of arrays {name: [N, ...]} or `Rows`, by a slice or by numbers: {name: NumPy [B, ...]}."""
    return inputs[rows] if isinstance(inputs, Rows) else {name: x[rows] for name, x in inputs.items()}


def as_dataset(x, batch_size=None, shuffle=False):
    """`Rows` as a data set in batches of `batch_size` (default 32), for Keras; what is not `Rows`, as it is.

    Shuffled with a new seed from Python's `random`, which `keras.utils.set_random_seed` sets.
    """
    if not isinstance(x, Rows):
        return x
    return x.dataset(32 if batch_size is None else batch_size, seed=random.randrange(2**31) if shuffle else None)
