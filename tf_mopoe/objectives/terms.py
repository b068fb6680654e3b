"""The result of an objective, its base class, and the terms that most objectives compute."""

import inspect
from typing import Any, NamedTuple, Self

import keras
import tensorflow as tf

from tf_mopoe.families import Normal
from tf_mopoe.generative import Generative
from tf_mopoe.hyperparameters import Live, as_number, check_hyperparameter
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import RowStream, Stream

Schedule = keras.optimizers.schedules.LearningRateSchedule


class LossTerms(NamedTuple):
    """The result of an objective, per row and in nats."""

    loss: tf.Tensor  # [B], to be minimised
    reconstruction: dict  # {name: E_q[-log p(x[m] | z)]}, [B]: 0 where the row does not have the modality
    kl: tf.Tensor  # KL of z to its prior, [B], without beta
    private_kl: tf.Tensor  # KL of the private latent variables, [B], without their weight; 0 without any
    elbo: tf.Tensor  # [B], the bound on log p(X) with all weights and beta at 1
    extra: dict = {}  # {metric: [B]}, terms of this objective besides


class Objective(Live):
    """An objective: a pure function of distributions, and its constructor's arguments.

    A subclass sets the attributes that its constructor's arguments name. Those that are floats may be assigned during the
    training, as in `model.objective.beta = 2.0` in a callback: the next step has the new value. It defines `__call__`.
    """

    extra_metrics: tuple[str, ...] = ()  # the names in `LossTerms.extra`

    def __call__(self, q: Posterior, p: Generative, stream: Stream | RowStream) -> LossTerms:
        """Compute the terms of a batch, each [B].

        Args:
            q: `Posterior` of the batch: the inference side.
            p: `Generative` of the batch: decoders, likelihoods, priors and the weights of the reconstruction terms.
            stream: of `tf_mopoe.streams`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__(q, p, stream) -> LossTerms.")

    def check(self, joint_posterior: JointPosterior) -> None:
        """Raise a ValueError unless the model's joint posterior, a layer, suits this objective."""

    def get_config(self) -> dict[str, Any]:
        return {
            name: keras.saving.serialize_keras_object(as_number(getattr(self, name)))
            for name in arguments_of(type(self))
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def arguments_of(cls):
    """Return the names of a constructor's arguments, including those that it passes on as **kwargs."""
    names = []
    for parent in cls.__mro__:
        if "__init__" not in vars(parent) or parent is object:
            continue
        parameters = [*inspect.signature(parent.__init__).parameters.values()][1:]
        names += [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name not in names]
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    return names


def check_beta(beta, name="beta"):
    """Validate a number, 0 or more (returned as a float), a scalar variable or a Keras schedule."""
    return beta if isinstance(beta, Schedule) else check_hyperparameter(name, beta)


def schedule_value(beta, step):
    """Return the number itself, or the schedule's value at the training step."""
    return beta(tf.convert_to_tensor(step)) if isinstance(beta, Schedule) else beta


def bound_terms(p, reconstruction, kl, private_kl, beta, private_factor=1.0):
    """Return the `LossTerms` of a bound: weighted reconstruction + beta * kl + the weighted KL of private latent variables.

    Args:
        p: `Generative`, for the weights.
        reconstruction, kl, private_kl: see `LossTerms`.
        beta: the weight of kl, a number or a tensor [].
        private_factor: on top of the weight of private_kl.
    """
    private = private_factor * p.private_weight(beta) * private_kl
    loss = weighted_sum(p.weights, reconstruction) + beta * kl + private
    return LossTerms(loss, reconstruction, kl, private_kl, -(sum(reconstruction.values()) + kl + private_kl))


def check_normal(mixture):
    """Return the same `Mixture`; a ValueError unless it is normal, as the divergences between experts are."""
    if mixture.family is not Normal:
        raise ValueError(f"This objective needs normal experts. Received: {mixture.family.name} experts")
    return mixture


def check_posterior(objective, suits, wanted, joint_posterior):
    """Raise a ValueError unless `suits`: the joint posterior that an objective is of."""
    if not suits and len(joint_posterior.modalities) > 1:
        received = type(joint_posterior).__name__
        if hasattr(joint_posterior, "subsets"):
            received += f"(subsets={joint_posterior.subsets!r}, prior_expert={joint_posterior.prior_expert!r})"
        name = type(objective).__name__
        raise ValueError(f"objectives.{name} needs `joint_posterior={wanted}`. Received: joint_posterior={received}")


def weighted_sum(weights, reconstruction):
    """Compute sum{ weights[m] * reconstruction[m] : m }."""
    return sum(weights[name] * term for name, term in reconstruction.items())


def negate(log_probs):
    return {name: -term for name, term in log_probs.items()}
