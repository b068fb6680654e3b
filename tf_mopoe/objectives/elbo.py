"""The evidence lower bound of a mixture posterior."""

import keras

from tf_mopoe.objectives.terms import Objective, Terms, check_beta, negative, value_at, weighted


@keras.saving.register_keras_serializable(package="tf_mopoe")
class ELBO(Objective):
    """loss = sum{ weight[m] * E_q[-log p(x[m] | z)] : m } + beta * KL( q(z | X) || p(z) ).

    One sample z a row, from one component, drawn by stratified sampling over the batch. The KL of a mixture has no
    closed form:

    * `kl="components"`: its upper bound sum{ w[s] * KL(q[s] || p) : s }, exact (Sutter et al. 2021, eq. 9 and lemma 2).
    * `kl="mixture"`: log q(z | X) - log p(z) at the drawn z, with the density of the whole mixture: an unbiased estimate
      of the KL itself, so a tighter bound. With the singletons it is MMVAE's bound with K = 1 (Shi et al. 2019, eq. 3).

    Args:
        beta: weight of the KL: a number, 0 or more, or a schedule of the step, such as
            `keras.optimizers.schedules.PolynomialDecay(0.0, 2000, 1.0)` for a warm-up. Default 1.0: the bound on log p(X).
        kl: "components" (default) or "mixture".

    Raises:
        ValueError: for a negative beta or an unknown `kl`.
    """

    def __init__(self, beta=1.0, kl="components"):
        self.beta = check_beta(beta)
        if kl not in ("components", "mixture"):
            raise ValueError(f'`kl` must be "components" or "mixture". Received: kl={kl!r}')
        self.kl = kl

    def __call__(self, q, log_likelihood, weights, seed):
        z = q.components.sample(seed)  # [B, D]
        reconstruction = negative(log_likelihood(z))
        if self.kl == "components":
            kl = q.components.mean_kl_to_prior()
        else:
            kl = q.components.log_prob(z) - q.components.prior_log_prob(z)
        return Terms(weighted(weights, reconstruction) + value_at(self.beta, q.step) * kl, reconstruction, kl)
