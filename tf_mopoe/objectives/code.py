"""CoDE-VAE's bound: every component of the joint posterior decodes, and their weights may be learned."""

import keras
import tensorflow as tf

from tf_mopoe.generative import Generative
from tf_mopoe.hyperparameters import check_hyperparameter
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
from tf_mopoe.typing import Number, Scheduled


@keras.saving.register_keras_serializable(package="tf_mopoe")
class CoDE(Objective):
    """Average the bounds of all subsets, their weights learned with an entropy term (Mancisidor et al. 2025).

    loss = sum{ w[s] * ( Rec(z[s]) + beta * KL( q[s] || p ) ) : s } + entropy_weight * ( log S - H(w) ),   z[s] ~ q[s].

    The sum is over all components q[s] of the joint posterior, with one sample of each: `ELBO` without the draw of a
    component, at S times the decoders' work, and with a gradient that reaches the weights w[s]. Learned ones are those of
    `MixtureOfProducts(..., learned_weights=True)`; H is their entropy, the published term but for the constant log S, so
    that equal weights add 0. S counts the subsets that a row can form, over which its weights sum to 1. Reference:
    Mancisidor, Jenssen, Yu, Kampffmeyer, "Aggregation of dependent expert distributions in multimodal variational
    autoencoders", ICML 2025; its experts are pooled by `pooling.Correlated`.

    Args:
        beta: weight of the KL: a number, 0 or more, or a schedule of the step. Default 1.0.
        entropy_weight: how much the weights are drawn to be equal; default 1,000, as published.

    Raises:
        ValueError: for any other beta or weight; in the model, for a joint posterior whose components are drawn.
    """

    extra_metrics = ("weights_entropy",)

    def __init__(self, beta: Scheduled = 1.0, entropy_weight: Number = 1000.0):
        self.beta = check_beta(beta)
        self.entropy_weight = check_hyperparameter("entropy_weight", entropy_weight)

    def check(self, joint_posterior: JointPosterior) -> None:
        suits = not joint_posterior.draws(joint_posterior.modalities)
        check_posterior(self, suits, "MixtureOfProducts(...) of subsets that are not drawn", joint_posterior)

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        joint = q.joint
        weights = tf.transpose(joint.weights)  # [S, B]
        index = tf.range(joint.num_components)[:, None] + tf.zeros([tf.shape(weights)[1]], tf.int32)
        sample = joint.sample_component(index, stream)  # z [S, B, D]
        w = p.sample_private(q, sample, stream.child("private"))

        def average(term):
            return tf.reduce_sum(weights * term, axis=0)

        reconstruction = negate({name: average(term) for name, term in p.log_prob(sample.z, w).items()})
        if p.prior.has_closed_kl:
            kl = p.prior.kl(sample.loc, sample.scale)
        else:
            kl = joint.family.log_prob(sample.z, sample.loc, sample.scale) - p.prior.log_prob(sample.z)
        private_kl = average(p.private_kl(q, sample, w))
        terms = bound_terms(p, reconstruction, average(kl), private_kl, schedule_value(self.beta, q.step))
        used = weights > 0.0
        entropy = -average(tf.math.log(tf.where(used, weights, 1.0)))
        most = tf.math.log(tf.reduce_sum(tf.cast(used, tf.float32), axis=0))
        loss = terms.loss + self.entropy_weight * (most - entropy)
        return terms._replace(loss=loss, extra={"weights_entropy": entropy})
