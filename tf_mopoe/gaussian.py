"""The algebra of Gaussians: products of experts for all subsets at once, their densities, and KL divergences.

Experts are diagonal Gaussians, given as `loc` and `scale` of shape [B, M, D]. The prior is N(0, I) throughout.
"""

import math

import tensorflow as tf

from tf_mopoe import rounding


def natural_parameters(loc, scale, available):
    """Return precision and precision-weighted loc of the experts, [B, M, D]; both 0 where a row has no expert.

    Args:
        loc, scale: [B, M, D]; positive scale. What is not available may be anything, NaN included.
        available: bool [B, M].
    """
    present = available[:, :, None]  # [B, M, 1]
    # `where` on both sides of the reciprocal: nothing of a missing expert reaches a value or a gradient.
    precision = tf.where(present, tf.square(rounding.reciprocal(tf.where(present, scale, 1.0))), 0.0)
    return precision, precision * tf.where(present, loc, 0.0)


def prior_power_or_one(prior, membership, available):
    """Return the power of the prior in each product, 1 in those of no expert at all: [S] or [B, S] -> [B, S]."""
    have = tf.cast(available, membership.dtype)  # [B, M]
    per_row = len(membership.shape) == 3
    members = tf.linalg.matvec(membership, have) if per_row else tf.matmul(have, membership, transpose_b=True)
    return tf.where(members > 0.0, tf.cast(prior, members.dtype), 1.0)


def sums_over_members(precision, weighted, membership, prior):
    """Sum over the members of each subset: total precision and weighted loc, [B, S, D].

        total[s] = prior[s] + sum{ precision[m] : m in s };   weighted[s] = sum{ precision[m] * loc[m] : m in s }

    Args:
        precision, weighted: [B, M, D], as of `natural_parameters`.
        membership: float [S, M] or [B, S, M].
        prior: [B, S], as of `prior_power_or_one`.
    """
    return tf.matmul(membership, precision) + prior[..., None], tf.matmul(membership, weighted)


def products_of_experts(loc, scale, available, membership, prior):
    """Compute normalised products of Gaussian experts, for every subset in one contraction.

        precision[s] = prior[s] + sum{ 1 / scale[m]^2 : m in s }
        loc[s]       = sum{ loc[m] / scale[m]^2 : m in s } / precision[s]

    Experts that a row does not have are left out of its products; the product of no expert at all is the prior.
    Reference: Hinton 2002; Wu & Goodman 2018, section 2.2; Sutter et al. 2021, eq. (5).

    Args:
        loc, scale: [B, M, D], finite; positive scale.
        available: bool [B, M].
        membership: float [S, M], or [B, S, M] for subsets of each row's own; 1 where expert m is in subset s.
        prior: [S] or [B, S], 1 where the prior N(0, I) is one more expert of the product, else 0.

    Returns:
        loc, scale: [B, S, D].
    """
    membership = tf.convert_to_tensor(membership)
    total, weighted = sums_over_members(
        *natural_parameters(loc, scale, available), membership, prior_power_or_one(prior, membership, available)
    )
    return weighted / total, rounding.rsqrt(total)


@tf.custom_gradient
def mean_kl_of_products(precision, weighted, membership, prior, weights):
    """Compute sum{ weights[s] * KL( product of subset s || N(0, I) ) : s } in nats: [B].

    The products are those of which `sums_over_members` takes the first four arguments; weights [B, S]. The same number as
    that of `families.Normal.kl_to_standard`, but this is what all 2^M - 1 subsets cost in training: so the gradient is
    found together with the value, a part of the subsets at a time, and nothing of size [B, S, D] is kept.
    Membership gets no gradient.
    """
    values, by_precision, by_weighted = [], [], []
    for part in parts(membership.shape[-2]):
        own, share = membership[..., part, :], weights[:, part]
        total, total_weighted = sums_over_members(precision, weighted, own, prior[:, part])
        variance = 1.0 / total
        loc = total_weighted * variance
        slope, excess = loc * variance, variance - 1.0
        squared = slope * loc
        values.append(tf.matmul(share[:, None], excess + tf.math.log(total)))  # [B, 1, D]
        members = own * share[..., None]  # [B, s, M]
        by_precision.append(tf.matmul(members, tf.add_n([variance * excess, squared, squared]), transpose_a=True))
        by_weighted.append(tf.matmul(members, slope, transpose_a=True))
    gradients = -0.5 * tf.add_n(by_precision), tf.add_n(by_weighted)
    # `values` lacks sum{ weights[s] * loc[s]^2 : s }: cheap here, as a loc is its variance times a sum over members.
    value = tf.add_n(values)[:, 0] + tf.reduce_sum(weighted * gradients[1], axis=1)
    value = tf.nn.relu(0.5 * tf.reduce_sum(value, axis=-1))

    def gradient(upstream):
        # Of prior and weights in one part: few read it, and a graph that does not never computes it.
        total, total_weighted = sums_over_members(precision, weighted, membership, prior)
        variance, squared = 1.0 / total, tf.square(total_weighted / total)
        excess = variance - 1.0 + squared
        by_prior = -weights * tf.reduce_sum(variance * (excess + squared), axis=-1)
        by_weights = tf.reduce_sum(excess + tf.math.log(total), axis=-1)
        half = 0.5 * upstream[:, None]
        return *(upstream[:, None, None] * by for by in gradients), None, half * by_prior, half * by_weights

    return value, gradient


def log_probs_of_products(z, precision, weighted, membership, prior):
    """Compute the log density of every product at z, in nats: z [..., B, D] -> [..., B, S].

    The products are those of `sums_over_members`. Squares are expanded, so that z meets the M experts and not the S
    products: nothing of size [..., B, S, D] is formed, and of size [B, S, D] only parts. They are expanded around the
    centre of all experts, so that little is lost where the experts agree.
    """
    center = tf.reduce_sum(weighted, axis=1) / (tf.reduce_sum(precision, axis=1) + 1.0)  # [B, D]
    center = tf.stop_gradient(center)
    z, weighted = z - center, weighted - precision * center[:, None]
    of_experts = tf.einsum("...bd,bmd->...bm", tf.square(z), precision)
    of_experts += tf.einsum("...bd,bmd->...bm", -2.0 * z, weighted)
    of_prior = tf.reduce_sum(z * (z + 2.0 * center), axis=-1)  # of N(-center, I), [..., B]
    subsets = "bsm" if len(membership.shape) == 3 else "sm"
    quadratic = tf.einsum(f"...bm,{subsets}->...bs", of_experts, membership) + of_prior[..., None] * prior
    constants = []
    for part in parts(membership.shape[-2]):
        own = prior[:, part, None]
        total, total_weighted = sums_over_members(precision, weighted, membership[..., part, :], prior[:, part])
        total_weighted -= own * center[:, None]
        constants.append(tf.reduce_sum(tf.square(total_weighted) / total - tf.math.log(total), axis=-1))  # [B, s]
    constant = tf.concat(constants, axis=-1) + z.shape[-1] * math.log(2.0 * math.pi)
    return -0.5 * (quadratic + constant)


def parts(count, size=64, most=16):
    """Return slices that cut `count` subsets: of `size`, so that intermediate results stay in a cache, but not too many."""
    size = max(size, -(-count // most))
    return [slice(begin, begin + size) for begin in range(0, count, size)]


def kl_between(loc, scale, other_loc, other_scale):
    """Compute KL( N(loc, scale^2) || N(other_loc, other_scale^2) ) in nats, summed over the last axis: [..., D] -> [...]."""
    inverse = rounding.reciprocal(other_scale)
    ratio, standard = scale * inverse, (loc - other_loc) * inverse
    kl = 0.5 * tf.reduce_sum(tf.square(ratio) + tf.square(standard) - 1.0 - 2.0 * tf.math.log(ratio), axis=-1)
    return rounding.not_negative(kl)
