"""The masked bound: of a random part of what a row has, and of the rest given that part."""

import keras
import tensorflow as tf

from tf_mopoe import gaussian
from tf_mopoe.generative import Generative
from tf_mopoe.objectives.terms import (
    LossTerms,
    Objective,
    bound_terms,
    check_beta,
    check_normal,
    check_posterior,
    negate,
    schedule_value,
)
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import RowStream, Stream
from tf_mopoe.typing import Scheduled


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Masked(Objective):
    """Bound a random part of the modalities, and the rest given that part (Hirt et al. 2024).

    loss = Rec[S](z[S]) + beta * KL( q[S] || p ) + Rec[not S](z) + beta * KL( q || q[S] ),   z[S] ~ q[S], z ~ q.

    S is a random part of what a row has: each modality stays in it with probability 1 - u, u uniform on [0, 1], drawn for
    each row (published: a u for each batch, of the same mean). q[S] is the posterior of that part, q that of all. The first
    two terms bound log p(x[S]), the others log p(x[not S] | x[S]) with q[S] in the place of the prior. Each modality is
    decoded once, and has the KL of its private latent variables in the part that decodes it. Joint posteriors:
    `SetEncoder`, as designed, or any other of one Gaussian. Both KLs are exact where they are closed (published:
    estimates). Reference: Hirt, Campolo, Leong & Ortega, "Learning multi-modal generative models with permutation-invariant
    encoders and tighter variational objectives", TMLR 2024.

    The metric `kl` is the sum of both.

    Args:
        beta: weight of the KLs: a number, 0 or more, or a schedule of the step. Default 1.0.

    Raises:
        ValueError: for any other beta; in the model, for a joint posterior that is a mixture.
    """

    extra_metrics = ("kl_to_part",)

    def __init__(self, beta: Scheduled = 1.0):
        self.beta = check_beta(beta)

    def check(self, joint_posterior: JointPosterior) -> None:
        check_posterior(self, joint_posterior.is_one_gaussian, "SetEncoder()", joint_posterior)

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        joint = check_normal(q.joint)
        keep = 1.0 - stream.child("share").uniform([tf.shape(q.count)[0]])
        inside = {name: stream.child(f"in/{name}").uniform(tf.shape(keep)) < keep for name in q.batch.names}
        outside = {name: ~flag for name, flag in inside.items()}
        part = q.mask(inside).subset()
        of_part, of_all = part.sample(stream.child("part")), joint.sample(stream)
        first = decoded(q.mask(inside), p.mask(inside), of_part, stream.child("part private"))
        second = decoded(q.mask(outside), p.mask(outside), of_all, stream.child("private"))
        reconstruction = {name: first[0][name] + second[0][name] for name in q.batch.names}
        to_part = gaussian.kl_between(joint.loc, joint.scale, part.loc, part.scale)[:, 0]
        kl = part.kl_to(p.prior, of_part) + to_part
        terms = bound_terms(p, reconstruction, kl, first[1] + second[1], schedule_value(self.beta, q.step))
        return terms._replace(extra={"kl_to_part": to_part})


def decoded(q, p, sample, stream):
    """Compute -log p(x | z, w) of what q's rows have, {name: [B]}, and the KL of its private latent variables, [B]."""
    w = p.sample_private(q, sample, stream)
    return negate(p.log_prob(sample.z, w)), p.private_kl(q, sample, w)
