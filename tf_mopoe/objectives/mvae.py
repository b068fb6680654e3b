"""MVAE's sum of bounds: of all modalities, of each alone, and of random subsets."""

import keras
import tensorflow as tf

from tf_mopoe import sampling
from tf_mopoe.checks import check_count
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
class MVAE(Objective):
    """Add up the bounds of all modalities, of each alone and of random subsets (Wu & Goodman 2018).

    loss = -ELBO(X) - sum{ ELBO(x[m]) : m } - sum{ ELBO(X[s]) : s in k random subsets }.

    ELBO(X[s]) has q = the product of the experts in s (and the prior: `joint_posterior="mvae"`), and reconstructs only s.
    Each row contributes the bounds of its available modalities; a row with one modality contributes that bound once. The
    subsets are drawn again each step, for the whole batch, uniformly over all non-empty ones (the authors' code: of 2 to
    M - 1 modalities, the size first). The KL of a private latent variable is in each bound that reconstructs its modality.
    Reference: Wu & Goodman 2018, "sub-sampled training paradigm".

    The logged metrics are those of ELBO(X), and `all_bounds`, the sum that is maximised.

    Args:
        beta: weight of each KL: a number, 0 or more, or a schedule of the step. Default 1.0.
        num_subsets: k; default 0.

    Raises:
        ValueError: for any other beta, or a `num_subsets` that is not an integer, 0 or more.
    """

    extra_metrics = ("all_bounds",)

    def __init__(self, beta: Scheduled = 1.0, num_subsets: int = 0):
        self.beta = check_beta(beta)
        self.num_subsets = check_count("num_subsets", num_subsets, low=0)

    def check(self, joint_posterior: JointPosterior) -> None:
        check_posterior(self, getattr(joint_posterior, "subsets", None) == "full", '"mvae"', joint_posterior)

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        names = q.batch.names
        terms = self.bound(q, p, stream)
        loss = terms.loss
        for name in names if len(names) > 1 else ():
            alone = self.bound(q.select((name,)), p.select((name,)), stream.child(name))
            loss += tf.where(q.count > 1.0, alone.loss, 0.0)
        if self.num_subsets:
            everywhere = tf.ones([1, len(names)], tf.bool)
            drawn = sampling.subsets(everywhere, self.num_subsets, stream.child("subsets"))[0] > 0.0  # [k, M]
            for number, row in enumerate(tf.unstack(drawn)):
                flags = dict(zip(names, tf.unstack(row)))
                loss += self.bound(q.mask(flags), p.mask(flags), stream.child(f"subset {number}")).loss
        return terms._replace(loss=loss, extra={"all_bounds": -loss})

    def bound(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        """Compute the `LossTerms` of the product of all that q's rows have, which reconstructs just that."""
        product = q.subset()
        sample = product.sample(stream)
        w = p.sample_private(q, sample, stream.child("private"))
        reconstruction = negate(p.log_prob(sample.z, w))
        kl, private_kl = product.kl_to(p.prior, sample), p.private_kl(q, sample, w)
        return bound_terms(p, reconstruction, kl, private_kl, schedule_value(self.beta, q.step))
