"""The multimodal Jensen-Shannon divergence with its dynamic prior."""

import keras
import tensorflow as tf

from tf_mopoe import gaussian, rounding
from tf_mopoe.generative import Generative
from tf_mopoe.objectives.terms import (
    LossTerms,
    Objective,
    bound_terms,
    check_beta,
    check_normal,
    check_posterior,
    negate,
    schedule_value,
)
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import RowStream, Stream
from tf_mopoe.typing import Scheduled


@keras.saving.register_keras_serializable(package="tf_mopoe")
class MMJSD(Objective):
    """Draw the components to their geometric mean with the prior (Sutter et al. 2020).

    loss = sum{ weight[m] * E_q[-log p(x[m] | z)] : m } + beta * sum{ w[s] * KL( q[s] || f ) : s }.

    f is the dynamic prior, the geometric mean of all components: f ~ prod{ q[s]^w[s] : s }, a Gaussian again. Of
    `joint_posterior="mmjsd"`: the components are the single experts and the prior p(z), and z comes from their mixture (as
    in the code of Sutter et al. 2021; in the first one z comes from the experts only). It bounds the log of p(X) under f,
    not p(z). Reference: Sutter, Daunhawer, Vogt, "Multimodal generative learning utilizing Jensen-Shannon divergence",
    NeurIPS 2020.

    Args:
        beta: weight of the divergence: a number, 0 or more, or a schedule of the step. Default 1.0.

    Raises:
        ValueError: for any other beta; at the call, for experts that are not normal.
    """

    extra_metrics = ("divergence",)

    def __init__(self, beta: Scheduled = 1.0):
        self.beta = check_beta(beta)

    def check(self, joint_posterior: JointPosterior) -> None:
        suits = getattr(joint_posterior, "subsets", None) == "unimodal_and_prior"
        check_posterior(self, suits, '"mmjsd"', joint_posterior)

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        joint = check_normal(q.joint)
        loc, scale = joint.loc, joint.scale  # [B, S, D]
        sample = joint.sample(stream)
        w = p.sample_private(q, sample, stream.child("private"))
        reconstruction = negate(p.log_prob(sample.z, w))
        precision = joint.weights[..., None] * tf.square(rounding.reciprocal(scale))
        total = tf.reduce_sum(precision, axis=1, keepdims=True)  # [B, 1, D]
        center = tf.reduce_sum(precision * loc, axis=1, keepdims=True) / total
        divergence = joint.mean(gaussian.kl_between(loc, scale, center, rounding.rsqrt(total)))
        beta, private_kl = schedule_value(self.beta, q.step), p.private_kl(q, sample, w)
        loss = bound_terms(p, reconstruction, divergence, private_kl, beta).loss
        terms = bound_terms(p, reconstruction, joint.kl_to(p.prior, sample), private_kl, beta)
        return terms._replace(loss=loss, extra={"divergence": divergence})
