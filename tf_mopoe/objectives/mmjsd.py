"""The multimodal Jensen-Shannon divergence with its dynamic prior."""

import keras
import tensorflow as tf

from tf_mopoe import experts, rounding
from tf_mopoe.objectives.terms import Objective, Terms, check_beta, check_normal, negative, value_at, weighted


@keras.saving.register_keras_serializable(package="tf_mopoe")
class MMJSD(Objective):
    """loss = sum{ weight[m] * E_q[-log p(x[m] | z)] : m } + beta * sum{ w[s] * KL( q[s] || f ) : s }.

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

    def __init__(self, beta=1.0):
        self.beta = check_beta(beta)

    def __call__(self, q, log_likelihood, weights, seed):
        components = check_normal(q.components)
        loc, scale = components.loc, components.scale  # [B, S, D]
        reconstruction = negative(log_likelihood(components.sample(seed)))
        precision = components.weights[..., None] * tf.square(rounding.reciprocal(scale))
        total = tf.reduce_sum(precision, axis=1, keepdims=True)  # [B, 1, D]
        center = tf.reduce_sum(precision * loc, axis=1, keepdims=True) / total
        each = experts.kl_between(loc, scale, center, rounding.rsqrt(total))  # [B, S]
        divergence = tf.reduce_sum(components.weights * each, axis=1)
        loss = weighted(weights, reconstruction) + value_at(self.beta, q.step) * divergence
        elbo = -sum(reconstruction.values()) - components.mean_kl_to_prior()  # under p(z), not f
        return Terms(loss, reconstruction, divergence, elbo)
