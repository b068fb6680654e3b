"""JMVAE-kl: a joint encoder, to which the single ones are drawn."""

import keras

from tf_mopoe.objectives.mvtcae import kl_to_experts
from tf_mopoe.objectives.terms import Objective, Terms, check_beta, negative, value_at, weighted


@keras.saving.register_keras_serializable(package="tf_mopoe")
class JMVAE(Objective):
    """loss = sum{ weight[m] * E_q[-log p(x[m] | z)] : m } + beta * KL( q || p ) + alpha * sum{ KL( q || q[m] ) : m }.

    q is the joint posterior, one Gaussian: that of a `JointEncoder`, a network that reads all modalities at once.
    Reference: Suzuki, Nakayama, Matsuo, "Joint multimodal learning with deep generative models", 2016 (JMVAE-kl).

    Args:
        alpha: weight of the terms that teach the single encoders: a number, 0 or more, or a schedule of the step.
            Default 0.1.
        beta: weight of the KL, likewise. Default 1.0. A warm-up is a schedule, such as
            `keras.optimizers.schedules.PolynomialDecay(0.0, 2000, 1.0)`.

    Raises:
        ValueError: for any other alpha or beta; at the call, for a joint posterior that is a mixture.
    """

    def __init__(self, alpha=0.1, beta=1.0):
        self.alpha = check_beta(alpha, "alpha")
        self.beta = check_beta(beta)

    def __call__(self, q, log_likelihood, weights, seed):
        joint = one_component(q)
        reconstruction = negative(log_likelihood(joint.sample(seed)))
        kl = joint.mean_kl_to_prior()
        loss = weighted(weights, reconstruction) + value_at(self.beta, q.step) * kl
        return Terms(loss + value_at(self.alpha, q.step) * kl_to_experts(q, joint), reconstruction, kl)


def one_component(q):
    """The joint posterior's `Components`, which must be a single one."""
    if q.components.weights.shape[1] != 1:
        raise ValueError(
            "This objective needs a joint posterior of one component, such as a JointEncoder. "
            f"Received: {q.components.weights.shape[1]} components"
        )
    return q.components
