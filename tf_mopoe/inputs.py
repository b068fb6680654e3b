"""Reading the dictionary of inputs: which modalities are given, for which rows and cells, and whether they fit the model.

A modality that is not given is missing for every row; `has_<name>` marks the rows, [B], or the cells, [B, E], that are
there. What a missing row or cell holds is never looked at, NaN included.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_mopoe.datasets.arrays import KINDS, as_flags, as_rows, is_symbolic
from tf_mopoe.datasets.rows import Rows

FLAG = "has_"
CHUNK = 2**24  # numbers that are looked at in one go


class Spec(NamedTuple):
    """The shape and dtype of one modality's input, and whether cells may be missing."""

    shape: tuple  # E
    dtype: str = "float32"  # of x in a batch, or "int32"
    cells: bool = False  # whether single cells may be missing


def check_inputs(inputs, specs, argument="inputs"):
    """Raise a ValueError unless `inputs` fits the modalities, {name: `Spec`}: tensors, of a graph too, and arrays.

    `argument` is its name in errors. Looks at names, types and static shapes only; `check_values` looks at the numbers.
    """
    check_names(inputs, specs, argument)
    for name in (name for name in specs if name in inputs):
        value, expected = inputs[name], tuple(specs[name].shape)
        if getattr(value, "shape", None) is None or (isinstance(value, tf.Tensor) and value.shape.rank is None):
            raise ValueError(
                f"`{name}` must have a known rank: batch the data set; after `tf.numpy_function`, `tf.ensure_shape`. "
                f"Received: {type(value).__name__} of unknown shape"
            )
        if isinstance(value, tf.RaggedTensor) or kind_of(value) not in KINDS:
            raise ValueError(f"`{name}` must be an array of numbers. Received: dtype {value.dtype}")
        shape = static_shape(value)
        if len(shape) != len(expected) + 1 or any(a not in (None, b) for a, b in zip(shape[1:], expected)):
            raise ValueError(f"`{name}` must have shape {('rows', *expected)}. Received: shape {shape}")
        if FLAG + name in inputs:
            check_flag(name, inputs[FLAG + name], expected, specs[name].cells)
    rows = {key: static_shape(value)[0] for key, value in inputs.items()}
    if len({count for count in rows.values() if count is not None}) > 1:
        raise ValueError(f"All inputs must have the same number of rows. Received: {rows}")


def check_names(inputs, names, argument="inputs"):
    """Raise a ValueError unless `inputs` is a dict of some of the modalities and their flags."""
    if not isinstance(inputs, dict):
        raise ValueError(
            f"`{argument}` must be a dict of the modalities {list(names)} and flags has_<name>. "
            f"Received: {type(inputs).__name__}"
        )
    flags = {FLAG + name for name in names}
    unknown = sorted(str(key) for key in inputs if key not in names and key not in flags)
    if unknown:
        raise ValueError(
            f"`{argument}` may hold the modalities {list(names)} and their flags has_<name>. Received: {unknown}"
        )
    if not any(name in inputs for name in names):
        raise ValueError(
            f"`{argument}` must hold at least one of the modalities {list(names)}. Received: {sorted(inputs, key=str)}"
        )
    for name in names:
        if FLAG + name in inputs and name not in inputs:
            raise ValueError(
                f"`{FLAG}{name}` needs `{name}`, which is not among the inputs. Received: {sorted(inputs, key=str)}"
            )


def check_flag(name, flag, expected, cells):
    shape = getattr(flag, "shape", None)
    shape = None if shape is None or getattr(shape, "rank", 0) is None else tuple(shape)
    if shape is None or kind_of(flag) not in KINDS or len(shape) not in (1, len(expected) + 1):
        received = "no array" if shape is None else f"{flag.dtype} with shape {shape}"
        raise ValueError(
            f"`{FLAG}{name}` must be bool with shape ('rows',) or, for cells, that of `{name}`. Received: {received}"
        )
    if len(shape) > 1 and not cells:
        raise ValueError(
            f"`{FLAG}{name}` may mark cells only if the encoder reads which are there: GaussianEncoder(..., cells=True). "
            f"Received: flags of shape {shape}"
        )


def read_arrays(inputs, specs, argument="inputs"):
    """Return the inputs as arrays {name: NumPy or `SparseRows` [N, E]} and flags {has_<name>: bool}, after `check_inputs`.

    What is a tensor of a graph stays as it is. Raises a ValueError for what does not fit.
    """
    check_names(inputs, specs, argument)
    if any(map(is_symbolic, inputs.values())):
        check_inputs(inputs, specs, argument)
        return inputs
    arrays = {}
    for name in (name for name in specs if name in inputs):
        array, has = as_rows(name, inputs[name])
        if len(array.shape) == 1 and specs[name].shape == (1,):
            array = np.asarray(array)[:, None]
        arrays[name] = array
        if FLAG + name in inputs:
            flags = as_flags(name, inputs[FLAG + name], array.shape)
            has = flags if has is None or len(has) != len(flags) else flags & has.reshape([-1] + [1] * (flags.ndim - 1))
        if has is not None and not (FLAG + name not in inputs and has.all()):
            arrays[FLAG + name] = has
    check_inputs(arrays, specs, argument)
    return arrays


def check_not_empty(inputs):
    """Raise a ValueError for inputs without any row."""
    shapes = {key: static_shape(value) for key, value in inputs.items()}
    if any(shape[:1] == (0,) for shape in shapes.values()):
        raise ValueError(f"`inputs` must have one row or more. Received: shapes {shapes}")


def check_values(arrays, specs, every_row=True, supports=None):
    """Raise a ValueError for a row that has nothing (if `every_row`), or for values that are not allowed.

    NaN and infinity where something is there (NaN is no value, but a missing cell, where `Spec.cells`), and what is
    outside the support.

    Args:
        arrays: as `read_arrays` returns them.
        specs: {name: `Spec`}.
        every_row: see above.
        supports: {name: `Likelihood.check`}. Default: not looked at.
    """
    count = len(next(iter(arrays.values())))
    if any(static_shape(value)[0] is None for value in arrays.values()):
        return
    some = np.zeros(count, bool)
    for name in (name for name in specs if name in arrays):
        row_size = max(int(np.prod(arrays[name].shape[1:])), 1)
        size = max(CHUNK // row_size, 1)
        flags = arrays.get(FLAG + name)
        for start in range(0, count, size):
            part = slice(start, start + size)
            x = np.asarray(arrays[name][part])
            flag = None if flags is None else np.asarray(flags[part])
            some[part] |= check_rows(name, x, flag, specs[name], start, (supports or {}).get(name))
    if every_row and not some.all():
        rows = np.flatnonzero(~some)
        raise ValueError(
            f"Every row must have at least one modality. Received: {len(rows)} rows with none, first row {rows[0]}"
        )


def check_rows(name, x, flag, spec, start, support):
    """Check the values of rows of one modality; return which of them have it, bool [n]."""
    axes = tuple(range(1, x.ndim))
    # In one pass: a sum is finite unless a number is not, in float32, to which the model casts it.
    with np.errstate(over="ignore", invalid="ignore"):
        floats = x.astype(np.float32, copy=False) if x.dtype.kind == "f" else x
        finite = np.isfinite(floats.sum(axis=axes, dtype=np.float64))
    observed = None
    if spec.cells and (not finite.all() or (flag is not None and flag.ndim > 1)):
        observed = ~np.isnan(floats) if flag is None or flag.ndim == 1 else flag & ~np.isnan(floats)
        finite = np.isfinite(np.where(observed, floats, 0.0)).all(axis=axes)
    present = np.ones(len(x), bool) if observed is None else observed.any(axis=axes)
    present = present & flag if flag is not None and flag.ndim == 1 else present
    bad = np.flatnonzero(~finite & present)
    if len(bad):
        remedy = "" if spec.cells else ", single cells by GaussianEncoder(..., cells=True)"
        raise ValueError(
            f"`{name}` must be finite in every row where it is present (mark missing rows with `{FLAG}{name}`{remedy}). "
            f"Received: NaN or infinity in {len(bad)} such rows, the first of which is row {start + bad[0]}"
        )
    if support is not None:
        support(name, x[present], None if observed is None else observed[present])
    return present


def dense(arrays):
    """Convert the arrays to NumPy, all rows: for inputs that fit in memory."""
    return {key: value[:] if hasattr(value, "starts") else value for key, value in arrays.items()}


def batches(inputs, specs, batch_size):
    """Yield dicts of NumPy arrays or tensors, of inputs of any kind.

    Args:
        inputs: dict of arrays, `Rows`, a `tf.data.Dataset`, a `keras.utils.PyDataset` or any iterable of such dicts (of
            whose elements each is a batch).
        specs: {name: `Spec`}.
        batch_size: rows at a time, of a dict or of `Rows`.
    """
    if isinstance(inputs, dict):
        arrays = read_arrays(inputs, specs)
        check_not_empty(arrays)
        rows = [slice(start, start + batch_size) for start in range(0, len(next(iter(arrays.values()))), batch_size)]
        parts = ({key: value[part] for key, value in arrays.items()} for part in rows)
        yield from parts if len(rows) > 1 else [dense(arrays)]
    elif isinstance(inputs, Rows):
        yield from (inputs[start : start + batch_size] for start in range(0, len(inputs), batch_size))
    elif hasattr(inputs, "__getitem__") and hasattr(inputs, "num_batches"):  # a PyDataset
        yield from (first(inputs[number]) for number in range(inputs.num_batches))
    elif hasattr(inputs, "__iter__") and not isinstance(inputs, list | tuple | np.ndarray | tf.Tensor | str | bytes):
        yield from map(first, inputs)
    else:
        check_names(inputs, specs)


def first(element):
    """Return the inputs of a data set's element, (inputs,) or inputs."""
    return element[0] if isinstance(element, tuple | list) and len(element) == 1 else element


def static_shape(value):
    return tuple(value.shape)


def kind_of(value):
    """Return NumPy's letter for the kind of numbers; "O" for anything else."""
    try:
        return np.dtype(getattr(value.dtype, "as_numpy_dtype", value.dtype)).kind if value.dtype != "bfloat16" else "f"
    except (AttributeError, TypeError):
        return "O"
