"""The distribution of a table's row: independent groups of columns, each with a separate distribution."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe.likelihoods.likelihood import Likelihood

tfd = tfp.distributions


class Part:
    """The columns of one kind: a likelihood of x in a shape E, whose numbers are `cells` of a row.

    Args:
        likelihood: `Likelihood`.
        names: of the columns.
        cells: int [n], n the product of E.
        shape: E.
    """

    def __init__(self, likelihood: Likelihood, names: Sequence[str], cells: np.ndarray, shape: Sequence[Any]):
        self.likelihood, self.names, self.cells, self.shape = likelihood, names, cells, shape
        self.output_shape = tuple(likelihood.output_shape(shape))
        self.output_size = math.prod(self.output_shape)

    def of(self, x: tf.Tensor) -> tf.Tensor:
        """x [..., W] of a row -> [..., E], NumPy or a tensor."""
        if isinstance(x, np.ndarray):
            return np.reshape(x[..., self.cells], [*x.shape[:-1], *self.shape])
        x = tf.gather(x, self.cells, axis=-1)
        return x if len(self.shape) == 1 else tf.reshape(x, tf.concat([tf.shape(x)[:-1], self.shape], axis=0))

    def flat(self, x: tf.Tensor) -> tf.Tensor:
        """[..., E] -> [..., n]."""
        x = tf.cast(x, tf.float32)
        if len(self.shape) == 1:
            return x
        return tf.reshape(x, tf.concat([tf.shape(x)[: -len(self.shape)], [len(self.cells)]], axis=0))


class TableDistribution(tfd.Distribution):
    """A row [W] of independent parts.

    Args:
        layout: list of `Part`.
        parts: their distributions, [B] x E each.
    """

    def __init__(self, layout: Sequence[Part], parts: Sequence[tfd.Distribution], name: str = "TableDistribution"):
        parameters = dict(locals())
        self.layout, self.parts = layout, parts
        order = np.concatenate([part.cells for part in layout])
        self.inverse = np.argsort(order)
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    def _batch_shape(self):
        return self.parts[0].batch_shape

    def _batch_shape_tensor(self):
        return self.parts[0].batch_shape_tensor()

    def _event_shape(self):
        return tf.TensorShape([len(self.inverse)])

    def _event_shape_tensor(self):
        return tf.constant([len(self.inverse)])

    def joined(self, values: Sequence[tf.Tensor]) -> tf.Tensor:
        """[..., E] of each part -> [..., W]."""
        flat = tf.concat([part.flat(value) for part, value in zip(self.layout, values)], axis=-1)
        flat = (
            flat
            if np.array_equal(self.inverse, np.arange(len(self.inverse)))
            else tf.gather(flat, self.inverse, axis=-1)
        )
        return tf.ensure_shape(flat, [*flat.shape[:-1], len(self.inverse)])

    def log_prob_of(self, x: tf.Tensor, observed: tf.Tensor | None = None) -> tf.Tensor:
        """Of the cells `observed`, bool [B, W] (default: all): [B]."""
        x = tf.convert_to_tensor(x)
        observed = None if observed is None else tf.convert_to_tensor(observed)
        return tf.add_n(
            [
                part.likelihood.log_prob(one, part.of(x), None if observed is None else part.of(observed))
                for part, one in zip(self.layout, self.parts)
            ]
        )

    def _log_prob(self, x):
        return self.log_prob_of(x)

    def _mean(self):
        return self.joined([part.likelihood.mean(one) for part, one in zip(self.layout, self.parts)])

    def _variance(self):
        return self.joined([one.variance() for one in self.parts])

    def _sample_n(self, n, seed=None):
        seeds = tfp.random.split_seed(seed, max(len(self.parts), 2), salt="table")
        return self.joined([one.sample(n, seed=own) for one, own in zip(self.parts, seeds)])
