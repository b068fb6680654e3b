"""The columns of a table of mixed kinds: their layout in one row of numbers, from pandas DataFrames and back."""

import numbers

import numpy as np

KINDS = ("number", "count", "share", "flag")


class Columns:
    """Named columns, each with a kind.

    Args:
        kinds: {name: kind}: one of `KINDS`, a list of classes (strings, integers, floats or bools), or anything else that
            `is_own` says is a kind.
        is_own: value -> bool.

    Raises:
        ValueError: for what is no such dict.
    """

    def __init__(self, kinds, is_own):
        if not isinstance(kinds, dict) or not kinds:
            raise ValueError(f"`columns` must be a dict of one or more columns. Received: columns={kinds!r}")
        self.kinds = {name: checked_kind(name, kind, is_own) for name, kind in kinds.items()}
        self.slices, start = {}, 0
        for name, kind in self.kinds.items():
            self.slices[name] = slice(start, start + width_of(kind))
            start += width_of(kind)
        self.width = start

    def groups(self):
        """[(kind, names)]: the columns whose densities are computed together, classes by their number."""
        groups = {}
        for name, kind in self.kinds.items():
            key = kind if isinstance(kind, str) else len(kind) if isinstance(kind, tuple) else ("own", name)
            groups.setdefault(key, (kind, []))[1].append(name)
        return list(groups.values())

    def cells(self, names):
        """The numbers of a row that hold some columns, int [n]."""
        return np.concatenate([np.arange(self.width)[self.slices[name]] for name in names])

    def labels(self):
        """One for each number of a row."""
        labels = []
        for name, kind in self.kinds.items():
            labels += [f"{name}={label}" for label in kind] if isinstance(kind, tuple) else [name]
        return labels

    def encode(self, frame):
        """Encode a DataFrame of these columns as one of `width` float32 columns with the same index."""
        pandas = import_pandas()
        if not isinstance(frame, pandas.DataFrame):
            raise ValueError(f"`frame` must be a pandas DataFrame. Received: {type(frame).__name__}")
        missing = [name for name in self.kinds if name not in frame.columns]
        if missing:
            raise ValueError(f"`frame` must have the columns {list(self.kinds)}. Received: a frame without {missing}")
        values = np.full((len(frame), self.width), np.nan, np.float32)
        for name, kind in self.kinds.items():
            own = encode_classes if isinstance(kind, tuple) else encode_numbers
            values[:, self.slices[name]] = own(name, frame[name], kind)
        return pandas.DataFrame(values, index=frame.index, columns=self.labels())

    def decode(self, array, index=None):
        """Invert `encode`: [N, width] -> DataFrame."""
        pandas = import_pandas()
        index = array.index if index is None and hasattr(array, "index") else index
        array = np.asarray(array)
        if array.ndim != 2 or array.shape[1] != self.width:
            raise ValueError(f"`array` must have shape ('rows', {self.width}). Received: shape {array.shape}")
        decoded = {name: decode_column(array[:, part], self.kinds[name]) for name, part in self.slices.items()}
        index = pandas.RangeIndex(len(array)) if index is None else index
        return pandas.DataFrame({name: series.set_axis(index) for name, series in decoded.items()}, index=index)


def kinds_of(frame, counts=(), shares=()):
    """Return {name: kind} of a DataFrame's columns, see `Table.of`."""
    pandas = import_pandas()
    if not isinstance(frame, pandas.DataFrame) or not frame.columns.is_unique:
        raise ValueError(f"`frame` must be a DataFrame with one column of each name. Received: {type(frame).__name__}")
    asked = {}
    for argument, kind, names in (("counts", "count", counts), ("shares", "share", shares)):
        unknown = [name for name in names if name not in frame.columns]
        if isinstance(names, str) or unknown:
            raise ValueError(f"`{argument}` must be a list of columns of the frame. Received: {argument}={names!r}")
        asked |= dict.fromkeys(names, kind)
    return {name: asked.get(name) or kind_of(name, frame[name]) for name in frame.columns}


def kind_of(name, series):
    """Return "flag", "number" or the classes of a column, by its type and, for Python objects, by its values."""
    types = import_pandas().api.types
    if isinstance(series.dtype, import_pandas().CategoricalDtype):
        classes = series.dtype.categories.tolist()
    elif types.is_bool_dtype(series.dtype):
        return "flag"
    elif types.is_numeric_dtype(series.dtype) and not types.is_complex_dtype(series.dtype):
        return "number"
    elif types.is_object_dtype(series.dtype) or types.is_string_dtype(series.dtype):
        classes = series.dropna().unique().tolist()
        if classes and all(isinstance(label, bool | np.bool_) for label in classes):  # beside empty ones
            return "flag"
        if classes and all(isinstance(label, numbers.Real) and not isinstance(label, bool) for label in classes):
            return "number"
        classes = sorted(
            classes, key=lambda label: (type(label).__name__, label if isinstance(label, str) else repr(label))
        )
    else:
        raise ValueError(
            f"`frame[{name!r}]` must hold numbers, bools, strings or categories. Received: dtype {series.dtype}"
        )
    if not classes:
        raise ValueError(f"`frame[{name!r}]` must have a value, for its kind to be seen. Received: none")
    return classes


def checked_kind(name, kind, is_own):
    """Check a kind: one of `KINDS`, a tuple of classes, or a user's own."""
    if (isinstance(kind, str) and kind in KINDS) or is_own(kind):
        return kind
    if not isinstance(kind, str | dict | bytes) and hasattr(kind, "__iter__"):
        classes = tuple(label.item() if isinstance(label, np.generic) else label for label in kind)
        simple = all(isinstance(label, str | int | float) for label in classes)
        if classes and simple and len(set(classes)) == len(classes):
            return classes
    raise ValueError(
        f"`columns[{name!r}]` must be {', '.join(map(repr, KINDS))}, a list of different classes (strings or numbers) or a "
        f"likelihood. Received: {kind!r}"
    )


def width_of(kind):
    return len(kind) if isinstance(kind, tuple) else 1


def encode_numbers(name, series, kind):
    """Encode numbers as [N, 1], NaN where a cell is empty."""
    try:
        values = series.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`frame[{name!r}]` must hold numbers. Received: dtype {series.dtype}, {error}") from error
    if kind == "flag" and not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        received = values[~np.isnan(values) & ~np.isin(values, (0.0, 1.0))][0]
        raise ValueError(f"`frame[{name!r}]` must hold True and False, or 1 and 0. Received: {received:g}")
    return values[:, None]


def encode_classes(name, series, classes):
    """Encode classes as one-hot [N, C], NaN where a cell is empty."""
    pandas = import_pandas()
    codes = pandas.Index(classes).get_indexer(pandas.Index(series.astype(object)))
    empty = series.isna().to_numpy(bool)
    unknown = np.flatnonzero((codes < 0) & ~empty)
    if len(unknown):
        raise ValueError(
            f"`frame[{name!r}]` must hold one of the classes {list(classes)}. Received: {series.iloc[unknown[0]]!r}"
        )
    one_hot = np.eye(len(classes), dtype=np.float32)[codes]
    one_hot[empty] = np.nan
    return one_hot


def decode_column(values, kind):
    """Decode [N, width] to a Series. NaN is empty; where some are, flags and counts have pandas' nullable types."""
    pandas = import_pandas()
    empty = np.isnan(values).any(axis=1)
    if isinstance(kind, tuple):
        codes = np.where(empty, -1, np.where(np.isnan(values), 0.0, values).argmax(axis=1))
        return pandas.Series([None if code < 0 else kind[code] for code in codes], dtype=None if len(codes) else object)
    values = values[:, 0]
    if kind not in ("flag", "count"):
        return pandas.Series(values)
    exact, nullable = (bool, "boolean") if kind == "flag" else (np.int64, "Int64")
    filled = np.where(empty, 0.0, values)
    made = pandas.Series(filled >= 0.5 if kind == "flag" else np.round(filled).astype(exact))
    return made.astype(nullable).mask(empty) if empty.any() else made


def import_pandas():
    try:
        import pandas
    except ImportError as error:
        raise ImportError("tables of mixed columns need pandas: pip install tf_mopoe[tables]") from error
    return pandas
