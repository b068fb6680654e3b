"""Tables of different rows as one set of inputs, and back: pandas DataFrames by their index. Needs pandas."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_mopoe.datasets.arrays import as_rows
from tf_mopoe.inputs import FLAG

__all__ = ["align", "frames"]


def align(tables: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], Any]:
    """Join tables by their index: each row of any table is a row of the result.

    Args:
        tables: {name: DataFrame or Series} of numbers (bool and nullable ones too), each with an index without duplicates.
            Columns of classes are encoded before, by `likelihoods.Table`.

    Returns:
        inputs: {name: float32 [N, columns], has_<name>: flags}, for a `MultimodalVAE`. NaN is what is empty. Flags are
            bool [N], of rows, or, if a row that is there has empty cells, bool [N, columns], of cells.
        index: pandas Index of the N rows, in the order of their first appearance.

    Raises:
        ValueError: for what is no table of numbers, or an index with duplicates.
        ImportError: without pandas.
    """
    if not isinstance(tables, dict) or not tables:
        raise ValueError(f"`tables` must be a dict of one or more DataFrames. Received: {type(tables).__name__}")
    index = None
    for name, table in tables.items():
        if not hasattr(table, "iloc"):
            raise ValueError(f"`tables[{name!r}]` must be a DataFrame or a Series. Received: {type(table).__name__}")
        if not table.index.is_unique:
            first = table.index[table.index.duplicated()][0]
            raise ValueError(
                f"`tables[{name!r}]` must have an index without duplicates. Received: {first!r} twice or more"
            )
        index = table.index if index is None else index.append(table.index.difference(index, sort=False))
    inputs = {}
    for name, table in tables.items():
        array, _ = as_rows(name, table)
        joined = np.full((len(index), array.shape[1]), np.nan, np.float32)
        joined[index.get_indexer(table.index)] = array
        cells = ~np.isnan(joined)
        rows = cells.any(axis=1)
        inputs[name] = joined
        inputs[FLAG + name] = rows if cells[rows].all() else cells
    return inputs, index


def frames(arrays: Mapping[str, Any], tables: Mapping[str, Any], index: Any) -> dict[str, Any]:
    """Convert arrays of the aligned rows back to DataFrames with the tables' columns.

    Args:
        arrays: {name: [N, columns]}, such as `model.impute(inputs)` or its `std`; flags are left out.
        tables, index: what `align` was given and what it returned.

    Returns:
        {name: DataFrame}, each with all N rows.

    Raises:
        ValueError: for an array that does not fit its table.
    """
    import pandas

    result = {}
    for name, array in arrays.items():
        if name not in tables:
            continue
        table = tables[name].to_frame() if len(tables[name].shape) == 1 else tables[name]
        array = np.asarray(array)
        if array.shape != (len(index), table.shape[1]):
            raise ValueError(
                f"`arrays[{name!r}]` must have shape {(len(index), table.shape[1])}. Received: shape {array.shape}"
            )
        result[name] = pandas.DataFrame(array, index=index, columns=table.columns)
    return result
