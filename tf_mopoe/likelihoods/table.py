"""A likelihood of tables: columns of several kinds in one modality."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe.families import tfd
from tf_mopoe.likelihoods.beta import Beta
from tf_mopoe.likelihoods.classes import Bernoulli, Categorical
from tf_mopoe.likelihoods.counts import NegativeBinomial
from tf_mopoe.likelihoods.likelihood import Likelihood
from tf_mopoe.likelihoods.location_scale import PER_VARIABLE, Normal
from tf_mopoe.likelihoods.table_columns import Columns, kinds_of
from tf_mopoe.likelihoods.table_distribution import Part, TableDistribution
from tf_mopoe.units import Moments

MADE = {
    "number": lambda: Normal(PER_VARIABLE, standardize=True),
    "count": NegativeBinomial,
    "share": Beta,
    "flag": Bernoulli,
}


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Table(Likelihood):
    """Columns of several kinds, independent given z: x is float32 [B, W], the columns side by side.

    A column of C classes takes C numbers of x, one-hot, any other takes one. NaN is an empty cell, for an encoder with
    `cells=True`. `encode` converts a pandas DataFrame to x, `decode` x, draws or means to a DataFrame.

    The network gives one number for each of x; for a likelihood of one's own as many as it wants. (They are in the order of
    the kinds, not of the columns: those of a kind are computed together.) It counts as many variables as it has columns.

    Args:
        columns: {column: kind}. A kind is
            "number": Normal, the scale learned, in the data's units (`Normal("learned_per_variable", standardize=True)`);
            "count": `NegativeBinomial()`;
            "share": `Beta()`, from 0 to 1;
            "flag": `Bernoulli()`, True or False;
            a list of classes, strings or numbers: `Categorical()`;
            or a likelihood for this column alone, such as `StudentT("learned", standardize=True)`.

    Raises:
        ValueError: for any other kind; for a network whose output has another size.
    """

    def __init__(self, columns: Mapping[Any, Any], **kwargs):
        super().__init__(**kwargs)
        if isinstance(columns, list | tuple):  # of a config, [name, kind]
            columns = dict(columns)
        self.layout = Columns(columns, is_own=is_scalar)
        self.parts, self.likelihoods = [], []
        for kind, names in self.layout.groups():
            if isinstance(kind, tuple):
                likelihood, shape = Categorical(), (len(names), len(kind))
            else:
                likelihood, shape = MADE[kind]() if isinstance(kind, str) else kind, (len(names),)
            if any(likelihood is other for other in self.likelihoods):
                raise ValueError("`columns` must have one likelihood for each column. Received: one for several")
            self.likelihoods.append(likelihood)
            self.parts.append(Part(likelihood, tuple(names), self.layout.cells(names), shape))

    @classmethod
    def of(cls, frame: Any, counts: Collection[Any] = (), shares: Collection[Any] = ()) -> Self:
        """Create a `Table` of a pandas DataFrame's columns.

        Numbers become "number", bools "flag", categories and strings the list of their classes (in the order of the
        categories, else sorted).

        Args:
            frame: pandas DataFrame.
            counts, shares: names of the columns of numbers that are "count" or "share".

        Raises:
            ValueError: for columns of another type (dates), without any value, or unknown names.
            ImportError: without pandas.
        """
        return cls(kinds_of(frame, counts, shares))

    @property
    def columns(self) -> dict[Any, Any]:
        """{column: kind}."""
        return {name: list(kind) if isinstance(kind, tuple) else kind for name, kind in self.layout.kinds.items()}

    def columns_of(self, name: Any) -> slice:
        """Return the slice of x that holds a column."""
        if name not in self.layout.slices:
            raise ValueError(f"`name` must be one of {list(self.layout.slices)}. Received: name={name!r}")
        return self.layout.slices[name]

    def encode(self, frame: Any) -> Any:
        """Encode a DataFrame as x: a DataFrame of W float32 columns with the same index, NaN where a cell is empty.

        A column of classes becomes one column "column=class" for each. Columns of other names are left out.
        `tf_mopoe.tables.align` takes the result, and so does any method of a model.

        Raises:
            ValueError: for a column that is not there, a class that is unknown, text in place of numbers.
            ImportError: without pandas.
        """
        return self.layout.encode(frame)

    def decode(self, array: Any, index: Any = None) -> Any:
        """Decode x, draws or means [N, W], an array or a DataFrame such as `encode` returns, to a DataFrame.

        The likeliest class, whether a flag is likelier than not, counts rounded, other numbers as they are; NaN is empty.

        Args:
            array: [N, W].
            index: of the result. Default: that of a DataFrame, else 0, 1, ...

        Raises:
            ValueError: for another shape.
            ImportError: without pandas.
        """
        return self.layout.decode(array, index)

    # ---- a likelihood

    def build(self, input_shape: Sequence[int | None]) -> None:
        """`input_shape`: (None, O)."""
        self.event_shape(input_shape[1:])
        for part in self.parts:
            if not part.likelihood.built:
                part.likelihood.build((None, *part.output_shape))
        self.built = True

    def event_shape(self, output_shape: Sequence[int]) -> tuple[int, ...]:
        expected = sum(part.output_size for part in self.parts)
        if tuple(output_shape) != (expected,):
            raise ValueError(
                f"The network of this Table must give shape ({expected},), or `Decoder` be given "
                f"event_shape={self.layout.width}. Received: output shape {tuple(output_shape)}"
            )
        return (self.layout.width,)

    def output_shape(self, event_shape: Sequence[int]) -> tuple[int, ...]:
        if tuple(event_shape) != (self.layout.width,):
            raise ValueError(f"`event_shape` must be {(self.layout.width,)}. Received: {tuple(event_shape)}")
        return (sum(part.output_size for part in self.parts),)

    def dimension(self, event_shape: Sequence[int]) -> int:
        return len(self.layout.kinds)

    def call(self, output: tf.Tensor) -> tfd.Distribution:
        outputs = tf.split(output, [part.output_size for part in self.parts], axis=-1)
        distributions = [
            part.likelihood.call(tf.reshape(one, [-1, *part.output_shape])) for part, one in zip(self.parts, outputs)
        ]
        return TableDistribution(self.parts, distributions)

    def moments(self, distribution: tfd.Distribution, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        seeds = tfp.random.split_seed(seed, max(len(self.parts), 2), salt="table")
        both = [part.likelihood.moments(one, own) for part, one, own in zip(self.parts, distribution.parts, seeds)]
        return tuple(distribution.joined(values) for values in zip(*both))

    def stand_in(self, distribution: tfd.Distribution) -> tf.Tensor:
        return distribution.joined([part.likelihood.stand_in(one) for part, one in zip(self.parts, distribution.parts)])

    def log_prob(self, distribution: tfd.Distribution, x: tf.Tensor, observed: tf.Tensor | None = None) -> tf.Tensor:
        return distribution.log_prob_of(x, observed)

    def check(self, name: str, x: np.ndarray, observed: np.ndarray | None = None) -> None:
        for part in self.parts:
            for column in part.names:
                cells = self.layout.slices[column]
                own = None if observed is None else observed[:, cells]
                part.likelihood.check(f"{name}[{column!r}]", x[:, cells], own)

    # ---- the data's units

    def adapt_input(self, x: np.ndarray) -> np.ndarray | None:
        taken = [(part, part.likelihood.adapt_input(part.of(x))) for part in self.parts]
        if all(values is None for _, values in taken):
            return None
        result = np.array(x)
        for part, values in taken:
            if values is not None:
                result[:, part.cells] = np.reshape(values, [len(x), -1])
        return result

    def adapt(self, moments: Moments) -> None:
        zeros = np.zeros((1, self.layout.width), np.float32)
        for part in self.parts:
            if part.likelihood.adapt_input(part.of(zeros)) is not None:
                part.likelihood.adapt(moments.of_variables(part.cells))

    @property
    def adapted(self) -> bool:
        return all(likelihood.adapted for likelihood in self.likelihoods)

    # ---- files

    def get_config(self) -> dict[str, Any]:
        columns = [  # pairs: a dict's keys become strings in a file
            [name, keras.saving.serialize_keras_object(kind) if isinstance(kind, Likelihood) else kind]
            for name, kind in self.columns.items()
        ]
        return super().get_config() | {"columns": columns}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        columns = {
            name: keras.saving.deserialize_keras_object(kind) if isinstance(kind, dict) else kind
            for name, kind in config["columns"]
        }
        return cls(**config | {"columns": columns})


def is_scalar(kind):
    """Return whether it is a likelihood for one column."""
    return isinstance(kind, Likelihood) and not kind.reads_size and kind.x_dtype == "float32"
