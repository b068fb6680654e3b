"""CRMVAE: the joint posterior decodes everything, each expert its own modality, and is drawn to the joint posterior."""

import keras

from tf_mopoe.generative import Generative
from tf_mopoe.objectives.mvtcae import kl_to_experts
from tf_mopoe.objectives.terms import (
    LossTerms,
    Objective,
    check_beta,
    check_posterior,
    negate,
    schedule_value,
    weighted_sum,
)
from tf_mopoe.objectives.unimodal import unimodal_terms
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import RowStream, Stream
from tf_mopoe.typing import Scheduled


@keras.saving.register_keras_serializable(package="tf_mopoe")
class CRMVAE(Objective):
    """Reconstruct from the product and from each expert, the experts drawn to it (Suzuki & Matsuo 2023).

    loss = 1 / (M + 1) * { 1/2 sum{ Rec[m](z) + Rec[m](z[m]) : m } + beta * [ KL(q || p) + sum{ KL(q || q[m]) : m } ] }.

    Rec[m] is the weighted E[-log p(x[m] | .)], z of q, the product of all experts without the prior
    (`joint_posterior="mvtcae"`), z[m] of the expert q[m]; M counts what a row has. The KL of private latent variables is
    in the bound once. The metric `unimodal_reconstruction` is the weighted sum of Rec[m](z[m]). Reference: Suzuki &
    Matsuo, "Mitigating the limitations of multimodal VAEs with coordination-based approach", 2023.

    Args:
        beta: weight of the divergences: a number, 0 or more, or a schedule of the step. Default 1.0.

    Raises:
        ValueError: for any other beta.
    """

    extra_metrics = ("kl_to_experts", "unimodal_reconstruction")

    def __init__(self, beta: Scheduled = 1.0):
        self.beta = check_beta(beta)

    def check(self, joint_posterior: JointPosterior) -> None:
        subsets, prior = (getattr(joint_posterior, name, None) for name in ("subsets", "prior_expert"))
        check_posterior(self, (subsets, prior) == ("full", "none"), '"mvtcae"', joint_posterior)

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        sample = q.joint.sample(stream)
        w = p.sample_private(q, sample, stream.child("private"))
        reconstruction = negate(p.log_prob(sample.z, w))
        kl, private_kl = q.joint.kl_to(p.prior, sample), p.private_kl(q, sample, w)
        to_experts = kl_to_experts(q, q.joint)
        alone, _, _ = unimodal_terms(q, p, stream.child("alone"))
        beta = schedule_value(self.beta, q.step)
        alone = weighted_sum(p.weights, alone)
        both = 0.5 * (weighted_sum(p.weights, reconstruction) + alone)
        loss = (both + beta * (kl + to_experts) + p.private_weight(beta) * private_kl) / (q.count + 1.0)
        elbo = -(sum(reconstruction.values()) + kl + private_kl)
        extra = {"kl_to_experts": to_experts, "unimodal_reconstruction": alone}
        return LossTerms(loss, reconstruction, kl, private_kl, elbo, extra)
