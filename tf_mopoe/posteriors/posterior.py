"""The inference side of a batch: q(z, w | X), of any subset of its modalities, and of shuffled rows."""

import functools
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tf_mopoe.batch import Batch
from tf_mopoe.experts import Experts
from tf_mopoe.mixture import Mixture
from tf_mopoe.streams import RowStream, Stream


class Posterior:
    """Variational posteriors of a batch, as `MultimodalVAE.encode` returns them and objectives take them.

    Args:
        layer: the joint posterior's layer, such as `MixtureOfProducts`.
        batch: `Batch`.
        experts: {name: `Mixture` of one component, q(z | x)}; in the rows that lack the modality the standard density.
        private: {name: `Mixture` of one component, q(w | x)}, of the encoders with private latent variables.
        stream: of the subsets that the layer draws, if it does.
        step: how many training steps were taken, an int or a variable, for schedules.
        training: whether networks of the layer are in training mode.
    """

    def __init__(
        self,
        layer: keras.Layer,
        batch: Batch,
        experts: Mapping[str, Mixture],
        private: Mapping[str, Mixture],
        stream: Stream | RowStream | None = None,
        step: int | tf.Variable = 0,
        training: bool = False,
    ):
        self.layer, self.batch, self.experts, self.private = layer, batch, experts, private
        self.stream, self.step, self.training = stream, step, training
        self.losses = []  # of the layer's calls, [] each

    @property
    def available(self) -> dict[str, tf.Tensor]:
        """Which rows have a modality: {name: bool [B]}."""
        return self.batch.available

    @property
    def count(self) -> tf.Tensor:
        """How many of the modalities each row has: float [B]."""
        return self.batch.count

    @functools.cached_property
    def joint(self) -> Mixture:
        """Return q(z | X), the joint posterior: `Mixture`."""
        return self.layer.joint(self.stack(), self)

    def expert(self, name: str) -> Mixture:
        """Return q(z | x[name]): `Mixture` of one component; the standard density in rows that lack the modality."""
        return self.experts[name]

    def subset(self, names: Sequence[str] | None = None) -> Mixture:
        """Pool the experts of some modalities (default: all), of those that each row has, else the prior.

        Returns:
            `Mixture` of one component.
        """
        return self.layer.pool(self.stack(names), self)

    def maximal_components(self) -> Mixture:
        """Return the joint posterior's largest components that a row can form, from which a method translates: `Mixture`."""
        return self.layer.maximal_components(self.stack(), self)

    def mean(self) -> tf.Tensor:
        """Return the mean of `subset()`, [B, D]; of the joint posterior, where experts have no product."""
        if self.layer.has_product(self.batch.names):
            return self.subset().loc[:, 0]
        return tf.einsum("bs,bsd->bd", self.joint.weights, self.joint.loc)

    def select(self, names: Sequence[str]) -> "Posterior":
        """Return the posterior of the same rows, of some modalities only."""
        part = ({n: q for n, q in part.items() if n in names} for part in (self.experts, self.private))
        return self.replace(self.batch.select(names), *part)

    def mask(self, flags: Mapping[str, tf.Tensor]) -> "Posterior":
        """Return the posterior of the same rows without the modalities whose flag, {name: bool [] or [B]}, is False."""
        return self.replace(self.batch.mask(flags), self.experts, self.private)

    def take_rows(self, index: Mapping[str, tf.Tensor]) -> "Posterior":
        """Return the posterior of the batch whose row i has modality m of row index[m][i]: {name: int [B]}."""

        def take(mixtures):
            return {n: q.take_rows(index[n]) if n in index else q for n, q in mixtures.items()}

        return self.replace(self.batch.take_rows(index), take(self.experts), take(self.private))

    def replace(self, batch: Batch, experts: Mapping[str, Mixture], private: Mapping[str, Mixture]) -> "Posterior":
        other = Posterior(self.layer, batch, experts, private, self.stream, self.step, self.training)
        other.losses = self.losses
        return other

    def stack(self, names: Sequence[str] | None = None) -> Experts:
        """Stack the experts of some modalities (default: all that are given): `Experts`."""
        names = tuple(name for name in self.batch.names if names is None or name in names)
        loc = tf.concat([self.experts[name].loc for name in names], axis=1)
        scale = tf.concat([self.experts[name].scale for name in names], axis=1)
        available = tf.stack([self.batch.available[name] for name in names], axis=1)
        return Experts(names, loc, scale, available, self.experts[names[0]].family)


def one_component(loc, scale, family, name):
    """Return the `Mixture` of one density of loc and scale [B, D], of one modality."""
    loc, scale = (tf.expand_dims(x, axis=1) for x in (loc, scale))  # a reshape; `[:, None]` copies in its gradient
    return Mixture(tf.ones([tf.shape(loc)[0], 1]), loc, scale, family, (name,))
