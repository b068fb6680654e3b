"""InfoNCE between the experts' means, on top of another objective: what two modalities of a row say is alike."""

import keras
import tensorflow as tf

from tf_mopoe.checks import check_number
from tf_mopoe.hyperparameters import check_hyperparameter
from tf_mopoe.mixture import ABSENT
from tf_mopoe.objectives.terms import Objective


@keras.saving.register_keras_serializable(package="tf_mopoe")
class InfoNCE(Objective):
    """loss = L(X) + weight * 1 / (M - 1) * sum{ N(m, n) : m, n different modalities of the row }.

        N(m, n) = -log( exp( cos(loc[m], loc[n]) / t ) / sum{ exp( cos(loc[m], loc'[n]) / t ) : rows } )

    L is another objective's loss, loc[m] the mean of the expert of m, loc' that of each row of the batch. So the mean of one
    modality is to be told, among those of all rows, from the mean of another: z[m] keeps what both modalities say. Only rows
    that have both m and n enter, in the sum too; M counts what the row has, and a row with one modality has L alone.
    References: van den Oord et al. 2018 (InfoNCE); Chen et al. 2020 (NT-Xent: cosine and temperature, there with the row's
    own modality among the others too); as the cross-modal term of IDMVAE (ICLR 2026: on top of MMVAE+, weight 80,
    temperature 1).

    Under a `tf.distribute` strategy the other rows are those of the same replica.

    Args:
        objective: L, such as `ELBO()`.
        weight: of the term, a number, 0 or more. Default 1.0.
        temperature: t, a positive number. Default 1.0.

    Raises:
        ValueError: for an objective that is none, or any other weight or temperature.
    """

    def __init__(self, objective, weight=1.0, temperature=1.0):
        if not isinstance(objective, Objective):
            raise ValueError(f"`objective` must be one of tf_mopoe.objectives. Received: objective={objective!r}")
        self.objective = objective
        self.weight = check_hyperparameter("weight", weight)
        self.temperature = check_number("temperature", temperature)
        if not self.temperature:
            raise ValueError(f"`temperature` must be a positive number. Received: temperature={temperature!r}")

    @property
    def extra_metrics(self):
        return (*self.objective.extra_metrics, "info_nce")

    def check(self, joint_posterior):
        self.objective.check(joint_posterior)

    def __call__(self, q, p, stream):
        terms = self.objective(q, p, stream)
        directions = {name: tf.math.l2_normalize(q.expert(name).loc[:, 0], axis=-1) for name in q.batch.names}
        total = tf.zeros_like(q.count)
        for name, direction in directions.items():
            for other, of_other in directions.items():
                if other != name:
                    both = q.available[name] & q.available[other]
                    total += cross_entropy(direction, of_other, both, self.temperature)
        total /= tf.maximum(q.count - 1.0, 1.0)
        return terms._replace(loss=terms.loss + self.weight * total, extra=terms.extra | {"info_nce": total})


def cross_entropy(direction, other, both, temperature):
    """N(m, n) of unit vectors [B, D], in the rows `both`, bool [B], else 0: [B]."""
    logits = tf.matmul(direction, other, transpose_b=True) / temperature  # [B, B']
    among = tf.reduce_logsumexp(tf.where(both, logits, ABSENT), axis=-1)
    return tf.where(both, among - tf.linalg.diag_part(logits), 0.0)
