"""The evidence lower bound of a mixture posterior."""

import keras

from tf_mopoe.generative import Generative
from tf_mopoe.objectives.terms import LossTerms, Objective, bound_terms, check_beta, negate, schedule_value
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import RowStream, Stream
from tf_mopoe.typing import Scheduled


@keras.saving.register_keras_serializable(package="tf_mopoe")
class ELBO(Objective):
    """Bound log p(X) from below by a draw of the joint posterior, with a weighted KL.

    loss = sum{ weight[m] * E_q[-log p(x[m] | z)] : m } + beta * KL( q(z | X) || p(z) ).

    One sample z per row, from one component, drawn by stratified sampling over the batch. The KL of a mixture has no
    closed form:

    * `kl="components"`: its upper bound sum{ w[s] * KL(q[s] || p) : s }, exact (Sutter et al. 2021, eq. 9 and lemma 2);
      with a prior that has no closed KL, such as a mixture, the estimate log q[s](z) - log p(z) at the drawn z.
    * `kl="mixture"`: log q(z | X) - log p(z) at the drawn z, with the density of the whole mixture: an unbiased estimate
      of the KL itself, so a tighter bound. With the singletons it is MMVAE's bound with K = 1 (Shi et al. 2019, eq. 3).

    Args:
        beta: weight of the KL: a number, 0 or more, or a schedule of the step, such as
            `keras.optimizers.schedules.PolynomialDecay(0.0, 2000, 1.0)` for a warm-up. Default 1.0: the bound on log p(X).
        kl: "components" (default) or "mixture".

    Raises:
        ValueError: for a negative beta or an unknown `kl`.
    """

    def __init__(self, beta: Scheduled = 1.0, kl: str = "components"):
        self.beta = check_beta(beta)
        if kl not in ("components", "mixture"):
            raise ValueError(f'`kl` must be "components" or "mixture". Received: kl={kl!r}')
        self.kl = kl

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        sample = q.joint.sample(stream)
        w = p.sample_private(q, sample, stream.child("private"))
        reconstruction = negate(p.log_prob(sample.z, w))
        if self.kl == "components":
            kl = q.joint.kl_to(p.prior, sample)
        else:
            kl = q.joint.log_prob(sample.z) - p.prior.log_prob(sample.z)
        return bound_terms(p, reconstruction, kl, p.private_kl(q, sample, w), schedule_value(self.beta, q.step))
