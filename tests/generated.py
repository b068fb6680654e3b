"""Strategies of generated inputs: values of every kind that a caller may hand over, and whether they are documented ones."""

from typing import Any, NamedTuple

import keras
import numpy as np
import pandas
import small
import tensorflow as tf
from hypothesis import strategies as st

HUGE = float(np.finfo(np.float32).max)


class Value(NamedTuple):
    """What is given for a modality, and what it holds as an array [B, E]; None if it is not a documented kind."""

    given: Any
    array: Any


def odd_kinds(x):
    """The array x as what no method takes."""
    flat = x.reshape(len(x), int(np.prod(x.shape[1:])))
    ragged = tf.RaggedTensor.from_tensor(flat)
    kinds = {
        "None": None,
        "text": "x",
        "number": 1.0,
        "dict": {"x": x},
        "set": {1.0},
        "object": object(),
        "generator": (row for row in x),
        "ragged list": [[1.0], [1.0, 2.0]],
        "ragged tensor": ragged,
        "tensor of text": tf.constant(["x"] * len(x)),
        "data set": tf.data.Dataset.from_tensor_slices(x),
    }
    for dtype in (complex, object, "U3", "S3", "datetime64[s]"):
        kinds[f"array of {dtype}"] = np.zeros(x.shape, dtype)
    return kinds


def other_kinds(x):
    """The array x as other documented kinds, of numbers that a word too may have."""
    kinds = {
        "list": x.tolist(),
        "tuple": tuple(x.tolist()),
        "masked array": np.ma.masked_array(x, mask=np.zeros(x.shape, bool)),
        "other bytes": x.astype(">f8"),
    }
    for dtype in (int, np.uint8, bool):
        kinds[f"array of {dtype}"] = np.round(np.abs(x)).astype(dtype)
    if x.ndim == 2:
        kinds["sparse tensor"] = tf.sparse.from_dense(x)
        kinds["table"] = pandas.DataFrame(x)
    return {name: kind for name, kind in kinds.items() if len(x) or name not in ("list", "tuple")}


def odd_shapes(x):
    return {
        "no axis": np.float32(1.0),
        "empty": np.zeros((0,), np.float32),
        "one axis": x.ravel(),
        "one axis more": x[..., None],
        "one axis less": x[0] if len(x) else x[..., 0],
        "one column more": np.concatenate([x, x[..., :1]], axis=-1),
        "one row more": np.concatenate([x, x[:1]]),
        "turned": np.moveaxis(x, 0, -1),
    }


@st.composite
def modality(draw, name, rows):
    x = small.rows(rows, (name,), seed=draw(st.integers(0, 3)))[name]
    kind = draw(st.sampled_from(["good"] * 6 + ["number", "kind", "shape", "other"]))
    if kind == "other":
        others = other_kinds(x)
        given = others[draw(st.sampled_from(sorted(others)))]
        return Value(
            given, tf.sparse.to_dense(given).numpy() if isinstance(given, tf.SparseTensor) else np.asarray(given)
        )
    if kind == "kind":
        odd = odd_kinds(x)
        return Value(odd[draw(st.sampled_from(sorted(odd)))], None)
    if kind == "shape":
        odd = odd_shapes(x)
        given = odd[draw(st.sampled_from(sorted(odd)))]
        return Value(given, np.asarray(given) if np.shape(given)[1:] == x.shape[1:] and np.ndim(given) else None)
    x = x.astype(draw(st.sampled_from([np.float16, np.float32, np.float64])))
    if kind == "number" and x.size:
        x = x.copy()
        # Not -1e6: a network may make a scale of infinity of it, and no posterior. A word has to stay one-hot.
        within = [] if name == "word" else [0.0, -30.0, 1e-40]
        number = draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e39, *within]))
        with np.errstate(over="ignore"):
            x.reshape(-1)[draw(st.integers(0, x.size - 1))] = number
    wrap = draw(st.sampled_from([np.asarray, np.asfortranarray, tf.constant, tf.Variable, keras.ops.convert_to_tensor]))
    return Value(wrap(x), x)


@st.composite
def flag(draw, rows):
    x = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)), bool)
    kind = draw(st.sampled_from(["good"] * 5 + ["odd"]))
    if kind == "good":
        return Value(draw(st.sampled_from([np.asarray, tf.constant]))(x) if rows else x, x)
    odd = [
        x.tolist(),
        x.astype(float),
        x.astype(int),
        x[:, None],
        None,
        "x",
        True,
        np.append(x, True),
        x.astype(object),
    ]
    given = draw(st.sampled_from(odd))
    fits = (
        np.ndim(given) == 1 and given is not None and not isinstance(given, str) and np.asarray(given).dtype != object
    )
    return Value(given, np.asarray(given, bool) if fits else None)


KEYS = [None, 3, "smell", "has_smell", "", ("image",), "IMAGE", "has_has_image", b"image", np.str_("image")]


@st.composite
def inputs(draw):
    """(dict, whether it is documented input or None for no rows at all, whether every row has something)."""
    rows = draw(st.sampled_from([3, 3, 3, 2, 1, 0]))
    names = draw(st.lists(st.sampled_from(sorted(small.SHAPES)), unique=True))
    values = {name: draw(modality(name, rows)) for name in names}
    flags = {f"has_{name}": draw(flag(rows)) for name in names if draw(st.booleans())}
    if draw(st.integers(0, 9)) == 0:
        lacking = [f"has_{name}" for name in small.SHAPES if name not in names]
        flags |= {key: draw(flag(rows)) for key in lacking[:1]}
    given = {key: value.given for key, value in (values | flags).items()}
    extra = draw(st.sampled_from(KEYS)) if draw(st.integers(0, 9)) == 0 else "image"
    if extra not in small.SHAPES:
        given[extra] = np.zeros((rows, 2), np.float32)
    fits, whole = documented({**values}, {**flags})
    return given, set(given) == set(values) | set(flags) and fits, whole


def documented(values, flags):
    """Whether these are documented inputs, and every row has something."""
    arrays = [value.array for value in (values | flags).values()]
    if not values or any(x is None for x in arrays) or len({len(x) for x in arrays}) > 1:
        return False, False
    if {key.removeprefix("has_") for key in flags} - set(values):
        return False, False
    if not len(arrays[0]):
        return None, True
    some = np.zeros(len(arrays[0]), bool)
    for name, value in values.items():
        there = flags[f"has_{name}"].array if f"has_{name}" in flags else np.ones(len(some), bool)
        some |= there
        if not (np.abs(value.array[there].astype(np.float64)) <= HUGE).all():
            return False, False
    return True, bool(some.all())


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**400, -(10**30), 2**63, 0.5, 2.0, -1.0, np.nan, np.inf, 1j, b"train", object(), print]),
    st.sampled_from(["", "train", "test", "image", "diag", "full", "int8", "\0", "a/b", ".", "x" * 300, "größe"]),
    st.text(max_size=3),
    st.lists(st.sampled_from([0, 1, 2, 9, "image", "smell", None, 1.5, True, []]), max_size=3),
    st.lists(st.sampled_from(["image", "word", "sensor"]), max_size=3).map(tuple),
    st.dictionaries(st.sampled_from(["image", "word", 3]), st.sampled_from([0, 1.0, None, "x", True, -1]), max_size=3),
    st.sampled_from(
        [np.int64(2), np.uint8(1), np.float32(2.0), np.bool_(True), np.zeros(2), np.zeros(0), np.zeros((2, 2))]
    ),
    st.sampled_from(
        [np.array(["train", "test"]), np.array(["image"]), np.array(1), np.array([None]), {1, 2}, range(2)]
    ),
    st.sampled_from([tf.constant(1), tf.constant("train"), tf.ones(2), np.str_("train"), np.datetime64(1, "s")]),
)
