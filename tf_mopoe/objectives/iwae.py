"""The importance-weighted bound of a mixture posterior, with three estimates of its gradient."""

import math

import keras
import tensorflow as tf

from tf_mopoe.checks import check_count
from tf_mopoe.objectives.terms import Objective, Terms, check_beta, negative, value_at, weighted

GRADIENTS = ("iwae", "dreg", "dreg_published")


@keras.saving.register_keras_serializable(package="tf_mopoe")
class IWAE(Objective):
    """loss = -sum{ w[s] * log 1/K sum{ p(X, z[s, k]) / q(z[s, k] | X) : k } : s },   z[s, 1..K] from component s.

    The density of the whole mixture is the denominator. With the singletons it is MMVAE's bound (Shi et al. 2019, section
    3), with any other family the same of its components; with one component it is IWAE's (Burda et al. 2016, eq. 8), and
    with K = 1 it is `ELBO(kl="mixture")` averaged over the components. The networks see S * K samples of a row.

    `gradient="dreg"`: the encoders' gradient is the doubly reparameterised one (Tucker et al. 2019), of the same mean as
    the plain one, "iwae", and, near beta = 1, a lower variance. With log w = log p(X | z) + beta * log(p(z) / q(z)) and
    v[k] = w[k] / sum(w) it is, for each component,

        sum{ (1 - beta + beta * v[k]) * v[k] * d(log w)/dz * dz/d(encoder) - beta * (v[k] - 1/K) * d log( q(z) / q[s](z) ) }

    where the last d is with z held: z comes from q[s], and q is the mixture. "dreg_published" leaves that term out, as
    Shi et al. 2019 describe it: with several components and K > 1 its mean is not that of the plain one. (In the code
    that they released the hook that should multiply by v[k] a second time is on a tensor that the loss does not depend
    on, and never acts: its gradient has v[k] once, and is neither of these.)

    The terms told are averages under the importance weights; the KL is what the loss has beside them.

    Args:
        num_samples: K, of each component; default 10.
        beta: power of p(z) / q(z | X): a number, 0 or more, or a schedule of the step. Default 1.0: a bound on log p(X).
        gradient: "iwae" (default), "dreg" or "dreg_published".

    Raises:
        ValueError: for a `num_samples` that is not a positive integer, any other beta or gradient.
    """

    def __init__(self, num_samples=10, beta=1.0, gradient="iwae"):
        self.num_samples = check_count("num_samples", num_samples)
        self.beta = check_beta(beta)
        if gradient not in GRADIENTS:
            raise ValueError(
                f"`gradient` must be one of {', '.join(map(repr, GRADIENTS))}. Received: gradient={gradient!r}"
            )
        self.gradient = gradient

    def __call__(self, q, log_likelihood, weights, seed):
        components, count = q.components, self.num_samples
        rows, subsets = tf.shape(components.weights)[0], components.weights.shape[1]
        index = tf.repeat(tf.range(subsets), count)[:, None] + tf.zeros([rows], tf.int32)  # [S * K, B]
        z = components.sample_at(index, seed)  # [S * K, B, D]
        density, share = components, {}
        if self.gradient != "iwae":
            density, z = components.frozen(), multiplied_gradient(z, share)
        found = log_likelihood(z)
        beta = value_at(self.beta, q.step)
        log_ratio = components.prior_log_prob(z) - density.log_prob(z)
        log_weight = tf.reshape(weighted(weights, found) + beta * log_ratio, [subsets, count, -1])  # [S, K, B]
        bound = tf.reduce_logsumexp(log_weight, axis=1) - math.log(count)  # [S, B]
        plain = tf.reshape(sum(found.values()) + log_ratio, [subsets, count, -1])  # beta and all weights 1
        elbo = tf.reduce_logsumexp(plain, axis=1) - math.log(count)
        normalized = tf.stop_gradient(tf.nn.softmax(log_weight, axis=1))
        share["factor"] = tf.reshape(1.0 - beta + beta * normalized, [subsets * count, -1, 1])
        if self.gradient != "iwae":  # the value of the bound, the gradient of the weighted sum
            total = tf.reduce_sum(normalized * log_weight, axis=1)
            if self.gradient == "dreg" and subsets > 1 and count > 1:
                still = tf.stop_gradient(z)
                ratio = components.log_prob(still) - components.density.log_prob(still, *components.chosen(index))
                ratio = tf.reshape(ratio, tf.shape(log_weight))
                total -= beta * tf.reduce_sum((normalized - 1.0 / count) * ratio, axis=1)
            bound = total + tf.stop_gradient(bound - total)
        of_components = tf.transpose(components.weights)  # [S, B]
        loss = -tf.reduce_sum(of_components * bound, axis=0)

        def average(term):
            term = tf.reduce_sum(normalized * tf.reshape(term, tf.shape(normalized)), axis=1)
            return tf.stop_gradient(tf.reduce_sum(of_components * term, axis=0))

        reconstruction = negative({name: average(term) for name, term in found.items()})
        elbo = tf.stop_gradient(tf.reduce_sum(of_components * elbo, axis=0))
        return Terms(loss, reconstruction, tf.stop_gradient(loss - weighted(weights, reconstruction)), elbo)


def multiplied_gradient(z, share):
    """z, whose gradient is multiplied by share["factor"], a tensor that may be known later than z is used."""

    @tf.custom_gradient
    def identity(z):
        return tf.identity(z), lambda upstream: upstream * share["factor"]

    return identity(z)
