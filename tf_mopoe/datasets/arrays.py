"""Arrays of any kind as rows of numbers: NumPy, pandas, SciPy's and TensorFlow's sparse ones, masked ones, lists.

Nothing large is copied here: only the rows of a batch are read.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

KINDS = "fiub"  # NumPy's: floating, integers, unsigned ones, bool


class SparseRows:
    """The rows of a sparse matrix [N, E], made dense on demand.

    Args:
        matrix: of SciPy, in any format, or a `tf.SparseTensor` of rank 2.
    """

    def __init__(self, matrix: Any):
        if isinstance(matrix, tf.SparseTensor):
            rows, self.indices = (part.numpy() for part in tf.unstack(tf.sparse.reorder(matrix).indices, axis=1))
            self.data, self.shape = matrix.values.numpy(), tuple(matrix.dense_shape.numpy().tolist())
            self.starts = np.searchsorted(rows, np.arange(self.shape[0] + 1))
        else:
            matrix = matrix.tocsr()
            matrix.sum_duplicates()
            self.data, self.indices, self.starts = matrix.data, matrix.indices, matrix.indptr
            self.shape = tuple(matrix.shape)
        self.dtype = self.data.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | ArrayLike) -> np.ndarray:
        """NumPy [n, E] of a slice or of row numbers."""
        rows = np.arange(len(self))[rows]
        result = np.zeros((len(rows), self.shape[1]), self.dtype)
        for place, row in enumerate(rows):
            part = slice(self.starts[row], self.starts[row + 1])
            result[place, self.indices[part]] = self.data[part]
        return result


def is_symbolic(value):
    """Return whether it is a symbolic tensor: one of a graph that is being traced, without values yet."""
    return tf.is_symbolic_tensor(value) if tf.is_tensor(value) else type(value).__name__ == "KerasTensor"


def as_rows(name, value):
    """Return rows of numbers, NumPy or `SparseRows`, and the flags that go with them or None.

    Args:
        name: of the modality, for errors.
        value: what was given.

    Returns:
        array: [N, E] of any number type, of which rows and slices can be taken; NaN where a cell is empty or masked.
        has: bool [N], False in the rows that are all empty; None where nothing can be (plain arrays).

    Raises:
        ValueError: for what has no reading as numbers, with what to write instead.
    """
    if isinstance(value, tf.RaggedTensor):
        raise wrong(
            name, "a ragged tensor", "pad its rows to one length, value.to_tensor(), with a padding id for Tokens"
        )
    if isinstance(value, tf.SparseTensor) or hasattr(value, "tocsr"):
        return SparseRows(value), None
    if isinstance(value, dict | str | bytes) or value is None:
        raise wrong(name, type(value).__name__, "give an array, with rows along its first axis")
    if hasattr(value, "iloc"):
        return of_frame(name, value)
    if isinstance(value, np.ma.MaskedArray):
        return of_masked(name, value)
    try:
        array = np.asarray(value)
    except Exception as error:  # of any class: arrays of other libraries raise their own
        raise wrong(name, f"{type(value).__name__}, {error}", "give rows of one length") from error
    return checked(name, array), None


def checked(name, array):
    if array.dtype.kind not in KINDS:
        if array.dtype.kind in "OUS":
            remedy = (
                "encode classes as one-hot or integers (likelihoods.Table does it for DataFrames), tokens as integers"
            )
        else:
            remedy = "convert it to numbers"
        raise wrong(name, f"dtype {array.dtype}", remedy)
    return array


def of_frame(name, frame):
    """Convert a DataFrame or Series: numeric, bool or nullable columns; empty cells become NaN."""
    frame = frame.to_frame() if len(frame.shape) == 1 else frame
    bad = [str(column) for column, dtype in frame.dtypes.items() if getattr(dtype, "kind", "O") not in KINDS]
    if bad:
        more = "" if len(bad) <= 5 else f" and {len(bad) - 5} more"
        raise wrong(
            name,
            f"a DataFrame with columns of other kinds: {bad[:5]}{more}",
            "encode it by likelihoods.Table.of(frame), or leave these columns out",
        )
    array = frame.to_numpy(dtype=np.float32, na_value=np.nan)
    return array, ~np.isnan(array).all(axis=1)


def of_masked(name, masked):
    """Convert a masked array: masked cells become NaN."""
    array = checked(name, np.ma.getdata(masked))
    mask = np.ma.getmaskarray(masked)
    if not mask.any():
        return array, None
    array = np.where(mask, np.nan, array.astype(np.float32, copy=False)).astype(np.float32, copy=False)
    return array, ~mask.all(axis=tuple(range(1, mask.ndim)))


def as_flags(name, value, shape):
    """Convert flags to bool [N] or [N, E]: from bool, or from numbers 0 and 1.

    Args:
        name: of the modality.
        value: what was given.
        shape: of the modality's array, [N, E].

    Raises:
        ValueError: for other values or shapes.
    """
    expected = f"`has_{name}` must be bool, or 0 and 1, with shape ('rows',) or, for cells, that of `{name}`"
    try:
        if hasattr(value, "iloc"):
            value = value.to_numpy(dtype=np.float32, na_value=np.nan)
        flags = np.asarray(value)
    except Exception as error:
        raise ValueError(f"{expected}. Received: {type(value).__name__}, {error}") from error
    if flags.dtype.kind not in KINDS:
        raise ValueError(f"{expected}. Received: {type(value).__name__} of dtype {flags.dtype}")
    if flags.ndim != 1 and flags.shape != tuple(shape):
        raise ValueError(f"{expected}. Received: shape {flags.shape}")
    if flags.dtype != bool:
        if not np.isin(flags, (0, 1)).all():
            raise ValueError(f"{expected}. Received: {flags[~np.isin(flags, (0, 1))][0]!r}, for example")
        flags = flags.astype(bool)
    return flags


def wrong(name, received, remedy):
    return ValueError(f"`{name}` must be an array of numbers: {remedy}. Received: {received}")
