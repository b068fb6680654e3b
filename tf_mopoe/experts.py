"""The Gaussian algebra of the library: products of experts for all subsets at once, KL to the prior, densities.

Experts are diagonal Gaussians, given as `loc` and `scale` of shape [B, M, D]. The prior is N(0, I) throughout.
"""

import math

import tensorflow as tf


def products_of_experts(loc, scale, available, membership, prior):
    """Normalised products of Gaussian experts, for every subset in one contraction.

        precision[s] = prior[s] + sum{ 1 / scale[m]^2 : m in s }
        loc[s]       = sum{ loc[m] / scale[m]^2 : m in s } / precision[s]

    Experts that a row does not have are left out of its products; the product of no expert at all is the prior.
    Reference: Hinton 2002; Wu & Goodman 2018, section 2.2; Sutter et al. 2021, eq. (5).

    Args:
        loc, scale: [B, M, D], finite; positive scale.
        available: bool [B, M].
        membership: float [S, M], 1 where expert m is in subset s.
        prior: [S] or [B, S], 1 where the prior N(0, I) is one more expert of the product, else 0.

    Returns:
        loc, scale: [B, S, D].
    """
    present = available[:, :, None]  # [B, M, 1]
    # `where` on both sides of the reciprocal: nothing of a missing expert reaches a value or a gradient.
    precision = tf.where(present, tf.square(tf.math.reciprocal(tf.where(present, scale, 1.0))), 0.0)  # [B, M, D]
    weighted = precision * tf.where(present, loc, 0.0)
    prior = tf.cast(prior, loc.dtype)[..., None]  # [S, 1] or [B, S, 1]
    total = tf.einsum("sm,bmd->bsd", membership, precision) + prior  # [B, S, D]
    total = tf.where(total > 0.0, total, 1.0)
    return tf.einsum("sm,bmd->bsd", membership, weighted) / total, tf.math.rsqrt(total)


def kl_to_prior(loc, scale):
    """KL( N(loc, scale^2) || N(0, I) ) in nats, summed over the last axis: [..., D] -> [...]."""
    # 2 log(scale), not log(scale^2): the square of a small scale is the first to leave float32.
    return 0.5 * tf.reduce_sum(tf.square(scale) + tf.square(loc) - 1.0 - 2.0 * tf.math.log(scale), axis=-1)


def gaussian_log_prob(z, loc, scale):
    """log N(z; loc, scale^2) in nats, summed over the last axis: [..., D] -> [...]."""
    standard = (z - loc) / scale
    return -0.5 * tf.reduce_sum(tf.square(standard) + 2.0 * tf.math.log(scale) + math.log(2.0 * math.pi), axis=-1)


def mixture_log_prob(z, weights, loc, scale):
    """log of sum{ weights[s] * N(z; loc[s], scale[s]^2) } in nats, by logsumexp over the components.

    Args:
        z: [K..., B, D], any number of leading axes before B.
        weights: [B, S], zeros allowed.
        loc, scale: [B, S, D].

    Returns:
        [K..., B].
    """
    used = weights > 0.0
    log_weights = tf.where(used, tf.math.log(tf.where(used, weights, 1.0)), -math.inf)  # [B, S]
    return tf.reduce_logsumexp(log_weights + gaussian_log_prob(z[..., None, :], loc, scale), axis=-1)
