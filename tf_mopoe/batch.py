"""A batch of rows: x of each modality, and which rows have it. What a row lacks reaches no network."""

from typing import NamedTuple

import tensorflow as tf

from tf_mopoe.inputs import FLAG


class Batch(NamedTuple):
    """The modalities that are given, in the model's order.

    Where `complete` says that every row has a modality, its `available` is all True.
    """

    x: dict  # {name: [B, E]}; anything in the rows that lack it, NaN included
    available: dict  # {name: bool [B]}
    complete: frozenset  # names of the modalities given without a flag

    @property
    def names(self):
        return tuple(self.available)

    @property
    def count(self):
        """How many modalities each row has: float [B]."""
        return tf.add_n([tf.cast(available, tf.float32) for available in self.available.values()])

    def select(self, names):
        """The same rows, of some modalities only."""
        x, available = ({n: v for n, v in part.items() if n in names} for part in (self.x, self.available))
        return Batch(x, available, self.complete)

    def mask(self, flags):
        """The same rows without the modalities whose flag, {name: bool []}, is False."""
        return Batch(self.x, {n: available & flags[n] for n, available in self.available.items()}, frozenset())

    def repeat(self, name, times):
        """One modality of the same rows, so many times over: B * times rows."""
        x, available = self.x[name], self.available[name]
        x = tf.tile(x, [times, *[1] * (len(x.shape) - 1)])
        return Batch({name: x}, {name: tf.tile(available, [times])}, self.complete)

    def take_rows(self, index):
        """The batch whose row i has modality m of row index[m][i]: {name: int [B]}; the modalities not named stay."""

        def take(values):
            return {name: tf.gather(value, index[name]) if name in index else value for name, value in values.items()}

        return Batch(take(self.x), take(self.available), self.complete)

    def on_available(self, names, function, values, empty):
        """Apply a function to the rows that have all of some modalities, and to no other.

        The function is not called for a batch without such a row: then nothing that it would do (batch statistics, losses,
        random numbers) is done. It sees the rows in a batch of their own size, so that XLA compiles it and each of its
        rows counts once.

        Args:
            names: of the modalities.
            function: takes the values of n rows -> (nest of tensors [n, ...], tensors without rows).
            values: nest of tensors [B, ...].
            empty: what the function returns for no rows.

        Returns:
            The function's nest with zeros in all other rows, [B, ...]; and its tensors without rows.
        """
        flagged = [name for name in names if name not in self.complete]
        if not flagged:
            return function(values)
        has = self.available[flagged[0]]
        for name in flagged[1:]:
            has &= self.available[name]
        index = tf.where(has)[:, 0]
        of_rows, others = tf.cond(
            tf.reduce_any(has),
            lambda: function(tf.nest.map_structure(lambda value: gather_rows(value, index), values)),
            lambda: empty,
        )
        rows = tf.shape(has, tf.int64)[0]
        return tf.nest.map_structure(lambda value: scatter_rows(value, index, rows), of_rows), others


EMPTY = Batch({}, {}, frozenset())


def read(inputs, event_shapes):
    """Return the `Batch` of a dict of inputs, float32.

    Args:
        inputs: as of `inputs.check`.
        event_shapes: {name: E} of all modalities of the model, in order.
    """
    x, available, complete = {}, {}, []
    for name, shape in event_shapes.items():
        if name not in inputs:
            continue
        x[name] = tf.ensure_shape(tf.cast(inputs[name], tf.float32), (None, *shape))
        if FLAG + name in inputs:
            available[name] = tf.convert_to_tensor(inputs[FLAG + name])
        else:
            available[name] = tf.ones(tf.shape(x[name])[:1], tf.bool)
            complete.append(name)
    return Batch(x, available, frozenset(complete))


@tf.custom_gradient
def gather_rows(value, index):
    """value[index], with a dense gradient: [B, ...], int64 [n] -> [n, ...]."""
    rows = tf.shape(value, tf.int64)[0]
    return tf.gather(value, index), lambda upstream: (scatter_rows(upstream, index, rows), None)


def scatter_rows(value, index, rows):
    """[n, ...] to the rows `index`, int64 [n], of zeros [rows, ...]."""
    shape = tf.concat([[rows], tf.shape(value, tf.int64)[1:]], axis=0)
    return tf.ensure_shape(tf.scatter_nd(index[:, None], value, shape), (None, *value.shape[1:]))
