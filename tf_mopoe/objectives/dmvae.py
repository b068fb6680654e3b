"""DMVAE: the bound of the joint posterior, and of each modality's own, all of which decode everything."""

import keras
import tensorflow as tf

from tf_mopoe.generative import Generative
from tf_mopoe.mixture import Mixture
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
class DMVAE(Objective):
    """Add up the bounds of the product and of each expert (Lee & Pavlovic 2021).

    loss = -ELBO(X; q) - sum{ ELBO(X; q[m]) : m },   each of all the modalities that the row has.

    q is the product of all experts and the prior, q[m] that of one expert and the prior (`joint_posterior="mvae"`). In every
    bound each modality decodes with its own private latent variables w[m] ~ q(w[m] | x[m]), whatever z comes from, and the
    bound has the KL of all of them. So what is shared may settle in w too: the other rule is MMVAE+'s. A row with one
    modality contributes its bound once. Reference: Lee & Pavlovic, "Private-shared disentangled multimodal VAE for learning
    of latent representations", CVPR workshops 2021. (The released code gives the reconstruction of the first bound no
    weight; here it is as in the paper.)

    The logged metrics are those of ELBO(X; q), and `all_bounds`, the sum that is maximised.

    Args:
        beta: weight of each KL: a number, 0 or more, or a schedule of the step. Default 1.0.

    Raises:
        ValueError: for any other beta.
    """

    extra_metrics = ("all_bounds",)

    def __init__(self, beta: Scheduled = 1.0):
        self.beta = check_beta(beta)

    def check(self, joint_posterior: JointPosterior) -> None:
        subsets, prior = (getattr(joint_posterior, name, None) for name in ("subsets", "prior_expert"))
        suits = subsets == "full" and prior in ("all", "conjunctive")
        check_posterior(self, suits, '"mvae"', joint_posterior)

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        terms = self.bound(q, p, q.joint, stream)
        loss = terms.loss
        for name in q.batch.names if len(q.batch.names) > 1 else ():
            cross = self.bound(q, p, q.subset((name,)), stream.child(name))
            loss += tf.where(q.available[name] & (q.count > 1.0), cross.loss, 0.0)
        return terms._replace(loss=loss, extra={"all_bounds": -loss})

    def bound(self, q: Posterior, p: Generative, posterior: Mixture, stream: Stream | RowStream) -> LossTerms:
        """Compute the `LossTerms` of the ELBO of a `Mixture`, for all that the rows have."""
        sample = posterior.sample(stream)._replace(members={})  # z comes from no modality: each w is its own
        w = p.sample_private(q, sample, stream.child("private"))
        reconstruction = negate(p.log_prob(sample.z, w))
        kl, private_kl = posterior.kl_to(p.prior, sample), p.private_kl(q, sample, w)
        return bound_terms(p, reconstruction, kl, private_kl, schedule_value(self.beta, q.step))
