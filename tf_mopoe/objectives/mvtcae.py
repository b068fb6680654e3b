"""MVTCAE's bound on the total correlation of the modalities."""

import keras
import tensorflow as tf

from tf_mopoe import gaussian
from tf_mopoe.generative import Generative
from tf_mopoe.hyperparameters import check_hyperparameter
from tf_mopoe.objectives.terms import (
    LossTerms,
    Objective,
    check_beta,
    check_normal,
    check_posterior,
    negate,
    schedule_value,
    weighted_sum,
)
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import RowStream, Stream
from tf_mopoe.typing import Number, Scheduled


@keras.saving.register_keras_serializable(package="tf_mopoe")
class MVTCAE(Objective):
    """Bound the total correlation: reconstruct from the product, the experts drawn to it (Hwang et al. 2021).

    loss = (M - a) / M * Rec + beta * [ (1 - a) * KL( q || p ) + a / M * sum{ KL( q || q[m] ) : m } ].

    Rec is the weighted sum of the reconstruction terms, and of the KL of private latent variables; q the product of all
    experts without the prior (`joint_posterior="mvtcae"`), q[m] a single expert; M counts what a row has. With a = 0 it is
    the ELBO of the product, of one modality (1 - a) times its ELBO. Reference: Hwang et al., "Multi-view representation
    learning via total correlation objective", NeurIPS 2021.

    Args:
        alpha: a, in [0, 1]: how much each expert is drawn to what all say together. Default 5/6, as published.
        beta: weight of the divergences: a number, 0 or more, or a schedule of the step. Default 1.0.

    Raises:
        ValueError: for any other alpha or beta.
    """

    extra_metrics = ("kl_to_experts",)

    def __init__(self, alpha: Number = 5.0 / 6.0, beta: Scheduled = 1.0):
        self.alpha = check_hyperparameter("alpha", alpha, high=1.0)
        self.beta = check_beta(beta)

    def check(self, joint_posterior: JointPosterior) -> None:
        subsets, prior = (getattr(joint_posterior, name, None) for name in ("subsets", "prior_expert"))
        check_posterior(self, (subsets, prior) == ("full", "none"), '"mvtcae"', joint_posterior)

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        sample = q.joint.sample(stream)
        w = p.sample_private(q, sample, stream.child("private"))
        reconstruction = negate(p.log_prob(sample.z, w))
        kl, private_kl = q.joint.kl_to(p.prior, sample), p.private_kl(q, sample, w)
        count, beta = tf.maximum(q.count, 1.0), schedule_value(self.beta, q.step)
        to_experts = kl_to_experts(q, q.joint)
        divergence = (1.0 - self.alpha) * kl + self.alpha / count * to_experts
        bound = weighted_sum(p.weights, reconstruction) + p.private_weight(beta) * private_kl
        loss = (count - self.alpha) / count * bound + beta * divergence
        elbo = -(sum(reconstruction.values()) + kl + private_kl)
        return LossTerms(loss, reconstruction, kl, private_kl, elbo, {"kl_to_experts": to_experts})


def kl_to_experts(q, joint):
    """Compute sum{ KL( joint || q[m] ) : m }, [B], of what each row has; `joint`: `Mixture` with S = 1."""
    check_normal(joint)
    total = 0.0
    for name, available in q.available.items():
        expert = q.expert(name)
        kl = gaussian.kl_between(joint.loc, joint.scale, expert.loc, expert.scale)[:, 0]
        total += tf.where(available, kl, 0.0)
    return total
