"""Reading the dictionary of inputs: which modalities are given, for which rows, and whether they fit the model.

A modality that is not given is missing for every row; `has_<name>` (bool [B]) marks the rows that have it. What a
missing row holds is never looked at, NaN included.
"""

import numpy as np
import tensorflow as tf

FLAG = "has_"


def check(inputs, event_shapes, argument="inputs"):
    """Raises a ValueError unless `inputs` fits the modalities' shapes {name: E}; tensors and NumPy arrays, symbolic too.

    `argument` is its name in errors. Looks at names, types and static shapes only; `check_values` looks at the numbers.
    """
    if not isinstance(inputs, dict):
        raise ValueError(
            f"`{argument}` must be a dict of the modalities {list(event_shapes)} and flags has_<name>. "
            f"Received: {type(inputs).__name__}"
        )
    flags = {FLAG + name for name in event_shapes}
    unknown = sorted(str(key) for key in inputs if key not in event_shapes and key not in flags)
    if unknown:
        raise ValueError(
            f"`{argument}` may hold the modalities {list(event_shapes)} and their flags has_<name>. Received: {unknown}"
        )
    given = [name for name in event_shapes if name in inputs]
    if not given:
        raise ValueError(
            f"`{argument}` must hold at least one of the modalities {list(event_shapes)}. Received: {sorted(inputs)}"
        )
    for name in inputs:
        if isinstance(inputs[name], tf.Tensor) and inputs[name].shape.rank is None:
            raise ValueError(
                f"`{name}` must have a known rank: batch the data set; after `tf.numpy_function`, `tf.ensure_shape`. "
                "Received: a tensor of unknown shape"
            )
    for name in given:
        dtype, expected = dtype_of(inputs[name]), tuple(event_shapes[name])
        if dtype is None or not dtype.is_floating:
            received = f"no array, but {type(inputs[name]).__name__}" if dtype is None else f"dtype {dtype.name}"
            raise ValueError(
                f"`{name}` must be of a floating dtype (scale integer pictures first, as in x / 255). Received: {received}"
            )
        shape = static_shape(inputs[name])
        if len(shape) != len(expected) + 1 or any(a not in (None, b) for a, b in zip(shape[1:], expected)):
            raise ValueError(f"`{name}` must have shape {('rows', *expected)}. Received: shape {shape}")
    for name in event_shapes:
        if FLAG + name not in inputs:
            continue
        flag = inputs[FLAG + name]
        if name not in inputs:
            raise ValueError(
                f"`{FLAG}{name}` needs `{name}`, which is not among the inputs. Received: {sorted(inputs)}"
            )
        dtype = dtype_of(flag)
        if dtype != tf.bool or len(static_shape(flag)) != 1:
            received = "no array" if dtype is None else f"{dtype.name} with shape {static_shape(flag)}"
            raise ValueError(f"`{FLAG}{name}` must be bool with shape ('rows',). Received: {received}")
    rows = {key: static_shape(value)[0] for key, value in inputs.items()}
    if len({count for count in rows.values() if count is not None}) > 1:
        raise ValueError(f"All inputs must have the same number of rows. Received: {rows}")


def check_some(inputs):
    """Raises a ValueError for inputs without any row."""
    shapes = {key: static_shape(value) for key, value in inputs.items()}
    if any(shape[:1] == (0,) for shape in shapes.values()):
        raise ValueError(f"`inputs` must have one row or more. Received: shapes {shapes}")


def check_values(inputs, event_shapes, every_row=True):
    """Raises a ValueError for a row that has nothing (if `every_row`), or that holds NaN or infinity where present."""
    inputs = {key: np.asarray(value) for key, value in inputs.items()}
    some = np.zeros(len(next(iter(inputs.values()))), bool)
    for name in event_shapes:
        if name not in inputs:
            continue
        x = inputs[name]
        present = inputs.get(FLAG + name, np.ones(len(x), bool))
        some |= present
        # One pass: the sum is finite unless a number is not, in float32, to which the model casts it.
        with np.errstate(over="ignore", invalid="ignore"):
            sums = x.astype(np.float32, copy=False).sum(axis=tuple(range(1, x.ndim)), dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(sums) & present)
        if len(bad):
            raise ValueError(
                f"`{name}` must be finite in every row where it is present (mark missing rows with `{FLAG}{name}`). "
                f"Received: NaN or infinity in {len(bad)} such rows, the first of which is row {bad[0]}"
            )
    if every_row and not some.all():
        rows = np.flatnonzero(~some)
        raise ValueError(
            f"Every row must have at least one modality. Received: {len(rows)} rows with none, first row {rows[0]}"
        )


def present(inputs, event_shapes):
    """The rows that are there, of arrays: {name: NumPy [N, E]}."""
    arrays = {name: np.asarray(inputs[name]) for name in event_shapes if name in inputs}
    return {n: x[np.asarray(inputs[FLAG + n])] if FLAG + n in inputs else x for n, x in arrays.items()}


def read(inputs, event_shapes):
    """The given modalities as float32 with zeros in the missing rows, and which rows have them.

    Returns:
        x: {name: [B, E]}, in the order of `event_shapes`; available: {name: bool [B]}.
    """
    x, available = {}, {}
    for name, shape in event_shapes.items():
        if name not in inputs:
            continue
        value = tf.cast(inputs[name], tf.float32)
        if FLAG + name in inputs:
            flag = tf.convert_to_tensor(inputs[FLAG + name])
            value = tf.where(over(flag, value), value, 0.0)  # before the encoder: 0 * NaN is NaN
        else:
            flag = tf.ones(tf.shape(value)[:1], tf.bool)
        x[name], available[name] = tf.ensure_shape(value, (None, *shape)), flag
    return x, available


def over(flags, x):
    """Flags of rows [B] in the rank of x [B, E]."""
    return tf.reshape(flags, [-1] + [1] * (len(x.shape) - 1))


def static_shape(value):
    return tuple(value.shape)


def dtype_of(value):
    """The TensorFlow dtype of an array or a tensor; None for what is neither, or of objects."""
    if isinstance(value, tf.RaggedTensor | tf.SparseTensor | tf.IndexedSlices | np.ma.MaskedArray):  # a mask is no flag
        return None
    try:
        return tf.as_dtype(value.dtype)
    except (AttributeError, TypeError):
        return None
