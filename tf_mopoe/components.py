"""The joint posterior of a batch of rows, as a mixture with parameters batched over its components."""

import functools
import math

import tensorflow as tf
import tensorflow_probability as tfp

from tf_mopoe import experts, rounding, sampling
from tf_mopoe.densities import Normal, prior_log_prob

tfd = tfp.distributions


class Components:
    """sum{ weights[s] * q[s](z) : s }, where q[s] has loc[s] and scale[s].

    Args:
        weights: [B, S], rows summing to 1; 0 for a component that the row does not have.
        loc, scale: [B, S, D].
        density: of `tf_mopoe.densities`; default `Normal`.
    """

    def __init__(self, weights, loc, scale, density=Normal):
        self.weights, self.loc, self.scale, self.density = weights, loc, scale, density

    def chosen(self, index):
        """loc and scale [..., B, D] of the component `index`, int32 [B] or [K, B], of each row."""
        if self.weights.shape[-1] == 1 and len(index.shape) == 1:
            return self.loc[:, 0], self.scale[:, 0]
        rows = tf.broadcast_to(tf.range(tf.shape(self.weights)[0]), tf.shape(index))
        where = tf.stack([rows, index], axis=-1)  # [..., B, 2]
        return tf.gather_nd(self.loc, where), tf.gather_nd(self.scale, where)

    def sample(self, seed):
        """One z a row, reparameterised, its component stratified over the batch: [B, D]; seed int32 [2]."""
        index_seed, noise_seed = tf.unstack(tf.random.split(seed, 2))
        return self.sample_at(sampling.stratified(self.weights, index_seed), noise_seed)

    def samples(self, num_samples, seed):
        """K of them a row, their components stratified over the row's own: [K, B, D]."""
        index_seed, noise_seed = tf.unstack(tf.random.split(seed, 2))
        return self.sample_at(sampling.stratified_samples(self.weights, num_samples, index_seed), noise_seed)

    def sample_at(self, index, seed):
        """z from the component `index` of each row, reparameterised: int32 [..., B] -> [..., B, D]."""
        loc, scale = self.chosen(index)
        return loc + scale * tf.ensure_shape(self.density.noise(tf.shape(loc), seed), loc.shape)

    def log_prob(self, z):
        """log of the mixture's density in nats, by logsumexp over the components: z [..., B, D] -> [..., B]."""
        used = self.weights > 0.0
        log_weights = tf.where(used, tf.math.log(tf.where(used, self.weights, 1.0)), -math.inf)  # [B, S]
        return tf.reduce_logsumexp(log_weights + self.density.log_prob(z[..., None, :], self.loc, self.scale), axis=-1)

    def prior_log_prob(self, z):
        """log p(z) of the prior: z [..., B, D] -> [..., B]."""
        return prior_log_prob(self.density, z)

    def kl_to_prior(self):
        """KL( q[s] || prior ) in nats: [B, S]."""
        return self.density.kl_to_prior(self.loc, self.scale)

    def mean_kl_to_prior(self):
        """sum{ weights[s] * KL( q[s] || prior ) : s }: [B]."""
        return tf.reduce_sum(self.weights * self.kl_to_prior(), axis=-1)

    def frozen(self):
        """The same distribution, through whose parameters no gradient flows."""
        return Components(*map(tf.stop_gradient, (self.weights, self.loc, self.scale)), self.density)

    def parameters(self):
        return {"weights": self.weights, "loc": self.loc, "scale": self.scale}

    def distribution(self):
        """The same as a `tfd.Mixture`, one object per component."""
        loc, scale = tf.unstack(self.loc, axis=1), tf.unstack(self.scale, axis=1)
        return tfd.Mixture(
            cat=tfd.Categorical(probs=self.weights),
            components=[self.density.distribution(*parameters) for parameters in zip(loc, scale)],
        )

    def first(self):
        """Component 0 as a tfd distribution, [B] x [D]."""
        return self.density.distribution(self.loc[:, 0], self.scale[:, 0])


class Products(Components):
    """Components that are products of Gaussian experts, none of them formed before it is needed.

    Args:
        weights: [B, S].
        precision, weighted: of the experts, [B, M, D], as of `experts.natural`.
        membership: float [S, M] or [B, S, M].
        prior: [B, S], the power of the prior in each product, as of `experts.or_empty`.
    """

    def __init__(self, weights, precision, weighted, membership, prior):
        self.weights, self.density = weights, Normal
        self.precision, self.weighted, self.membership, self.prior = precision, weighted, membership, prior

    @functools.cached_property
    def sums(self):
        return experts.sums(self.precision, self.weighted, self.membership, self.prior)

    @property
    def loc(self):
        total, weighted = self.sums
        return weighted / total

    @property
    def scale(self):
        return rounding.rsqrt(self.sums[0])

    def chosen(self, index):
        if self.weights.shape[-1] == 1:
            return super().chosen(index)
        # The subset first, then its product: nothing of size S.
        several = len(index.shape) == 2
        flat = tf.transpose(index) if several else index[:, None]  # [B, K]
        membership = tf.gather(self.membership, flat, axis=-2, batch_dims=len(self.membership.shape) - 2)
        prior = tf.gather(self.prior, flat, axis=-1, batch_dims=1)
        total, weighted = experts.sums(self.precision, self.weighted, membership, prior)  # [B, K, D]
        loc, scale = weighted / total, rounding.rsqrt(total)
        return tuple(tf.transpose(x, [1, 0, 2]) if several else x[:, 0] for x in (loc, scale))

    def mean_kl_to_prior(self):
        return experts.mean_kl_of_products(self.precision, self.weighted, self.membership, self.prior, self.weights)
