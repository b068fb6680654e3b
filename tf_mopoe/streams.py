"""Streams of random numbers: seeds whose children have names.

Everything that draws takes a stream. A stream is stateless: it gives the same numbers each time. Children of different
names are independent of each other, so that a draw that is added somewhere changes no other.
"""

import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tf_mopoe.checks import is_integer


class Stream:
    """A stream of one seed for the whole batch.

    Args:
        seed: int32 [2], as of TensorFlow's stateless operations.
    """

    def __init__(self, seed: tf.Tensor):
        self.seed = seed

    def child(self, name: str | int | tf.Tensor) -> "Stream":
        """Return the stream of that name, a str or an integer tensor [] (a step, a replica)."""
        number = zlib.crc32(name.encode()) & 0x7FFFFFFF if isinstance(name, str) else tf.cast(name, tf.int32)
        return Stream(tf.random.fold_in(self.seed, number))

    def normal(self, shape: Sequence[Any] | tf.Tensor, row_axis: int = -2) -> tf.Tensor:
        """Draw standard normal numbers of the given shape, of which `row_axis` is the axis of the rows."""
        return tf.random.stateless_normal(shape, self.seed)

    def uniform(
        self, shape: Sequence[Any] | tf.Tensor, row_axis: int = -1, minval: float = 0.0, maxval: float = 1.0
    ) -> tf.Tensor:
        """Draw uniform numbers of the given shape from [minval, maxval)."""
        return tf.random.stateless_uniform(shape, self.seed, minval, maxval)

    def strata(self, rows: int | tf.Tensor) -> tf.Tensor:
        """Draw u [rows], each uniform on [0, 1), together spread evenly.

        Each row gets a distinct stratum (a random permutation) plus one shared uniform shift (systematic sampling).
        """
        stratum = shuffled(rows, self.child("order"))
        return (tf.cast(stratum, tf.float32) + self.child("shift").uniform([])) / tf.cast(
            tf.maximum(rows, 1), tf.float32
        )


class RowStream:
    """A stream with one seed per row: a row's draws depend on its seed alone, never on the rest of the batch.

    A row draws what `Stream` of its seed draws for a batch of that row alone.

    Args:
        seeds: int32 [B, 2].
        path: names of the children from the seeds to here.
    """

    def __init__(self, seeds: tf.Tensor, path: Sequence[str | int | tf.Tensor] = ()):
        self.seeds, self.path = seeds, path

    def child(self, name: str | int | tf.Tensor) -> "RowStream":
        """Return the stream of that name, a str or an integer tensor []."""
        return RowStream(self.seeds, (*self.path, name))

    def normal(self, shape: Sequence[Any] | tf.Tensor, row_axis: int = -2) -> tf.Tensor:
        """Draw standard normal numbers of the given shape, of which `row_axis` is the axis of the rows."""
        return self.each(lambda stream, shape: stream.normal(shape), shape, row_axis)

    def uniform(
        self, shape: Sequence[Any] | tf.Tensor, row_axis: int = -1, minval: float = 0.0, maxval: float = 1.0
    ) -> tf.Tensor:
        """Draw uniform numbers of the given shape from [minval, maxval)."""
        return self.each(lambda stream, shape: stream.uniform(shape, minval=minval, maxval=maxval), shape, row_axis)

    def strata(self, rows: int | tf.Tensor) -> tf.Tensor:
        """Draw u [rows], each uniform on [0, 1)."""
        return self.child("shift").uniform([rows])

    def each(self, draw: Callable[..., tf.Tensor], shape: Sequence[Any] | tf.Tensor, row_axis: int) -> tf.Tensor:
        shape = list(tf.unstack(shape) if tf.is_tensor(shape) else shape)
        axis = row_axis % len(shape)
        of_row = shape[:axis] + shape[axis + 1 :]

        def one(seed):
            stream = Stream(seed)
            for name in self.path:
                stream = stream.child(name)
            return draw(stream, of_row)

        static = [size if isinstance(size, int) else None for size in of_row]
        seeds = tf.concat(
            [self.seeds, tf.zeros([1, 2], tf.int32)], axis=0
        )  # one more: a batch without rows has none to stack
        drawn = tf.map_fn(one, seeds, fn_output_signature=tf.TensorSpec(static, tf.float32))[:-1]
        return tf.transpose(drawn, [*range(1, axis + 1), 0, *range(axis + 1, len(shape))])


def as_stream(seed: int | tf.Tensor | Stream | RowStream | None = None, argument: str = "seed") -> Stream | RowStream:
    """Return the stream of an integer seed, or of a new one if None (in a graph: a new one at each of its calls)."""
    if isinstance(seed, (Stream, RowStream)):
        return seed
    if (
        tf.is_tensor(seed) and seed.dtype.is_integer and seed.shape.rank == 1 and seed.shape[0] == 2
    ):  # as of stateless operations
        return Stream(seed)
    if seed is None and not tf.executing_eagerly():
        return Stream(tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32))
    if seed is None:
        seed = random.randrange(2**31)
    if not is_integer(seed):
        raise ValueError(f"`{argument}` must be an integer, a stream or None. Received: {argument}={seed!r}")
    seed = int(seed)
    return Stream(tf.constant([seed % 2**31, seed // 2**31 % 2**31], tf.int32))


def shuffled(count: int | tf.Tensor, stream: Stream | RowStream) -> tf.Tensor:
    """Shuffle 0..count - 1: int32 [count]. (TensorFlow's own shuffle cannot be compiled by XLA.)"""
    return tf.argsort(stream.uniform([count]))
