"""The evidence lower bound of a mixture posterior."""

from typing import NamedTuple

import keras
import tensorflow as tf

from tf_mopoe import experts, sampling


class Terms(NamedTuple):
    """What an objective returns, per row and in nats."""

    loss: tf.Tensor  # [B], to be minimised
    reconstruction: dict  # {name: E_q[-log p(x[m] | z)]}, [B]: 0 where the row does not have the modality
    kl: tf.Tensor  # [B], without beta


@keras.saving.register_keras_serializable(package="tf_mopoe")
class ELBO:
    """loss = sum{ weight[m] * E_q[-log p(x[m] | z)] : m } + beta * KL( q(z | X) || p(z) ).

    One sample z a row, from one component, drawn by stratified sampling over the batch. The KL of a mixture has no
    closed form:

    * `kl="components"`: its upper bound sum{ w[s] * KL(q[s] || p) : s }, exact (Sutter et al. 2021, eq. 9 and lemma 2).
    * `kl="mixture"`: log q(z | X) - log p(z) at the drawn z, with the density of the whole mixture: an unbiased estimate
      of the KL itself, so a tighter bound. With the singletons it is MMVAE's bound with K = 1 (Shi et al. 2019, eq. 3).

    Args:
        beta: weight of the KL, 0 or more. Default 1.0: the bound on log p(X).
        kl: "components" (default) or "mixture".

    Call:
        components: `Components` of the joint posterior: weights [B, S], loc [B, S, D], scale [B, S, D].
        log_likelihood: function z [B, D] -> {name: log p(x[m] | z) [B]}.
        weights: {name: float}, of the reconstruction terms.
        seed: int32 [2].
        Returns `Terms`.

    Raises:
        ValueError: for a negative beta or an unknown `kl`.
    """

    def __init__(self, beta=1.0, kl="components"):
        if not isinstance(beta, (int, float)) or not 0.0 <= beta < float("inf"):
            raise ValueError(f"`beta` must be a number, 0 or more. Received: beta={beta!r}")
        if kl not in ("components", "mixture"):
            raise ValueError(f'`kl` must be "components" or "mixture". Received: kl={kl!r}')
        self.beta = float(beta)
        self.kl = kl

    def __call__(self, components, log_likelihood, weights, seed):
        mixture_weights, loc, scale = components
        index_seed, noise_seed = tf.unstack(tf.random.split(seed, 2))
        index = sampling.stratified(mixture_weights, index_seed)  # [B]
        z = sampling.sample_component(loc, scale, index, noise_seed)  # [B, D]
        reconstruction = {name: -term for name, term in log_likelihood(z).items()}
        if self.kl == "components":
            kl = tf.reduce_sum(mixture_weights * experts.kl_to_prior(loc, scale), axis=-1)
        else:
            prior = experts.gaussian_log_prob(z, tf.zeros_like(z), tf.ones_like(z))
            kl = experts.mixture_log_prob(z, mixture_weights, loc, scale) - prior
        loss = sum(weights[name] * term for name, term in reconstruction.items()) + self.beta * kl
        return Terms(loss, reconstruction, kl)

    def get_config(self):
        return {"beta": self.beta, "kl": self.kl}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
