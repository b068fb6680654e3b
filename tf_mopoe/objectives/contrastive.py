"""A contrastive term on top of another objective: related rows against unrelated ones."""

import keras
import tensorflow as tf

from tf_mopoe.checks import check_count
from tf_mopoe.generative import Generative
from tf_mopoe.hyperparameters import check_hyperparameter
from tf_mopoe.mixture import ABSENT
from tf_mopoe.objectives.terms import LossTerms, Objective
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import RowStream, Stream, shuffled
from tf_mopoe.typing import Number


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Contrastive(Objective):
    """Add a contrast of related with unrelated rows to an objective L (Shi et al. 2021).

    loss = L(X) + weight * mean{ -log( exp(-L(X)) / sum{ exp(-L(X[m, n])) : n = 0..N } ) : m }.

    L is another objective's loss, in the place of -log p(X). X[m, 0] = X; X[m, n] has the modality m of another row of the
    batch: an unrelated tuple. So the likelihood must single out the related one among N others. Reference: Shi et al.,
    "Relating by contrasting", ICLR 2021: over `weight` this is its gamma * L + mean{ log sum{ ... } : m } with gamma =
    (1 + weight) / weight.

    Args:
        objective: L, such as `ELBO()` or `IWAE()`.
        weight: of the contrastive term, 0 or more; default 1.0.
        num_unrelated: N, for each modality; default 1. L is computed 1 + M * N times.

    Only rows with m and at least one other modality enter, contrasted with rows that have m. L has the KL of private latent
    variables in it. It is the same lower bound in both places, so the contrast is no bound of the true one.

    Raises:
        ValueError: for an objective that is none, a negative weight, or a `num_unrelated` that is not a positive integer.
    """

    def __init__(self, objective: Objective, weight: Number = 1.0, num_unrelated: int = 1):
        if not isinstance(objective, Objective):
            raise ValueError(f"`objective` must be one of tf_mopoe.objectives. Received: objective={objective!r}")
        self.objective = objective
        self.weight = check_hyperparameter("weight", weight)
        self.num_unrelated = check_count("num_unrelated", num_unrelated)

    @property
    def extra_metrics(self) -> tuple[str, ...]:
        return (*self.objective.extra_metrics, "contrast")

    def check(self, joint_posterior: JointPosterior) -> None:
        self.objective.check(joint_posterior)

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        terms = self.objective(q, p, stream)
        rows = tf.shape(terms.loss)[0]
        order = tf.range(rows)
        contrasts, counts = 0.0, 0.0
        for name, available in q.available.items():
            # N different shifts of the batch, none of them by nothing. A batch of N rows or fewer has not so many: the rest
            # are shifts by nothing, which count as absent. (Padded, as XLA takes no index that may be out of range.)
            shifts = 1 + shuffled(tf.maximum(rows - 1, 0), stream.child(f"shifts/{name}"))
            shifts = tf.concat([shifts, tf.zeros([self.num_unrelated], tf.int32)], axis=0)
            logits = [-terms.loss]
            for number in range(self.num_unrelated):
                moved = {name: tf.math.floormod(order + shifts[number], tf.maximum(rows, 1))}
                own_stream = stream.child(f"unrelated/{name}/{number}")
                unrelated = self.objective(q.take_rows(moved), p.take_rows(moved), own_stream)
                there = (shifts[number] > 0) & tf.gather(available, moved[name])
                logits.append(tf.where(there, -unrelated.loss, ABSENT))
            related = available & (q.count > 1.0)
            cross_entropy = tf.reduce_logsumexp(tf.stack(logits), axis=0) - logits[0]
            contrasts += tf.where(related, cross_entropy, 0.0)
            counts += tf.cast(related, tf.float32)
        contrast = contrasts / tf.maximum(counts, 1.0)
        return terms._replace(loss=terms.loss + self.weight * contrast, extra=terms.extra | {"contrast": contrast})
