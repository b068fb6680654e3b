"""The triple ELBO: of the joint posterior, and of each modality's own."""

import types
from collections.abc import Mapping

import keras
import tensorflow as tf

from tf_mopoe.checks import check_number
from tf_mopoe.generative import Generative
from tf_mopoe.hyperparameters import check_hyperparameter
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
from tf_mopoe.typing import Number, Scheduled


@keras.saving.register_keras_serializable(package="tf_mopoe")
class TELBO(Objective):
    """Add up the bounds of all modalities and of each alone (Vedantam et al. 2018).

    loss = -ELBO(X; q) - sum{ ELBO(x[m]; q[m]) : m }.

    The first, of the joint posterior (one Gaussian, that of a `JointEncoder`), trains the decoders and the joint encoder.
    The others train the single encoders only: no gradient reaches the decoders from them (in the authors' code an option
    of each modality). Reference: Vedantam et al., "Generative models of visually grounded imagination", ICLR 2018.

    The logged metrics are those of ELBO(X; q), and `all_bounds`, the sum that is maximised.

    Args:
        beta: weight of each KL: a number, 0 or more, or a schedule of the step. Default 1.0.
        unimodal_weight: of the reconstruction in ELBO(x[m]; q[m]), on top of the modality's own weight (lambda of the
            paper): one number, which may be assigned in training, or {name: number} for all modalities. Default 1.0.

    Raises:
        ValueError: for any other value; in the model, for a joint posterior that is no `JointEncoder`, or weights of other
            modalities.
    """

    extra_metrics = ("all_bounds",)

    def __init__(self, beta: Scheduled = 1.0, unimodal_weight: Number | Mapping[str, Number] = 1.0):
        self.beta = check_beta(beta)
        if isinstance(unimodal_weight, Mapping):
            self.unimodal_weight = {n: check_number(f"unimodal_weight[{n!r}]", x) for n, x in unimodal_weight.items()}
        else:
            self.unimodal_weight = check_hyperparameter("unimodal_weight", unimodal_weight)

    @property
    def unimodal_weight(self) -> Number | Mapping[str, Number]:
        """The number, or a view of the numbers by name."""
        weight = vars(self)["unimodal_weight"]
        return types.MappingProxyType(weight) if isinstance(weight, dict) else weight

    @unimodal_weight.setter
    def unimodal_weight(self, value: Number | Mapping[str, Number]) -> None:
        vars(self)["unimodal_weight"] = value

    def check(self, joint_posterior: JointPosterior) -> None:
        suits = joint_posterior.reads_inputs and joint_posterior.is_one_gaussian
        check_posterior(self, suits, "JointEncoder(network, latent_dim)", joint_posterior)

        names, weight = set(joint_posterior.modalities), self.unimodal_weight
        if isinstance(weight, Mapping) and set(weight) != names:
            raise ValueError(
                f"`unimodal_weight` must be a number, or one for each of {sorted(names)}. "
                f"Received: {sorted(weight, key=str)}"
            )

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        beta = schedule_value(self.beta, q.step)
        terms = self.bound(q, p, q.joint, stream, beta)
        loss = terms.loss
        for name in q.batch.names:
            own = self.bound(q, p.select((name,)), q.expert(name), stream.child(name), beta, frozen=True)
            weight = self.unimodal_weight
            weight = weight[name] if isinstance(weight, Mapping) else weight
            more = (weight - 1.0) * p.weights[name] * own.reconstruction[name]
            loss += tf.where(q.available[name], own.loss + more, 0.0)
        return terms._replace(loss=loss, extra={"all_bounds": -loss})

    def bound(
        self,
        q: Posterior,
        p: Generative,
        posterior: Mixture,
        stream: Stream | RowStream,
        beta: Number | tf.Tensor,
        frozen: bool = False,
    ) -> LossTerms:
        """Compute the `LossTerms` of the ELBO of a `Mixture`, for the modalities that p has."""
        sample = posterior.sample(stream)
        w = p.sample_private(q, sample, stream.child("private"))
        reconstruction = negate(p.log_prob(sample.z, w, frozen=frozen))
        return bound_terms(p, reconstruction, posterior.kl_to(p.prior, sample), p.private_kl(q, sample, w), beta)
