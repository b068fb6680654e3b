"""A batch of rows: x of each modality, and which rows have it. Missing values reach no network."""

import math
from typing import NamedTuple

import tensorflow as tf

from tf_mopoe.inputs import FLAG
from tf_mopoe.network_losses import call_with_losses


class Batch(NamedTuple):
    """The modalities that are given, in the model's order.

    Where `complete` says that every row has a modality, its `available` is all True.
    """

    x: dict  # {name: [B, E]}; anything in the rows that lack it, NaN included
    available: dict  # {name: bool [B]}
    complete: frozenset  # names of the modalities given without a flag
    static: bool = False  # whether shapes must not depend on the flags, as XLA needs it
    cells: frozenset = frozenset()  # names of the modalities in which NaN is a missing cell
    network_inputs: dict = {}  # {name: [B, ...]}, what encoders read of x

    @property
    def names(self):
        return tuple(self.available)

    @property
    def count(self):
        """Return the number of modalities of each row: float [B]."""
        return tf.add_n([tf.cast(available, tf.float32) for available in self.available.values()])

    def select(self, names):
        """Return the same rows, of some modalities only."""
        parts = (self.x, self.available, self.network_inputs)
        x, available, network_inputs = ({n: v for n, v in part.items() if n in names} for part in parts)
        return self._replace(x=x, available=available, network_inputs=network_inputs)

    def mask(self, flags):
        """Return the same rows without the modalities whose flag, {name: bool [] or [B]}, is False."""
        available = {name: available & flags[name] for name, available in self.available.items()}
        return self._replace(available=available, complete=frozenset())

    def repeat(self, name, times):
        """Repeat the rows of one modality `times` times: B * times rows."""
        x, available = self.x[name], self.available[name]
        x = tf.tile(x, [times, *[1] * (len(x.shape) - 1)])
        return self._replace(x={name: x}, available={name: tf.tile(available, [times])}, network_inputs={})

    def observed(self, name, x):
        """Return which cells of rows x [B', E] of a modality are there, bool [B', E]; None: all."""
        return ~tf.math.is_nan(x) if name in self.cells else None

    def take_rows(self, index):
        """Return the batch whose row i has modality m of row index[m][i]: {name: int [B]}; the modalities not named stay."""

        def take(values):
            return {name: tf.gather(value, index[name]) if name in index else value for name, value in values.items()}

        parts = self.x, self.available, self.network_inputs
        x, available, network_inputs = map(take, parts)
        return self._replace(x=x, available=available, network_inputs=network_inputs)

    def on_available(self, names, layer, function, values, empty):
        """Run a layer on the rows that have all of some modalities, and on no other.

        For a batch without such a row it is not run at all, so that nothing else (batch statistics, losses, random numbers)
        is changed. It sees a batch of just these rows: each counts once. If the batch is `static` it sees B rows, where rows
        that are there stand in for the others, in turn.

        Args:
            names: of the modalities.
            layer: what the function runs.
            function: (values of n rows, some) -> nest of tensors [n, ...]; `some` is None, or a bool [] that is False where
                the values are of no use, being those of a batch without such a row.
            values: nest of tensors [B, ...].
            empty: what the function returns for no rows.

        Returns:
            The function's nest with zeros in all other rows, [B, ...]; and the sum of the losses that the layer added, [].
        """
        flagged = [name for name in names if name not in self.complete]
        if not flagged:
            return call_with_losses(layer, lambda: function(values, None))
        has = self.available[flagged[0]]
        for name in flagged[1:]:
            has &= self.available[name]
        some = tf.reduce_any(has)
        if self.static:
            return static_call(layer, function, values, has, some)
        index = tf.where(has)[:, 0]
        rows = tf.shape(has, tf.int64)[0]
        there = tf.nest.map_structure(lambda value: gather_rows(value, index), values)
        of_rows, loss = tf.cond(
            some, lambda: call_with_losses(layer, lambda: function(there, None)), lambda: (empty, tf.zeros([]))
        )
        return tf.nest.map_structure(lambda value: scatter_rows(value, index, rows), of_rows), loss


def static_call(layer, function, values, has, some):
    """Run `Batch.on_available` with shapes that do not depend on the flags `has`, bool [B], and without a branch."""
    index = stand_ins(has)
    values = tf.nest.map_structure(lambda value: tf.where(some, gather_rows(value, index), zero(value)), values)
    before = [(variable, tf.convert_to_tensor(variable)) for variable in layer.non_trainable_variables]
    of_rows, loss = call_with_losses(layer, lambda: function(values, some))
    for variable, value in before:
        variable.assign(tf.where(some, tf.convert_to_tensor(variable), value))
    of_rows = tf.nest.map_structure(lambda value: tf.where(expand_mask(has, value), value, zero(value)), of_rows)
    return of_rows, tf.where(some, loss, 0.0)


EMPTY = Batch({}, {}, frozenset())


def complete(network_inputs):
    """Return the `Batch` of rows that have all modalities, of the networks' inputs: {name: [B, ...]}."""
    rows = tf.shape(next(iter(network_inputs.values())))[:1]
    available = {name: tf.ones(rows, tf.bool) for name in network_inputs}
    return Batch(network_inputs, available, frozenset(available), network_inputs=network_inputs)


def read(inputs, specs, static=False):
    """Return the `Batch` of a dict of inputs.

    Args:
        inputs: as of `inputs.check_inputs`.
        specs: {name: `inputs.Spec`} of all modalities of the model, in order.
        static: see `Batch`.
    """
    x, available, complete = {}, {}, []
    for name, spec in specs.items():
        if name not in inputs:
            continue
        value = inputs[name]
        value = tf.sparse.to_dense(value) if isinstance(value, tf.SparseTensor) else value
        flag = tf.cast(inputs[FLAG + name], tf.bool) if FLAG + name in inputs else None
        value = tf.cast(value, spec.dtype)
        if flag is not None and len(flag.shape) == 1:  # what is missing may be NaN: no further
            value = tf.where(tf.reshape(flag, [-1] + [1] * len(spec.shape)), value, zero(value))
        value = tf.ensure_shape(value, (None, *spec.shape))
        if spec.cells:
            if flag is not None and len(flag.shape) > 1:
                value, flag = tf.where(flag, value, math.nan), None
            some = tf.reduce_any(~tf.math.is_nan(value), axis=list(range(1, len(value.shape))))
            available[name] = some if flag is None else some & flag
        elif flag is not None:
            available[name] = flag
        else:
            available[name] = tf.ones(tf.shape(value)[:1], tf.bool)
            complete.append(name)
        x[name] = value
    cells = frozenset(name for name in x if specs[name].cells)
    return Batch(x, available, frozenset(complete), static, cells)


@tf.custom_gradient
def gather_rows(value, index):
    """Gather value[index], with a dense gradient: [B, ...], int64 [n] -> [n, ...]."""
    rows = tf.shape(value, tf.int64)[0]
    return tf.gather(value, index), lambda upstream: (scatter_rows(upstream, index, rows), None)


def scatter_rows(value, index, rows):
    """Scatter [n, ...] to the rows `index`, int64 [n], of zeros [rows, ...]."""
    shape = tf.concat([[rows], tf.shape(value, tf.int64)[1:]], axis=0)
    return tf.ensure_shape(tf.scatter_nd(index[:, None], value, shape), (None, *value.shape[1:]))


def stand_ins(has):
    """Return each row's number if it is there, else that of one that is, all of them in turn: bool [B] -> int64 [B]."""
    there = tf.cast(has, tf.int64)
    order = tf.argsort(1 - there, stable=True)  # those that are there first
    turn = tf.math.floormod(tf.cumsum(1 - there) - 1, tf.maximum(tf.reduce_sum(there), 1))
    return tf.where(has, tf.range(tf.shape(has, tf.int64)[0]), tf.cast(tf.gather(order, tf.maximum(turn, 0)), tf.int64))


def zero(value):
    return tf.zeros([], value.dtype)


def expand_mask(has, value):
    """Expand flags of rows [B] to the rank of a value [B, ...]."""
    return tf.reshape(has, [-1] + [1] * (len(value.shape) - 1))
