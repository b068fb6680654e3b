"""What encoders make of a batch, and what an objective is given of it: the joint posterior and all its parts."""

import functools
from typing import NamedTuple

import tensorflow as tf

from tf_mopoe.components import Components
from tf_mopoe.densities import Normal, loc_and_scale


class Encoded(NamedTuple):
    """A batch of inputs, encoded: of the modalities that are given."""

    experts: dict  # {name: q(z | x), [B] x [D]}
    available: dict  # {name: bool [B]}
    x: dict  # {name: [B, E]}, zeros where a row lacks it
    private: dict  # {name: q(w | x), [B] x [P]}, of the encoders with private latent variables

    def of(self, names):
        """The same of some modalities only."""
        return Encoded(*({name: value for name, value in part.items() if name in names} for part in self))

    def permuted(self, rows, density):
        """A batch whose row i has modality m of row rows[m][i]: rows {name: int [B]}."""

        def take(values):
            return {name: tf.gather(value, rows[name]) if name in rows else value for name, value in values.items()}

        def moved(distributions, density):
            return {
                name: density.distribution(*(tf.gather(parameter, rows[name]) for parameter in loc_and_scale(q)))
                if name in rows
                else q
                for name, q in distributions.items()
            }

        return Encoded(moved(self.experts, density), take(self.available), take(self.x), moved(self.private, Normal))


class Posterior:
    """q(z | X) of a batch, of any subset of its modalities, and of rows put together anew.

    Args:
        layer: the joint posterior's layer, such as `MixtureOfProducts`.
        encoded: `Encoded`.
        seed: int32 [2], of the components that the layer draws, if it does.
        step: how many training steps were taken, for schedules.
        training: whether networks of the layer's own are in training mode.
    """

    def __init__(self, layer, encoded, seed=None, step=0, training=False):
        self.layer, self.encoded, self.seed, self.step, self.training = layer, encoded, seed, step, training
        self.experts, self.available, self.x = encoded[:3]

    @functools.cached_property
    def components(self):
        """The joint posterior: `Components`."""
        return self.layer.components(self.experts, self.available, self.x, self.seed, self.training)

    @functools.cached_property
    def count(self):
        """How many of the modalities each row has: float [B]."""
        return tf.add_n([tf.cast(flag, tf.float32) for flag in self.available.values()])

    def expert(self, name):
        """One modality's own posterior, as `Components` with S = 1; it may be anything in rows that lack it."""
        loc, scale = loc_and_scale(self.experts[name])
        return Components(tf.ones([tf.shape(loc)[0], 1]), loc[:, None], scale[:, None], self.layer.density)

    def product(self, members):
        """The product of some of the experts, `Components` with S = 1: of those that each row has, else the prior.

        The prior expert joins by the layer's rule.

        Args:
            members: tuple of names, or {name: bool []}, a subset that is drawn in the graph.
        """
        if not isinstance(members, dict):
            return self.layer.whole({n: self.experts[n] for n in members}, {n: self.available[n] for n in members})
        return self.layer.whole(self.experts, {n: self.available[n] & members[n] for n in self.experts})

    def permuted(self, rows):
        """The posterior of a batch whose row i has modality m of row rows[m][i]: rows {name: int [B]}."""
        encoded = self.encoded.permuted(rows, self.layer.density)
        return Posterior(self.layer, encoded, self.seed, self.step, self.training)
