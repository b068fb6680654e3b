"""A likelihood of a table whose columns are of mixed kinds, and the way from a DataFrame to its numbers and back."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe.likelihoods.beta import Beta
from tf_mopoe.likelihoods.classes import Bernoulli, Categorical
from tf_mopoe.likelihoods.counts import NegativeBinomial
from tf_mopoe.likelihoods.likelihood import Likelihood
from tf_mopoe.likelihoods.location_scale import Normal

tfd = tfp.distributions

KINDS = {
    "number": lambda: Normal("learned_per_variable", standardize=True),
    "count": NegativeBinomial,
    "share": Beta,
    "flag": Bernoulli,
}
CLASSES = "classes"


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Table(Likelihood):
    """The columns of a table, independent given z, each by the likelihood of its kind.

    x is [B, W] float32: each column is one number, and one of C classes C numbers, one-hot. `encode` makes it of a
    DataFrame and `decode` a DataFrame of it. An empty cell is NaN, and so is each of the C numbers of a class.

    Args:
        columns: {name: kind}, in the order of x. A kind is "number" (`Normal`, its scale learned per column, in the units
            of the data), "count" (`NegativeBinomial`), "share" (`Beta`), "flag" (`Bernoulli`), or the list of the column's
            classes (`Categorical`). `Table.of(frame)` finds them.

    Raises:
        ValueError: for another kind, or classes that are fewer than two or not distinct.
    """

    def __init__(self, columns, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(columns, dict) or not columns:
            raise ValueError(f"`columns` must be a dict of one or more {{name: kind}}. Received: columns={columns!r}")
        self.columns = {name: checked_kind(name, kind) for name, kind in columns.items()}
        sizes = {name: 1 if isinstance(kind, str) else len(kind) for name, kind in self.columns.items()}
        stops = dict(zip(sizes, np.cumsum(list(sizes.values())).tolist()))
        self.slices = {name: slice(stops[name] - size, stops[name]) for name, size in sizes.items()}
        self.width = sum(sizes.values())
        # Columns of one kind are one part; columns of classes are one each.
        self.places = {}
        for name, kind in self.columns.items():
            key = kind if isinstance(kind, str) else f"{CLASSES} {self.slices[name].start}"
            self.places.setdefault(key, []).extend(range(self.slices[name].start, self.slices[name].stop))
        self.parts = {key: KINDS[key]() if key in KINDS else Categorical() for key in self.places}
        sizes = [part.output_shape((len(self.places[key]),))[-1] for key, part in self.parts.items()]
        self.output_sizes = dict(zip(self.parts, sizes))

    @classmethod
    def of(cls, frame, counts=(), shares=()):
        """The likelihood of a DataFrame: bool columns are flags, numbers numbers, all others classes.

        Args:
            frame: pandas DataFrame. The classes of a column are those of its categorical dtype, else its values, sorted.
            counts, shares: names of the columns that are counts, or shares of 1.

        Raises:
            ValueError: for what is no DataFrame, or a column that is named but not there.
        """
        if not hasattr(frame, "iloc") or len(frame.shape) != 2:
            raise ValueError(f"`frame` must be a DataFrame. Received: {type(frame).__name__}")
        for argument, names in (("counts", counts), ("shares", shares)):
            absent = [name for name in names if name not in frame.columns]
            if absent:
                raise ValueError(f"`{argument}` must be names of columns. Received: {absent}")
        named = dict.fromkeys(counts, "count") | dict.fromkeys(shares, "share")
        return cls({name: named.get(name) or kind_of(frame[name]) for name in frame.columns})

    # ---- a DataFrame's way in and out

    def encode(self, frame):
        """The numbers of a DataFrame, as a DataFrame of float32 with its index: a class column as its one-hot ones.

        Raises:
            ValueError: for a column that is absent, or a class that is not among the column's.
        """
        import pandas

        made = {}
        for name, kind in self.columns.items():
            if name not in frame.columns:
                raise ValueError(f"`frame` must have the columns {list(self.columns)}. Received: {list(frame.columns)}")
            column = frame[name]
            if isinstance(kind, str):
                made[name] = column.to_numpy(dtype=np.float32, na_value=np.nan)
                continue
            empty = column.isna().to_numpy()
            unknown = column[~empty & ~column.isin(kind).to_numpy()]
            if len(unknown):
                raise ValueError(
                    f"`frame` must have in its column {name!r} one of {kind}. Received: {unknown.iloc[0]!r}"
                )
            for value in kind:
                made[f"{name}={value}"] = np.where(empty, np.nan, (column == value).fillna(False)).astype(np.float32)
        return pandas.DataFrame(made, index=frame.index)

    def decode(self, x, index=None):
        """The DataFrame of numbers: the likeliest class, flags as bool, counts rounded; empty where NaN.

        Args:
            x: [N, W], an array or DataFrame: what `encode` made, or `impute`, `translate`, draws.
            index: of the result. Default: that of x, or 0, 1, 2 and so on.

        Raises:
            ValueError: for another width.
        """
        import pandas

        index = getattr(x, "index", None) if index is None else index
        x = np.asarray(x, np.float32)
        if x.ndim != 2 or x.shape[1] != self.width:
            raise ValueError(f"`x` must have shape ('rows', {self.width}). Received: shape {x.shape}")
        made = {}
        for name, kind in self.columns.items():
            values = x[:, self.slices[name]]
            if not isinstance(kind, str):
                codes = np.where(np.isnan(values).any(axis=1), -1, values.argmax(axis=1))
                made[name] = pandas.Categorical.from_codes(codes, categories=kind)
            elif kind == "flag":
                made[name] = pandas.array(np.where(np.isnan(values[:, 0]), None, values[:, 0] >= 0.5), dtype="boolean")
            else:
                made[name] = np.round(values[:, 0]) if kind == "count" else values[:, 0]
        return pandas.DataFrame(made, index=index)

    # ---- shapes

    def event_shape(self, output_shape):
        wanted = (sum(self.output_sizes.values()),)
        if tuple(output_shape) != wanted:
            raise ValueError(
                f"The network of this Table must give shape {wanted}, or `Decoder` be given event_shape={self.width}. "
                f"Received: output shape {tuple(output_shape)}"
            )
        return (self.width,)

    def output_shape(self, event_shape):
        if tuple(event_shape) != (self.width,):
            raise ValueError(f"`event_shape` of this Table must be {self.width}. Received: {event_shape}")
        return (sum(self.output_sizes.values()),)

    def dimension(self, event_shape):
        return len(self.columns)

    def build(self, input_shape):
        """`input_shape`: (None, O)."""
        for key, part in self.parts.items():
            if not part.built:
                part.build((None, self.output_sizes[key]))
        self.built = True

    # ---- the data's units

    def check(self, name, x, observed=None):
        observed = ~np.isnan(x) if observed is None else observed
        for key, part in self.parts.items():
            part.check(name, x[:, self.places[key]], observed[:, self.places[key]])

    def moments_of(self, x):
        return x

    def adapt(self, moments):
        for key, part in self.parts.items():
            if part.moments_of(np.zeros((1, len(self.places[key])), np.float32)) is not None:
                part.adapt(moments.of_variables(self.places[key]))

    @property
    def adapted(self):
        return all(part.adapted for part in self.parts.values())

    # ---- distributions

    def call(self, output):
        outputs = tf.split(output, list(self.output_sizes.values()), axis=-1)
        distributions = {key: self.parts[key](part) for key, part in zip(self.parts, outputs)}
        return Columns(distributions, self.places)

    def mean(self, distribution):
        return distribution.join({key: self.parts[key].mean(part) for key, part in distribution.parts.items()})

    def moments(self, distribution, seed):
        both = {key: self.parts[key].moments(part, seed) for key, part in distribution.parts.items()}
        return tuple(distribution.join({key: pair[number] for key, pair in both.items()}) for number in (0, 1))

    def log_prob(self, distribution, x, observed=None):
        total = 0.0
        for key, part in distribution.parts.items():
            there = None if observed is None else tf.gather(observed, self.places[key], axis=1)
            total += self.parts[key].log_prob(part, tf.gather(x, self.places[key], axis=1), there)
        return total

    def get_config(self):
        return super().get_config() | {"columns": self.columns}


class Columns(tfd.Distribution):
    """Distributions of vectors side by side, each of some columns: batch shape [B], event shape [W].

    Args:
        parts: {key: tfd distribution with an event of some columns}.
        places: {key: list of the columns}, all of 0 .. W - 1.
    """

    def __init__(self, parts, places, name="Columns"):
        parameters = dict(locals())
        self.parts, self.places = dict(parts), places
        self.order = np.argsort(np.concatenate([places[key] for key in self.parts]))
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    def join(self, values):
        """{key: [..., columns]} as [..., W]."""
        return tf.gather(tf.concat([values[key] for key in self.parts], axis=-1), self.order, axis=-1)

    def _batch_shape(self):
        return next(iter(self.parts.values())).batch_shape

    def _batch_shape_tensor(self):
        return next(iter(self.parts.values())).batch_shape_tensor()

    def _event_shape(self):
        return tf.TensorShape([len(self.order)])

    def _event_shape_tensor(self):
        return tf.constant([len(self.order)])

    def _log_prob(self, x):
        return tf.add_n([p.log_prob(tf.gather(x, self.places[key], axis=-1)) for key, p in self.parts.items()])

    def _mean(self):
        return self.join({key: part.mean() for key, part in self.parts.items()})

    def _variance(self):
        return self.join({key: part.variance() for key, part in self.parts.items()})

    def _sample_n(self, n, seed=None):
        seeds = tfp.random.split_seed(seed, len(self.parts), salt="columns")
        return self.join({key: part.sample(n, seed=own) for (key, part), own in zip(self.parts.items(), seeds)})


def checked_kind(name, kind):
    if isinstance(kind, str) and kind in KINDS:
        return kind
    if not isinstance(kind, list | tuple) or len(kind) < 2 or len(set(kind)) < len(kind):
        raise ValueError(
            f"`columns[{name!r}]` must be one of {list(KINDS)}, or a list of two or more classes. Received: {kind!r}"
        )
    return list(kind)


def kind_of(column):
    """The kind of a pandas Series."""
    kind = getattr(column.dtype, "kind", "O")
    if kind == "b":
        return "flag"
    if kind in "fiu":
        return "number"
    categories = getattr(column.dtype, "categories", None)
    values = categories.tolist() if categories is not None else sorted(column.dropna().unique().tolist())
    if len(values) < 2:
        raise ValueError(f"`frame` must have two or more classes in its column {column.name!r}. Received: {values}")
    return values
