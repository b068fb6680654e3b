"""The one class of posteriors: a mixture with parameters batched over its components."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_mopoe import gaussian, rounding, sampling
from tf_mopoe.batched_mixture import BatchedMixture
from tf_mopoe.families import Normal, tfd
from tf_mopoe.priors import Prior
from tf_mopoe.streams import RowStream, Stream

ABSENT = -1e30  # the log of the weight of a component that a row does not have: finite, and never of any effect


class Sample(NamedTuple):
    """Draws from a mixture, and the components that they come from."""

    z: tf.Tensor  # [..., B, D]
    loc: tf.Tensor  # [..., B, D], of the component drawn
    scale: tf.Tensor  # [..., B, D]
    members: dict  # {name: bool [..., B]}, the modalities that the component is of; a mixture without names: empty


class Mixture:
    """sum{ weights[s] * q[s](z) : s }, where q[s] has loc[s] and scale[s].

    Args:
        weights: [B, S], rows summing to 1; 0 for a component that the row does not have.
        loc, scale: [B, S, D].
        family: of `tf_mopoe.families`; default `Normal`.
        names: the modalities, M of them.
        membership: float [S, M] or [B, S, M], 1 where a component is of a modality. Default: each of all `names`.
    """

    def __init__(
        self,
        weights: tf.Tensor,
        loc: tf.Tensor,
        scale: tf.Tensor,
        family: type = Normal,
        names: Sequence[str] = (),
        membership: tf.Tensor | None = None,
    ):
        self.weights, self.loc, self.scale, self.family = weights, loc, scale, family
        self.names = tuple(names)
        self.membership = tf.ones([1, len(self.names)]) if membership is None else membership

    @property
    def num_components(self) -> int:
        return self.weights.shape[-1]

    # ---- draws

    def sample(self, stream: Stream | RowStream, num_samples: int | None = None) -> Sample:
        """Draw from the mixture, reparameterised within the component drawn.

        Args:
            stream: of `tf_mopoe.streams`.
            num_samples: K, for z [K, B, D] with the components of a row stratified over its samples. Default: z [B, D],
                with the components stratified over the batch.

        Returns:
            `Sample`.
        """
        if num_samples is None:
            index = sampling.stratified(self.weights, stream.child("component"))
        else:
            index = sampling.stratified_samples(self.weights, num_samples, stream.child("component"))
        return self.sample_component(index, stream)

    def sample_component(self, index: tf.Tensor, stream: Stream | RowStream) -> Sample:
        """Draw from the component `index`, int32 [..., B], of each row: `Sample`."""
        loc, scale = self.gather(index)
        noise = self.family.noise(stream.child("noise"), tf.shape(loc))
        return Sample(loc + scale * tf.ensure_shape(noise, loc.shape), loc, scale, self.members(index))

    def gather(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return loc and scale [..., B, D] of the component `index`, int32 [..., B], of each row."""
        if self.num_components == 1 and len(index.shape) == 1:
            return tf.squeeze(self.loc, 1), tf.squeeze(self.scale, 1)
        return gather_rows(self.loc, index), gather_rows(self.scale, index)

    def members(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return {name: bool [..., B]}: whether the component `index`, int32 [..., B], is of the modality."""
        if not self.names:
            return {}
        if self.membership.shape[-2] == 1:
            members = tf.broadcast_to(
                tf.squeeze(self.membership, -2), tf.concat([tf.shape(index), [len(self.names)]], axis=0)
            )
        elif len(self.membership.shape) == 3:
            members = gather_rows(self.membership, index)
        else:
            members = tf.gather(self.membership, index)
        return dict(zip(self.names, tf.unstack(members > 0.0, axis=-1)))

    # ---- densities and divergences

    def component_log_probs(self, z: tf.Tensor) -> tf.Tensor:
        """Compute log q[s](z) of every component: z [..., B, D] -> [..., B, S]."""
        return self.family.log_probs(z, self.loc, self.scale)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """Compute the log of the mixture's density in nats: z [..., B, D] -> [..., B]."""
        used = self.weights > 0.0
        log_weights = tf.where(used, tf.math.log(tf.where(used, self.weights, 1.0)), ABSENT)  # [B, S]
        return tf.reduce_logsumexp(log_weights + self.component_log_probs(z), axis=-1)

    def kl_to(self, prior: Prior, sample: Sample) -> tf.Tensor:
        """Compute sum{ weights[s] * KL( q[s] || prior ) : s } in nats, [B]; [..., B] as the sample if it is an estimate.

        Closed where the prior has it closed; else the estimate log q[s](z) - log p(z) at the sample, whose component s is.

        Args:
            prior: of `tf_mopoe.priors`.
            sample: `Sample` of this mixture.
        """
        if not prior.has_closed_kl:
            return self.family.log_prob(sample.z, sample.loc, sample.scale) - prior.log_prob(sample.z)
        return self.mean_kl_to_standard() if prior.is_standard else self.mean(prior.kl(self.loc, self.scale))

    def mean_kl_to_standard(self) -> tf.Tensor:
        """Compute sum{ weights[s] * KL( q[s] || standard density of the family ) : s }: [B]."""
        return self.mean(self.family.kl_to_standard(self.loc, self.scale))

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """Compute sum{ weights[s] * values[s] : s }: [B, S] -> [B]."""
        return tf.reduce_sum(self.weights * values, axis=-1)

    # ---- other forms

    def stop_gradient(self) -> "Mixture":
        """Return the same distribution, through whose parameters no gradient flows."""
        return Mixture(
            *map(tf.stop_gradient, (self.weights, self.loc, self.scale)), self.family, self.names, self.membership
        )

    def reweighted(self, weights: tf.Tensor) -> "Mixture":
        """Return the mixture of the same components with other weights, [B, S]."""
        return Mixture(weights, self.loc, self.scale, self.family, self.names, self.membership)

    def take_rows(self, index: tf.Tensor) -> "Mixture":
        """Return the mixture of other rows of the batch: index int [B']."""
        membership = self.membership
        if len(membership.shape) == 3:
            membership = tf.gather(membership, index)
        parameters = (tf.gather(x, index) for x in (self.weights, self.loc, self.scale))
        return Mixture(*parameters, self.family, self.names, membership)

    def parameters(self) -> dict[str, tf.Tensor]:
        """Return {"weights": [B, S], "loc": [B, S, D], "scale": [B, S, D]}."""
        return {"weights": self.weights, "loc": self.loc, "scale": self.scale}

    def distribution(self) -> tfd.Mixture:
        """Return the same as a `tfd.Mixture`, [B] x [D]."""
        return BatchedMixture(self)

    def component(self, number: int) -> tfd.Distribution:
        """Return one component as a tfd distribution, [B] x [D]."""
        return self.family.distribution(self.loc[:, number], self.scale[:, number])


class Products(Mixture):
    """A mixture whose components are products of Gaussian experts, none of them formed before it is needed.

    Args:
        weights: [B, S].
        precision, weighted: of the experts, [B, M, D], as of `gaussian.natural_parameters`.
        membership: float [S, M] or [B, S, M].
        prior: [B, S], the power of the prior N(0, I) in each product, as of `gaussian.prior_power_or_one`.
        names: the modalities, M of them.
    """

    def __init__(
        self,
        weights: tf.Tensor,
        precision: tf.Tensor,
        weighted: tf.Tensor,
        membership: tf.Tensor,
        prior: tf.Tensor,
        names: Sequence[str],
    ):
        self.weights, self.family, self.names = weights, Normal, tuple(names)
        self.precision, self.weighted, self.membership, self.prior = precision, weighted, membership, prior

    @functools.cached_property
    def sums(self) -> tuple[tf.Tensor, tf.Tensor]:
        return gaussian.sums_over_members(self.precision, self.weighted, self.membership, self.prior)

    @property
    def loc(self) -> tf.Tensor:
        total, weighted = self.sums
        return weighted / total

    @property
    def scale(self) -> tf.Tensor:
        return rounding.rsqrt(self.sums[0])

    def gather(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self.num_components == 1:
            return super().gather(index)
        # The subset first, then its product: nothing of size S.
        several = len(index.shape) == 2
        flat = tf.transpose(index) if several else index[:, None]  # [B, K]
        membership = tf.gather(self.membership, flat, axis=-2, batch_dims=len(self.membership.shape) - 2)
        prior = tf.gather(self.prior, flat, axis=-1, batch_dims=1)
        total, weighted = gaussian.sums_over_members(self.precision, self.weighted, membership, prior)  # [B, K, D]
        loc, scale = weighted / total, rounding.rsqrt(total)
        return tuple(tf.transpose(x, [1, 0, 2]) if several else tf.squeeze(x, 1) for x in (loc, scale))

    def component_log_probs(self, z: tf.Tensor) -> tf.Tensor:
        return gaussian.log_probs_of_products(z, self.precision, self.weighted, self.membership, self.prior)

    def mean_kl_to_standard(self) -> tf.Tensor:
        return gaussian.mean_kl_of_products(self.precision, self.weighted, self.membership, self.prior, self.weights)


def gather_rows(values, index):
    """Gather values[b, index[..., b]]: [B, S, ...], int32 [..., B] -> [..., B, ...]."""
    rows = tf.broadcast_to(tf.range(tf.shape(values)[0]), tf.shape(index))
    return tf.gather_nd(values, tf.stack([rows, index], axis=-1))
