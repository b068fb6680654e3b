"""JNF without flows: a joint encoder's bound, and single encoders that learn its posterior by likelihood."""

import keras
import tensorflow as tf

from tf_mopoe.generative import Generative
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
class JNF(Objective):
    """Fit each expert to the draws of a joint encoder, by their likelihood (Senellart et al. 2023, without flows).

    loss = -ELBO_beta(X; q) - alpha * sum{ log q[m]( z held ) : m },   z ~ q.

    q is the posterior of a `JointEncoder`. No gradient of the second term reaches z, so that the joint encoder and the
    decoders learn from the first alone and the single encoders from the second alone: the published two stages in one. (That
    the encoders share no weights with the joint one is the user's part.) In the published method each q[m] is a normalizing
    flow; here it is the Gaussian of the encoder. A row that lacks something has no posterior of the joint encoder: its q is
    the product of its experts, which its bound trains, and it has no second term. Reference: Senellart, Chadebec &
    Allassonniere, "Improving multimodal joint variational autoencoders through normalizing flows", 2023.

    Args:
        beta: weight of the KL: a number, 0 or more, or a schedule of the step. Default 1.0.
        alpha: weight of the single encoders' term, likewise. Default 1.0: what it is does not matter to an optimizer that
            has no scale, such as Adam.

    Raises:
        ValueError: for any other beta or alpha.
    """

    extra_metrics = ("log_prob_of_experts",)

    def __init__(self, beta: Scheduled = 1.0, alpha: Scheduled = 1.0):
        self.beta = check_beta(beta)
        self.alpha = check_beta(alpha, "alpha")

    def check(self, joint_posterior: JointPosterior) -> None:
        suits = joint_posterior.reads_inputs and joint_posterior.is_one_gaussian
        check_posterior(self, suits, "JointEncoder(network, latent_dim)", joint_posterior)

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        sample = q.joint.sample(stream)
        w = p.sample_private(q, sample, stream.child("private"))
        reconstruction = negate(p.log_prob(sample.z, w))
        kl, private_kl = q.joint.kl_to(p.prior, sample), p.private_kl(q, sample, w)
        terms = bound_terms(p, reconstruction, kl, private_kl, schedule_value(self.beta, q.step))
        held = tf.stop_gradient(sample.z)
        log_prob = sum(q.expert(name).log_prob(held) for name in q.batch.names)
        whole = tf.equal(q.count, float(len(q.layer.modalities)))
        log_prob = tf.where(whole, log_prob, 0.0)
        loss = terms.loss - schedule_value(self.alpha, q.step) * log_prob
        return terms._replace(loss=loss, extra={"log_prob_of_experts": log_prob})
