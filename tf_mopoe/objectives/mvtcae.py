"""MVTCAE's bound on the total correlation of the modalities."""

import keras
import tensorflow as tf

from tf_mopoe import experts
from tf_mopoe.hyperparameters import check_hyperparameter
from tf_mopoe.objectives.terms import Objective, Terms, check_beta, check_normal, negative, value_at, weighted


@keras.saving.register_keras_serializable(package="tf_mopoe")
class MVTCAE(Objective):
    """loss = (M - a) / M * Rec + beta * [ (1 - a) * KL( q || p ) + a / M * sum{ KL( q || q[m] ) : m } ].

    Rec is the weighted sum of the reconstruction terms, q the product of all experts without the prior
    (`joint_posterior="mvtcae"`), q[m] a single expert; M counts what a row has. With a = 0 it is the ELBO of the product,
    of one modality (1 - a) times its ELBO. Reference: Hwang et al., "Multi-view representation learning via total
    correlation objective", NeurIPS 2021.

    Args:
        alpha: a, in [0, 1]: how much each expert is drawn to what all say together. Default 5/6, as published.
        beta: weight of the divergences: a number, 0 or more, or a schedule of the step. Default 1.0.

    Raises:
        ValueError: for any other alpha or beta.
    """

    def __init__(self, alpha=5.0 / 6.0, beta=1.0):
        self.alpha = check_hyperparameter("alpha", alpha, high=1.0)
        self.beta = check_beta(beta)

    def __call__(self, q, log_likelihood, weights, seed):
        joint = q.product(tuple(q.experts))
        reconstruction = negative(log_likelihood(joint.sample(seed)))
        count = tf.maximum(q.count, 1.0)
        kl = joint.mean_kl_to_prior()
        divergence = (1.0 - self.alpha) * kl + self.alpha / count * kl_to_experts(q, joint)
        loss = (count - self.alpha) / count * weighted(weights, reconstruction)
        elbo = -sum(reconstruction.values()) - kl
        return Terms(loss + value_at(self.beta, q.step) * divergence, reconstruction, divergence, elbo)


def kl_to_experts(q, joint):
    """sum{ KL( joint || q[m] ) : m }, [B], of what each row has; `joint`: `Components` with S = 1."""
    check_normal(joint)
    total = 0.0
    for name, available in q.available.items():
        expert = q.expert(name)
        # An absent expert stands for itself, so that nothing of it reaches the gradient.
        loc = tf.where(available[:, None, None], expert.loc, 0.0)
        scale = tf.where(available[:, None, None], expert.scale, 1.0)
        kl = experts.kl_between(joint.loc, joint.scale, loc, scale)[:, 0]
        total += tf.where(available, kl, 0.0)
    return total
