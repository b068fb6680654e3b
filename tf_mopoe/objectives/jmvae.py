"""JMVAE-kl: a joint encoder, to which the single ones are drawn."""

import keras

from tf_mopoe.generative import Generative
from tf_mopoe.objectives.mvtcae import kl_to_experts
from tf_mopoe.objectives.terms import (
    LossTerms,
    Objective,
    bound_terms,
    check_beta,
    check_posterior,
    negate,
    schedule_value,
)
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import RowStream, Stream
from tf_mopoe.typing import Scheduled


@keras.saving.register_keras_serializable(package="tf_mopoe")
class JMVAE(Objective):
    """Teach each expert the posterior of a joint encoder (Suzuki et al. 2016).

    loss = sum{ weight[m] * E_q[-log p(x[m] | z)] : m } + beta * KL( q || p ) + alpha * sum{ KL( q || q[m] ) : m }.

    q is the joint posterior, one Gaussian: that of a `JointEncoder`, a network that reads all modalities at once.
    Reference: Suzuki, Nakayama, Matsuo, "Joint multimodal learning with deep generative models", 2016 (JMVAE-kl).

    Args:
        alpha: weight of the terms that teach the single encoders: a number, 0 or more, or a schedule of the step.
            Default 0.1.
        beta: weight of the KL, likewise. Default 1.0. A warm-up is a schedule, such as
            `keras.optimizers.schedules.PolynomialDecay(0.0, 2000, 1.0)`.

    Raises:
        ValueError: for any other alpha or beta; in the model, for a joint posterior that is a mixture.
    """

    extra_metrics = ("kl_to_experts",)

    def __init__(self, alpha: Scheduled = 0.1, beta: Scheduled = 1.0):
        self.alpha = check_beta(alpha, "alpha")
        self.beta = check_beta(beta)

    def check(self, joint_posterior: JointPosterior) -> None:
        suits = joint_posterior.is_one_gaussian and not joint_posterior.experts_are_features
        # Experts that are likelihoods are no posteriors.
        suits = suits and getattr(joint_posterior, "prior_expert", None) != "conjunctive"
        check_posterior(self, suits, "JointEncoder(network, latent_dim)", joint_posterior)

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        sample = q.joint.sample(stream)
        w = p.sample_private(q, sample, stream.child("private"))
        reconstruction = negate(p.log_prob(sample.z, w))
        kl, private_kl = q.joint.kl_to(p.prior, sample), p.private_kl(q, sample, w)
        terms = bound_terms(p, reconstruction, kl, private_kl, schedule_value(self.beta, q.step))
        to_experts = kl_to_experts(q, q.joint)
        loss = terms.loss + schedule_value(self.alpha, q.step) * to_experts
        return terms._replace(loss=loss, extra={"kl_to_experts": to_experts})
