"""The generative side: p(X, z, w) = p(z) prod{ p(w[m]) p(x[m] | z, w[m]) : m }, for one batch of rows.

Private latent variables w[m] hold what no other modality can say (a voice, a background), so that z need not. Only the
modalities that a drawn z comes from may decode with their own w: the w of all others comes from an auxiliary prior r[m],
narrow at the start, so that nothing shared can hide in w. References: Daunhawer et al., GCPR 2020; Palumbo et al.,
"MMVAE+", ICLR 2023, of which this is the rule for any subsets.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf

from tf_mopoe import impartial
from tf_mopoe.batch import EMPTY, Batch
from tf_mopoe.decoders import Decoder, stop_gradient_to
from tf_mopoe.families import tfd
from tf_mopoe.hyperparameters import Hyperparameter
from tf_mopoe.mixture import Sample
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.priors import Prior
from tf_mopoe.streams import RowStream, Stream
from tf_mopoe.typing import Number

PRIVATE_SOURCES = ("auxiliary", "own")


@dataclasses.dataclass
class Generative:
    """The generative model p of a batch, with which an objective decodes and compares.

    Args:
        decoders: {name: Decoder}.
        prior: p(z), of `tf_mopoe.priors`.
        private_priors: {name: p(w)}, of the modalities with private latent variables.
        auxiliary: {name: r(w)}, likewise: the spread of the w of modalities that a drawn z does not come from, around the
            mean of their prior. Empty for the source "own": then each w comes from its own posterior where there is one.
        term_weights: {name: Hyperparameter}, of the reconstruction terms in a loss. They are read where a loss is computed:
            a graph that only decodes has none of their variables.
        private_beta: `Hyperparameter`, the weight of the KL of w in a loss; None: that of the KL of z.
        impartial: whether, in training, the modalities' gradients at a z that they decode together are made of equal size.
        batch: `Batch`, whose x is given.
        training: whether the decoders are in training mode.
    """

    decoders: dict[str, Decoder]
    prior: Prior
    private_priors: dict[str, Prior]
    auxiliary: dict[str, Prior]
    term_weights: dict[str, Hyperparameter]
    private_beta: Hyperparameter | None = None
    impartial: bool = False
    batch: Batch = EMPTY
    training: bool = False

    def __post_init__(self):
        self.losses = []  # of the decoders' calls, [] each

    @property
    def weights(self) -> dict[str, Number]:
        """{name: float}, in a graph tensors."""
        return {name: weight.get() for name, weight in self.term_weights.items()}

    def given(self, batch: Batch, training: bool = False) -> "Generative":
        """Return the same p for a batch."""
        return dataclasses.replace(self, batch=batch, training=training)

    def select(self, names: Sequence[str]) -> "Generative":
        """Return the same p for some modalities of the batch only."""
        return self.of(self.batch.select(names))

    def mask(self, flags: Mapping[str, tf.Tensor]) -> "Generative":
        """Return the same p for the batch without the modalities whose flag, {name: bool [] or [B]}, is False."""
        return self.of(self.batch.mask(flags))

    def take_rows(self, index: Mapping[str, tf.Tensor]) -> "Generative":
        """Return the same p for the batch whose row i has modality m of row index[m][i]: {name: int [B]}."""
        return self.of(self.batch.take_rows(index))

    def of(self, batch: Batch) -> "Generative":
        other = dataclasses.replace(self, batch=batch)
        other.losses = self.losses
        return other

    # ---- private latent variables, in a bound

    def sample_private(self, q: Posterior, sample: Sample, stream: Stream | RowStream) -> dict[str, tf.Tensor]:
        """Draw the w of every modality of the batch that has some, for a z drawn from q.

        Args:
            q: `Posterior`.
            sample: `Sample` of z, [..., B, D], and the modalities that it comes from.
            stream: of `tf_mopoe.streams`.

        Returns:
            {name: w [..., B, P]}: from its own posterior in the rows where z comes from the modality, else from r.
        """
        w, shape = {}, tf.shape(sample.z)[:-1]
        for name in self.private_names(q):
            prior, own_stream = self.private_priors[name], stream.child(name)
            if self.auxiliary:
                other = prior.mean(sample.z) + self.auxiliary[name].sample(own_stream.child("other"), shape)
            else:
                other = prior.sample(own_stream.child("other"), shape, sample.z)
            w[name] = own_or(other, q.private[name], self.is_member(name, q, sample), own_stream)
        return w

    def private_kl(self, q: Posterior, sample: Sample, w: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Sum KL( q(w[m] | x[m]) || p(w[m]) ) over the modalities that z comes from, in nats: [..., B].

        Closed where the prior has it closed; else log q(w) - log p(w) at the w drawn. Zero without private variables.

        Args:
            q, sample: as of `sample_private`.
            w: as it returns.
        """
        total = tf.zeros(tf.shape(sample.z)[:-1])
        for name in self.private_names(q):
            own, prior = q.private[name], self.private_priors[name]
            if prior.has_closed_kl:
                kl = prior.kl(own.loc[:, 0], own.scale[:, 0], sample.z)
            else:
                kl = own.log_prob(w[name]) - prior.log_prob(w[name], sample.z)
            total += tf.where(self.is_member(name, q, sample), kl, 0.0)
        return total

    def private_ratio(
        self, q: Posterior, sample: Sample, w: Mapping[str, tf.Tensor], frozen: bool = False
    ) -> tf.Tensor:
        """Compute sum{ log p(w[m]) - log q(w[m] | x[m]) : m that z comes from } at the w drawn, [..., B].

        `frozen`: no gradient reaches the parameters of q(w | x) but through w.
        """
        total = tf.zeros(tf.shape(sample.z)[:-1])
        for name in self.private_names(q):
            own = q.private[name].stop_gradient() if frozen else q.private[name]
            ratio = self.private_priors[name].log_prob(w[name], sample.z) - own.log_prob(w[name])
            total += tf.where(self.is_member(name, q, sample), ratio, 0.0)
        return total

    def private_weight(self, beta: Number | tf.Tensor) -> Number | tf.Tensor:
        """Return the weight of the private latent variables' KL in a loss where that of z has weight beta."""
        return beta if self.private_beta is None else self.private_beta.get()

    def private_names(self, q: Posterior) -> list[str]:
        """Return the batch's modalities that have private latent variables, in q too."""
        return [name for name in self.batch.names if name in q.private]

    def is_member(self, name: str, q: Posterior, sample: Sample) -> tf.Tensor:
        """Return whether the w of a modality is its own: bool [..., B]."""
        if self.auxiliary and name in sample.members:
            return q.available[name] & sample.members[name]
        return tf.broadcast_to(q.available[name], tf.shape(sample.z)[:-1])

    # ---- private latent variables, after training

    def infer_private(
        self,
        q: Posterior | None,
        z: tf.Tensor,
        stream: Stream | RowStream,
        temperature: float | Mapping[str, float] = 1.0,
    ) -> dict[str, tf.Tensor]:
        """Draw the w of every modality: from its own posterior in the rows that have it, else from its prior.

        Args:
            q: `Posterior` of what is given, or None.
            z: [..., B, D], drawn from it.
            stream: of `tf_mopoe.streams`.
            temperature: of the prior's spread, a number or {name: number}.

        Returns:
            {name: w [..., B, P]}.
        """
        w = {}
        for name, prior in self.private_priors.items():
            own_stream = stream.child(name)
            own_temperature = temperature[name] if isinstance(temperature, dict) else temperature
            w[name] = prior.sample(own_stream.child("other"), tf.shape(z)[:-1], z, own_temperature)
            if q is not None and name in q.private:
                w[name] = own_or(w[name], q.private[name], q.available[name], own_stream)
        return w

    def mean_private(self, q: Posterior | None, z: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return {name: w [B, P]}: the mean of its own posterior in the rows that have it, else of its prior."""
        w = {}
        for name, prior in self.private_priors.items():
            w[name] = tf.broadcast_to(prior.mean(z), [tf.shape(z)[0], prior.latent_dim])
            if q is not None and name in q.private:
                w[name] = tf.where(q.available[name][:, None], q.private[name].loc[:, 0], w[name])
        return w

    # ---- likelihoods

    def log_prob(
        self,
        z: tf.Tensor,
        w: Mapping[str, tf.Tensor] | None = None,
        frozen: bool = False,
    ) -> dict[str, tf.Tensor]:
        """Compute log p(x[m] | z, w[m]) in nats: {name: [..., B]}, 0 where a row lacks the modality.

        Args:
            z: [..., B, D]; decoders see all leading axes as one, and no row that lacks their modality.
            w: {name: w [..., B, P]}, as of `sample_private`.
            frozen: whether gradients stop before the decoders' weights, and their state stays as it is.
        """
        names = self.batch.names
        each = [z] * len(names)
        if self.impartial and self.training:
            each = impartial.branches(z, [self.batch.available[name] for name in names])
        return {name: self.log_prob_of(name, own, (w or {}).get(name), frozen) for name, own in zip(names, each)}

    def log_prob_of(self, name: str, z: tf.Tensor, w: tf.Tensor | None, frozen: bool) -> tf.Tensor:
        decoder, batch = self.decoders[name], self.batch
        latents = z if w is None else tf.concat([z, w], axis=-1)
        lead = tf.shape(z)[:-2]
        several = len(z.shape) > 2
        flat = tf.reshape(latents, [-1, latents.shape[-1]]) if several else latents

        likelihood = decoder.likelihood

        def log_probs(values, some):
            latents, x = values
            observed = batch.observed(name, x)
            size = likelihood.size(x, observed)
            with stop_gradient_to(decoder, frozen):
                distribution = decoder(latents, training=self.training, size=size)
            if some is not None:  # there may be no x at all to stand in for what is missing
                x = tf.where(some, x, tf.cast(likelihood.stand_in(distribution), x.dtype))
            return likelihood.log_prob(distribution, x, observed)

        repeated = batch.repeat(name, tf.reduce_prod(lead)) if several else batch.select((name,))
        values = (flat, repeated.x[name])
        values, loss = repeated.on_available((name,), decoder, log_probs, values, empty=tf.zeros([0]))
        self.losses.append(loss)
        return tf.reshape(values, tf.shape(z)[:-1]) if several else values

    def decode(self, name: str, z: tf.Tensor, w: tf.Tensor | None = None) -> tfd.Distribution:
        """Decode one modality, p(x | z, w), z [B, D] or [K * B, D]: tfd distribution, [B] x E. Without w: the prior's mean.

        Of the batch's rows, if there is one with that modality: a likelihood that `reads_size` takes theirs.
        """
        decoder = self.decoders[name]
        if name in self.private_priors:
            w = self.mean_private(None, z)[name] if w is None else w
            z = tf.concat([z, w], axis=-1)
        return decoder(z, training=self.training, size=self.size(name, z))

    def size(self, name: str, z: tf.Tensor) -> tf.Tensor | None:
        """Return the totals of the batch's rows, for a likelihood that `reads_size`: the data's mean where there is none."""
        likelihood = self.decoders[name].likelihood
        if not likelihood.reads_size or name not in self.batch.x:
            return None
        x = self.batch.x[name]
        size = likelihood.size(x, self.batch.observed(name, x))
        size = tf.where(self.batch.available[name], size, likelihood.mean_size())
        return tf.tile(size, [tf.shape(z)[0] // tf.shape(size)[0]])


def own_or(other, own, member, stream):
    """Draw from `own`, a `Mixture` of one component, where `member`, bool [..., B], else `other`, [..., B, P]."""
    noise = tf.ensure_shape(own.family.noise(stream, tf.shape(other)), other.shape)
    return tf.where(member[..., None], own.loc[:, 0] + own.scale[:, 0] * noise, other)
