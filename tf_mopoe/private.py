"""Latent variables of a modality's own, w[m], beside the shared z: p(x[m] | z, w[m]) with w[m] ~ N(0, I).

They hold what no other modality can tell (a voice, a background), so that z need not. Reference: Daunhawer et al., "Self-
supervised disentanglement of modality-specific and shared factors", GCPR 2020; Sutter et al. 2021, appendix (CelebA).
"""

import tensorflow as tf

from tf_mopoe.densities import Normal, loc_and_scale, prior_log_prob
from tf_mopoe.hyperparameters import Live, check_hyperparameter


class Private(Live):
    """What a model does with the private latent variables of its modalities.

    Args:
        sizes: {name: P}, 0 for a modality that has none.
        beta: weight of their KL in the loss. A number may be assigned during the training.
    """

    def __init__(self, sizes, beta):
        self.sizes, self.beta = sizes, check_hyperparameter("private_beta", beta)

    def __bool__(self):
        return any(self.sizes.values())

    def join(self, name, z, w=None):
        """What the decoder of `name` takes: z [..., B, D] and w [B, P] or [..., B, P] in a row; w = 0 by default."""
        if not self.sizes[name]:
            return z
        if w is None:
            w = tf.zeros([self.sizes[name]])
        w = tf.broadcast_to(w, tf.concat([tf.shape(z)[:-1], [self.sizes[name]]], axis=0))
        return tf.concat([z, w], axis=-1)

    def means(self, encoded):
        """{name: w [B, P]}: the posterior's mean where a row has the modality, else the prior's."""
        return {n: tf.where(encoded.available[n][:, None], q.loc, 0.0) for n, q in encoded.private.items()}

    def draw(self, encoded, shape, seed):
        """{name: w [*shape, P]}, reparameterised: from its posterior where a row has it, else from the prior.

        Args:
            encoded: `Encoded`; the prior serves a modality that is not there.
            shape: of z without its last axis, [..., B].
            seed: int32 [2].
        """
        noises = {
            name: self.noise(number, tf.concat([shape, [size]], axis=0), seed)
            for number, (name, size) in enumerate(self.sizes.items())
            if size
        }
        return self.from_noise(noises, encoded)

    def noise(self, number, shape, seed):
        """Standard normal, for the modality of that number: z itself is drawn from `seed` and its first parts."""
        return Normal.noise(shape, tf.random.fold_in(seed, 1 + number))

    def from_noise(self, noises, encoded):
        """What `draw` returns, of standard normal {name: [..., B, P]}."""
        result = dict(noises)
        for name, q in encoded.private.items():
            loc, scale = loc_and_scale(q)
            moved = loc + scale * noises[name]
            result[name] = tf.where(encoded.available[name][:, None], moved, noises[name])
        return result

    def kl(self, encoded):
        """sum{ KL( q(w[m] | x[m]) || p ) : m } of what each row has, in nats: [B]."""
        total = tf.zeros(tf.shape(next(iter(encoded.available.values()))))
        for name, own in encoded.private.items():
            total += tf.where(encoded.available[name], Normal.kl_to_prior(*loc_and_scale(own)), 0.0)
        return total

    def log_ratio(self, encoded, w):
        """log p(w) - log q(w) of w drawn from the posteriors, [..., B]; 0 for what came from the prior."""
        total = 0.0
        for name, own in encoded.private.items():
            ratio = prior_log_prob(Normal, w[name]) - Normal.log_prob(w[name], *loc_and_scale(own))
            total += tf.where(encoded.available[name], ratio, 0.0)
        return total
