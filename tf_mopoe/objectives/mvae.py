"""MVAE's sum of bounds: of all modalities, of each alone, and of random subsets."""

import keras
import tensorflow as tf

from tf_mopoe import sampling
from tf_mopoe.checks import check_count
from tf_mopoe.objectives.terms import Objective, Terms, check_beta, negative, value_at, weighted


@keras.saving.register_keras_serializable(package="tf_mopoe")
class MVAE(Objective):
    """loss = -ELBO(X) - sum{ ELBO(x[m]) : m } - sum{ ELBO(X[s]) : s in k random subsets }.

    ELBO(X[s]) has q = the product of the experts in s (and the prior: `joint_posterior="mvae"`), and reconstructs only s.
    A row adds the bounds of what it has, that of its only modality once. The subsets are drawn anew each step, for the
    whole batch, uniformly over all non-empty ones (the authors' code: of 2 to M - 1 modalities, the size first).
    Reference: Wu & Goodman 2018, "sub-sampled training paradigm".

    The terms told are those of ELBO(X).

    Args:
        beta: weight of each KL: a number, 0 or more, or a schedule of the step. Default 1.0.
        num_subsets: k; default 0.

    Raises:
        ValueError: for any other beta, or a `num_subsets` that is not an integer, 0 or more.
    """

    def __init__(self, beta=1.0, num_subsets=0):
        self.beta = check_beta(beta)
        self.num_subsets = check_count("num_subsets", num_subsets, low=0)

    def __call__(self, q, log_likelihood, weights, seed):
        names = tuple(q.experts)
        every, *seeds = tf.unstack(tf.random.split(seed, 2 + len(names) + self.num_subsets))
        terms = self.bound(q, names, log_likelihood, weights, every, dict.fromkeys(names, True))
        loss = terms.loss
        for name in names if len(names) > 1 else ():
            alone = self.bound(q, (name,), log_likelihood, weights, seeds.pop(), {name: True}).loss
            loss += tf.where(q.count > 1.0, alone, 0.0)
        if self.num_subsets:
            drawn = (
                sampling.subsets(tf.ones([1, len(names)], tf.bool), self.num_subsets, seeds.pop())[0] > 0.0
            )  # [k, M]
            for row in tf.unstack(drawn):
                members = dict(zip(names, tf.unstack(row)))
                loss += self.bound(q, members, log_likelihood, weights, seeds.pop(), members).loss
        return terms._replace(loss=loss)

    def bound(self, q, members, log_likelihood, weights, seed, reconstructed):
        """`Terms` of the product of `members`, with the modalities that are True in `reconstructed`."""
        product = q.product(members)
        found = log_likelihood(product.sample(seed))
        reconstruction = negative({n: tf.where(flag, found[n], 0.0) for n, flag in reconstructed.items()})
        kl = product.mean_kl_to_prior()
        return Terms(weighted(weights, reconstruction) + value_at(self.beta, q.step) * kl, reconstruction, kl)
