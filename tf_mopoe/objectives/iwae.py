"""The importance-weighted bound of a mixture posterior, with three estimates of its gradient."""

import math

import keras
import tensorflow as tf

from tf_mopoe.checks import check_count
from tf_mopoe.generative import Generative
from tf_mopoe.objectives.terms import LossTerms, Objective, check_beta, negate, schedule_value, weighted_sum
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import RowStream, Stream
from tf_mopoe.typing import Scheduled

GRADIENTS = ("iwae", "dreg", "dreg_published")


@keras.saving.register_keras_serializable(package="tf_mopoe")
class IWAE(Objective):
    """Bound log p(X) by K importance-weighted samples of each component.

    loss = -sum{ w[s] * log 1/K sum{ p(X, z[s, k]) / q(z[s, k] | X) : k } : s },   z[s, 1..K] from component s.

    The density of the whole mixture is the denominator. With the singletons it is MMVAE's bound (Shi et al. 2019, section
    3), with any other family the same of its components; with one component it is IWAE's (Burda et al. 2016, eq. 8), and
    with K = 1 it is `ELBO(kl="mixture")` averaged over the components. The networks see S * K samples per row.

    `gradient="dreg"`: the encoders' gradient is the doubly reparameterised one (Tucker et al. 2019), of the same mean as
    the plain one, "iwae", and, near beta = 1, a lower variance. With log w = log p(X | z) + beta * log(p(z) / q(z)) and
    v[k] = w[k] / sum(w) it is, for each component,

        sum{ (1 - beta + beta * v[k]) * v[k] * d(log w)/dz * dz/d(encoder) - beta * (v[k] - 1/K) * d log( q(z) / q[s](z) ) }

    where the last d is with z held: z comes from q[s], and q is the mixture. "dreg_published" leaves that term out, as
    Shi et al. 2019 describe it: with several components and K > 1 its mean is not that of the plain one. (In their released
    code the second weighing never acts.)

    A private latent variable of a member of component s is part of the importance weight, with the density ratio of its
    own, one draw per sample. With the singletons and learned auxiliary priors this is MMVAE+'s bound (Palumbo et al. 2023).

    The logged metrics are averages under the importance weights; the KL is what the loss has beside them; `elbo` is the
    bound itself at beta 1 and weights 1.

    Args:
        num_samples: K, of each component; default 10.
        beta: power of p(z) / q(z | X): a number, 0 or more, or a schedule of the step. Default 1.0: a bound on log p(X).
        gradient: "iwae" (default), "dreg" or "dreg_published".

    Raises:
        ValueError: for a `num_samples` that is not a positive integer, any other beta or gradient.
    """

    def __init__(self, num_samples: int = 10, beta: Scheduled = 1.0, gradient: str = "iwae"):
        self.num_samples = check_count("num_samples", num_samples)
        self.beta = check_beta(beta)
        if gradient not in GRADIENTS:
            raise ValueError(
                f"`gradient` must be one of {', '.join(map(repr, GRADIENTS))}. Received: gradient={gradient!r}"
            )
        self.gradient = gradient

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        joint, count = q.joint, self.num_samples
        rows, subsets = tf.shape(joint.weights)[0], joint.num_components
        index = tf.repeat(tf.range(subsets), count)[:, None] + tf.zeros([rows], tf.int32)  # [S * K, B]
        sample = joint.sample_component(index, stream)  # z [S * K, B, D]
        beta = schedule_value(self.beta, q.step)
        private_beta = p.private_weight(beta)
        plain = self.gradient == "iwae"
        density, share = joint, {}
        if not plain:
            density = joint.stop_gradient()
            sample = sample._replace(z=scale_gradient(sample.z, share, "z"))
        w = p.sample_private(q, sample, stream.child("private"))
        if not plain:  # an auxiliary prior has no density in the weights: its gradient is the plain one
            for name, own in w.items():
                member = p.is_member(name, q, sample)[..., None]
                w[name] = tf.where(member, scale_gradient(own, share, "w"), own)
        log_probs = p.log_prob(sample.z, w)
        ratio = p.prior.log_prob(sample.z) - density.log_prob(sample.z)
        private_ratio = p.private_ratio(q, sample, w, frozen=not plain)
        shape = [subsets, count, rows]  # [S, K, B]
        log_weight = weighted_sum(p.weights, log_probs) + beta * ratio + private_beta * private_ratio
        log_weight = tf.reshape(log_weight, shape)
        bound = tf.reduce_logsumexp(log_weight, axis=1) - math.log(count)  # [S, B]
        normalized = tf.stop_gradient(tf.nn.softmax(log_weight, axis=1))
        if not plain:  # the value of the bound, the gradient of the weighted sum
            flat = tf.reshape(normalized, [subsets * count, rows, 1])
            share |= {"z": 1.0 - beta + beta * flat, "w": 1.0 - private_beta + private_beta * flat}
            total = tf.reduce_sum(normalized * log_weight, axis=1)
            if self.gradient == "dreg" and subsets > 1 and count > 1:
                still = tf.stop_gradient(sample.z)
                own = joint.family.log_prob(still, *joint.gather(index))
                apart = tf.reshape(joint.log_prob(still) - own, shape)
                total -= beta * tf.reduce_sum((normalized - 1.0 / count) * apart, axis=1)
            bound = total + tf.stop_gradient(bound - total)
        weights = tf.transpose(joint.weights)  # [S, B]
        loss = -tf.reduce_sum(weights * bound, axis=0)

        def average(term):
            term = tf.reduce_sum(normalized * tf.reshape(term, shape), axis=1)
            return tf.stop_gradient(tf.reduce_sum(weights * term, axis=0))

        reconstruction = negate({name: average(term) for name, term in log_probs.items()})
        private_kl = -average(private_ratio)
        kl = tf.stop_gradient(loss - weighted_sum(p.weights, reconstruction) - private_beta * private_kl)
        unweighted = tf.reshape(sum(log_probs.values()) + ratio + private_ratio, shape)
        elbo = tf.reduce_sum(weights * (tf.reduce_logsumexp(unweighted, axis=1) - math.log(count)), axis=0)
        return LossTerms(loss, reconstruction, kl, private_kl, tf.stop_gradient(elbo))


def scale_gradient(x, share, name):
    """x, whose gradient is multiplied by share[name], a tensor that may be known later than x is used."""

    @tf.custom_gradient
    def identity(x):
        return tf.identity(x), lambda upstream: upstream * share[name]

    return identity(x)
