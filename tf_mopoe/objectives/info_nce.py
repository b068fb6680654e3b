"""A contrastive term between the experts' means, on top of another objective."""

import itertools

import keras
import tensorflow as tf

from tf_mopoe.generative import Generative
from tf_mopoe.hyperparameters import check_hyperparameter
from tf_mopoe.mixture import ABSENT
from tf_mopoe.objectives.terms import LossTerms, Objective
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import RowStream, Stream
from tf_mopoe.typing import Number


@keras.saving.register_keras_serializable(package="tf_mopoe")
class InfoNCE(Objective):
    """Add to an objective L that the means of a row's experts find each other in the batch (IDMVAE's first term).

    loss = L + weight / (M - 1) * sum{ -log softmax( cos(mu[m], mu'[n]) / temperature ) : ordered pairs m, n }.

    L is another objective's loss. mu[m] is the mean of the expert q[m] of this row, mu'[n] runs over the batch's rows that
    have n, and the softmax is taken at this row's own: rows must differ in what their modalities share. Only rows
    that have both m and n enter; M counts what a row has. Private latent variables play no part. Reference: the
    cross-modal term of IDMVAE (ICLR 2026); van den Oord et al. 2018; Chen et al. 2020 (NT-Xent).

    Args:
        objective: L, such as `ELBO()`.
        weight: 0 or more; default 80.0, as in IDMVAE (which had 128 rows in a batch).
        temperature: above 0; default 1.0, as in IDMVAE.

    Raises:
        ValueError: for an objective that is none, or another weight or temperature.
    """

    def __init__(self, objective: Objective, weight: Number = 80.0, temperature: Number = 1.0):
        if not isinstance(objective, Objective):
            raise ValueError(f"`objective` must be one of tf_mopoe.objectives. Received: objective={objective!r}")
        self.objective = objective
        self.weight = check_hyperparameter("weight", weight)
        self.temperature = check_hyperparameter("temperature", temperature)
        if isinstance(self.temperature, float) and not self.temperature:
            raise ValueError("`temperature` must be above 0. Received: temperature=0.0")

    @property
    def extra_metrics(self) -> tuple[str, ...]:
        return (*self.objective.extra_metrics, "info_nce")

    def check(self, joint_posterior: JointPosterior) -> None:
        self.objective.check(joint_posterior)

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        terms = self.objective(q, p, stream)
        means = {name: tf.math.l2_normalize(q.expert(name).loc[:, 0], axis=-1) for name in q.batch.names}
        total = tf.zeros_like(terms.loss)
        for one, other in itertools.permutations(q.batch.names, 2):
            both = q.available[one] & q.available[other]
            cosines = tf.matmul(means[one], means[other], transpose_b=True)  # [B, B]
            logits = tf.where(both[None, :], cosines / self.temperature, ABSENT)
            cross_entropy = tf.reduce_logsumexp(logits, axis=1) - tf.linalg.diag_part(logits)
            total += tf.where(both, cross_entropy, 0.0)
        total /= tf.maximum(q.count - 1.0, 1.0)
        return terms._replace(loss=terms.loss + self.weight * total, extra=terms.extra | {"info_nce": total})
