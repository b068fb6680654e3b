"""MMVM: a latent variable for every modality, each drawn to those of the others; no joint posterior."""

import keras
import tensorflow as tf

from tf_mopoe import gaussian
from tf_mopoe.generative import Generative
from tf_mopoe.objectives.terms import (
    LossTerms,
    Objective,
    check_beta,
    check_normal,
    check_posterior,
    schedule_value,
    weighted_sum,
)
from tf_mopoe.objectives.unimodal import unimodal_terms
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import RowStream, Stream
from tf_mopoe.typing import Scheduled


@keras.saving.register_keras_serializable(package="tf_mopoe")
class MMVM(Objective):
    """Give each modality its own z, drawn to those of the others (Sutter et al. 2024).

    loss = sum{ Rec[m](z[m]) + beta * [ (1 - a) / M * sum{ KL( q[m] || q[n] ) : n } + a * KL( q[m] || p ) ] : m }.

    Every modality decodes from its own z[m] of its expert q[m]; M counts what a row has. The average of the divergences is
    an upper bound of that to the mixture of the experts, the "mixture-of-experts prior". With a = 1 the modalities are VAEs
    of their own. Once a is 0 no prior holds what is learned, so that `generate` has no meaning: take a sampler
    (`evaluation.latent_mixture`). The metric `elbo` is the sum of the modalities' own bounds, on sum{ log p(x[m]) : m }.
    Reference: Sutter et al., "Unity by diversity", NeurIPS 2024.

    Args:
        beta: weight of the divergences: a number, 0 or more, or a schedule of the step. Default 1.0.
        alpha: a, likewise, in [0, 1]. Default: from 1 to 0 over 150,000 steps, as published.

    Raises:
        ValueError: for any other beta or alpha.
    """

    extra_metrics = ("kl_between_experts",)

    def __init__(self, beta: Scheduled = 1.0, alpha: Scheduled | None = None):
        self.beta = check_beta(beta)
        alpha = keras.optimizers.schedules.PolynomialDecay(1.0, 150_000, 0.0) if alpha is None else alpha
        self.alpha = check_beta(alpha, "alpha")

    def check(self, joint_posterior: JointPosterior) -> None:
        rules = getattr(joint_posterior, "subsets", None), getattr(joint_posterior, "prior_expert", None)
        suits = rules in (("unimodal", "none"), ("unimodal", "full"))  # whose components are the bare experts
        check_posterior(self, suits, '"mmvae"', joint_posterior)

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        reconstruction, samples, private_kl = unimodal_terms(q, p, stream)
        beta, alpha = schedule_value(self.beta, q.step), schedule_value(self.alpha, q.step)
        kl, apart = 0.0, 0.0
        for name, available in q.available.items():
            expert = check_normal(q.expert(name))
            kl += tf.where(available, expert.kl_to(p.prior, samples[name]), 0.0)
            for other, has in q.available.items():
                if other != name:
                    target = q.expert(other)
                    between = gaussian.kl_between(expert.loc, expert.scale, target.loc, target.scale)[:, 0]
                    apart += tf.where(available & has, between, 0.0)
        apart /= tf.maximum(q.count, 1.0)
        divergence = (1.0 - alpha) * apart + alpha * kl
        loss = weighted_sum(p.weights, reconstruction) + beta * divergence + p.private_weight(beta) * private_kl
        elbo = -(sum(reconstruction.values()) + kl + private_kl)
        return LossTerms(loss, reconstruction, kl, private_kl, elbo, {"kl_between_experts": apart})
