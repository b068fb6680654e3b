"""The families of densities that experts and priors can have: diagonal, with a loc and a scale for each latent variable.

Each is a set of functions of loc and scale [..., D]; "standard" is loc 0 and scale 1. All in nats, summed over D.
"""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe import rounding
from tf_mopoe.streams import RowStream, Stream

tfd = tfp.distributions


class Normal:
    """N(loc, scale^2): the family that has products."""

    name = "normal"

    @staticmethod
    def log_prob(z: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        standard = (z - loc) / scale
        return -0.5 * tf.reduce_sum(tf.square(standard) + 2.0 * tf.math.log(scale) + math.log(2.0 * math.pi), axis=-1)

    @staticmethod
    def log_probs(z: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Compute log densities of z [..., B, D] under loc and scale [B, S, D] -> [..., B, S], by products of matrices.

        Nothing of size [..., B, S, D] is formed. The square is expanded around a centre between the densities, so that
        little is lost where they are near each other.
        """
        precision = tf.square(1.0 / scale)
        center = tf.reduce_sum(precision * loc, axis=1) / tf.reduce_sum(precision, axis=1)  # [B, D]
        center = tf.stop_gradient(center)
        z, loc = z - center, loc - center[:, None]
        quadratic = tf.einsum("...bd,bsd->...bs", tf.square(z), precision)
        quadratic += tf.einsum("...bd,bsd->...bs", -2.0 * z, precision * loc)
        constant = tf.reduce_sum(
            precision * tf.square(loc) + 2.0 * tf.math.log(scale) + math.log(2.0 * math.pi), axis=-1
        )
        return -0.5 * (quadratic + constant)

    @staticmethod
    def kl_to_standard(loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        # 2 log(scale), not log(scale^2): the square of a small scale is the first to leave float32.
        kl = 0.5 * tf.reduce_sum(tf.square(scale) + tf.square(loc) - 1.0 - 2.0 * tf.math.log(scale), axis=-1)
        return rounding.not_negative(kl)

    @staticmethod
    def noise(stream: Stream | RowStream, shape: Sequence[Any]) -> tf.Tensor:
        """Draw from the standard density, [..., B, D]."""
        return stream.normal(shape)

    @staticmethod
    def variance(scale: tf.Tensor) -> tf.Tensor:
        return tf.square(scale)

    @staticmethod
    def distribution(loc: tf.Tensor, scale: tf.Tensor) -> tfd.Distribution:
        return tfd.MultivariateNormalDiag(loc, scale)


class Laplace:
    """Laplace(loc, scale), the posteriors and the prior of MMVAE (Shi et al. 2019)."""

    name = "laplace"

    @staticmethod
    def log_prob(z: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(tf.abs(z - loc) / scale + tf.math.log(2.0 * scale), axis=-1)

    @classmethod
    def log_probs(cls, z: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Compute log densities of z [..., B, D] under loc and scale [B, S, D] -> [..., B, S]."""
        return cls.log_prob(z[..., None, :], loc, scale)

    @staticmethod
    def kl_to_standard(loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        size = tf.abs(loc)
        # scale * expm1 + scale, not scale * exp: exactly 0 for the standard density, whatever exp(0) is.
        kl = size + scale * tf.math.expm1(-size / scale) + (scale - 1.0 - tf.math.log(scale))
        return rounding.not_negative(tf.reduce_sum(kl, axis=-1))

    @staticmethod
    def noise(stream: Stream | RowStream, shape: Sequence[Any]) -> tf.Tensor:
        """Draw from the standard density, [..., B, D]."""
        # The inverse of the distribution function, of u in (-1, 1): -1 itself would give infinity.
        u = stream.uniform(shape, row_axis=-2, minval=-1.0 + 2.0**-23, maxval=1.0)
        return -tf.sign(u) * tf.math.log1p(-tf.abs(u))

    @staticmethod
    def variance(scale: tf.Tensor) -> tf.Tensor:
        return 2.0 * tf.square(scale)

    @staticmethod
    def distribution(loc: tf.Tensor, scale: tf.Tensor) -> tfd.Distribution:
        return tfd.Independent(tfd.Laplace(loc, scale), reinterpreted_batch_ndims=1)


IDENTITY = 14.0  # log-variances up to this size are taken as they are: scales from .0009 to 1,100
FAMILIES = {family.name: family for family in (Normal, Laplace)}


def loc_and_scale(distribution: tfd.Distribution) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the parameters [B, D] of a distribution of one of these families."""
    if isinstance(distribution, tfd.Independent):
        return distribution.distribution.loc, distribution.distribution.scale
    diagonal = getattr(getattr(distribution, "scale", None), "diag", None)
    if diagonal is not None:  # stddev(), less eight small operations on its shape
        return distribution.loc, tf.broadcast_to(tf.abs(diagonal), tf.shape(distribution.loc))
    # TFP forgets the static D where it is 1 and B is not known.
    return distribution.loc, tf.ensure_shape(distribution.stddev(), distribution.loc.shape)


def scale_of(log_variance: tf.Tensor) -> tf.Tensor:
    """Compute exp(bounded(log_variance) / 2): finite and positive, and with a gradient, for numbers of any size."""
    return tf.exp(0.5 * bounded(log_variance))


def bounded(x: tf.Tensor, low: float = -IDENTITY, high: float = IDENTITY) -> tf.Tensor:
    """Return the same number from low to high; beyond, it grows with the logarithm: no number is without a gradient."""

    @tf.custom_gradient  # by the chain rule it takes many small operations
    def within(x):
        inside = tf.clip_by_value(x, low, high)
        excess = x - inside
        size = tf.abs(excess)
        return inside + tf.sign(excess) * tf.math.log1p(size), lambda upstream: upstream / (1.0 + size)

    return within(x)
