"""The densities that experts and prior can have: diagonal, with a loc and a scale for each latent variable.

Each is a set of functions of loc and scale [..., D]; the prior has loc 0 and scale 1. All in nats, summed over D.
"""

import math

import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe import rounding

tfd = tfp.distributions


class Normal:
    """N(loc, scale^2): the one that has products."""

    name = "normal"

    @staticmethod
    def log_prob(z, loc, scale):
        standard = (z - loc) / scale
        return -0.5 * tf.reduce_sum(tf.square(standard) + 2.0 * tf.math.log(scale) + math.log(2.0 * math.pi), axis=-1)

    @staticmethod
    def kl_to_prior(loc, scale):
        # 2 log(scale), not log(scale^2): the square of a small scale is the first to leave float32.
        kl = 0.5 * tf.reduce_sum(tf.square(scale) + tf.square(loc) - 1.0 - 2.0 * tf.math.log(scale), axis=-1)
        return rounding.not_negative(kl)

    @staticmethod
    def noise(shape, seed):
        return tf.random.stateless_normal(shape, seed)

    @staticmethod
    def distribution(loc, scale):
        return tfd.MultivariateNormalDiag(loc, scale)


class Laplace:
    """Laplace(loc, scale), the posteriors and the prior of MMVAE (Shi et al. 2019)."""

    name = "laplace"

    @staticmethod
    def log_prob(z, loc, scale):
        return -tf.reduce_sum(tf.abs(z - loc) / scale + tf.math.log(2.0 * scale), axis=-1)

    @staticmethod
    def kl_to_prior(loc, scale):
        size = tf.abs(loc)
        # scale * expm1 + scale, not scale * exp: exactly 0 for the prior, whatever exp(0) is.
        kl = size + scale * tf.math.expm1(-size / scale) + (scale - 1.0 - tf.math.log(scale))
        return rounding.not_negative(tf.reduce_sum(kl, axis=-1))

    @staticmethod
    def noise(shape, seed):
        # The inverse of the distribution function, of u in (-1, 1): -1 itself would give infinity.
        u = tf.random.stateless_uniform(shape, seed, minval=-1.0 + 2.0**-23, maxval=1.0)
        return -tf.sign(u) * tf.math.log1p(-tf.abs(u))

    @staticmethod
    def distribution(loc, scale):
        return tfd.Independent(tfd.Laplace(loc, scale), reinterpreted_batch_ndims=1)


DENSITIES = {density.name: density for density in (Normal, Laplace)}


def loc_and_scale(distribution):
    """The parameters [B, D] of a distribution of one of these densities."""
    if isinstance(distribution, tfd.Independent):
        return distribution.distribution.loc, distribution.distribution.scale
    diagonal = getattr(getattr(distribution, "scale", None), "diag", None)
    if diagonal is not None:  # stddev(), less eight small operations on its shape
        return distribution.loc, tf.broadcast_to(tf.abs(diagonal), tf.shape(distribution.loc))
    # TFP forgets the static D where it is 1 and B is not known.
    return distribution.loc, tf.ensure_shape(distribution.stddev(), distribution.loc.shape)


def prior_log_prob(density, z):
    """log p(z) of the prior, z [..., D] -> [...]."""
    return density.log_prob(z, tf.zeros_like(z), tf.ones_like(z))
