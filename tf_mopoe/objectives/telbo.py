"""The triple ELBO: of the joint posterior, and of each modality's own."""

import keras
import tensorflow as tf

from tf_mopoe.hyperparameters import check_hyperparameter
from tf_mopoe.objectives.jmvae import one_component
from tf_mopoe.objectives.terms import Objective, Terms, check_beta, negative, value_at, weighted


@keras.saving.register_keras_serializable(package="tf_mopoe")
class TELBO(Objective):
    """loss = -ELBO(X; q) - sum{ ELBO(x[m]; q[m]) : m }.

    The first, of the joint posterior (one Gaussian, that of a `JointEncoder`), trains the decoders and the joint encoder.
    The others train the single encoders only: no gradient reaches the decoders from them (in the authors' code an option
    of each modality). Reference: Vedantam et al., "Generative models of visually grounded imagination", ICLR 2018.

    The terms told are those of ELBO(X; q).

    Args:
        beta: weight of each KL: a number, 0 or more, or a schedule of the step. Default 1.0.
        unimodal_weight: of the reconstruction in ELBO(x[m]; q[m]), on top of the modality's own weight (lambda of the
            paper). Default 1.0.

    Raises:
        ValueError: for any other value; at the call, for a joint posterior that is a mixture.
    """

    def __init__(self, beta=1.0, unimodal_weight=1.0):
        self.beta = check_beta(beta)
        self.unimodal_weight = check_hyperparameter("unimodal_weight", unimodal_weight)

    def __call__(self, q, log_likelihood, weights, seed):
        joint, beta = one_component(q), value_at(self.beta, q.step)
        seed, *seeds = tf.unstack(tf.random.split(seed, 1 + len(q.experts)))
        reconstruction = negative(log_likelihood(joint.sample(seed)))
        kl = joint.mean_kl_to_prior()
        loss = weighted(weights, reconstruction) + beta * kl
        for name, seed in zip(q.experts, seeds):
            single = q.expert(name)
            found = log_likelihood(single.sample(seed), frozen=True)[name]
            own = beta * single.mean_kl_to_prior() - self.unimodal_weight * weights[name] * found
            loss += tf.where(q.available[name], own, 0.0)
        return Terms(loss, reconstruction, kl)
