"""What every objective returns, and what most of them compute."""

import inspect
from typing import NamedTuple

import keras
import tensorflow as tf

from tf_mopoe.densities import Normal
from tf_mopoe.hyperparameters import Live, as_number, check_hyperparameter

Schedule = keras.optimizers.schedules.LearningRateSchedule


class Terms(NamedTuple):
    """What an objective returns, per row and in nats."""

    loss: tf.Tensor  # [B], to be minimised
    reconstruction: dict  # {name: E_q[-log p(x[m] | z)]}, [B]: 0 where the row does not have the modality
    kl: tf.Tensor  # [B], without beta
    # [B], a lower bound of log p(X), whatever beta and weights. None: -(sum of the reconstruction terms + kl).
    elbo: tf.Tensor | None = None


class Objective(Live):
    """An objective: a pure function of distributions, and the arguments it was made with.

    A subclass sets the attributes that its constructor's arguments name. Those that are floats may be assigned during the
    training, as in `model.objective.beta = 2.0` in a callback: the next step has the new value. It has

        __call__(q, log_likelihood, weights, seed) -> Terms

    Args of the call:
        q: `Posterior` of the batch.
        log_likelihood: function of z [..., B, D] -> {name: log p(x[m] | z), [..., B]}, 0 where a row lacks the modality.
            `frozen=True`: no gradient reaches the decoders' weights. `rows={name: int [B]}`: of these rows' x.
        weights: {name: float}, of the reconstruction terms.
        seed: int32 [2].
    """

    def get_config(self):
        return {
            name: keras.saving.serialize_keras_object(as_number(getattr(self, name)))
            for name in arguments_of(type(self))
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def arguments_of(cls):
    """The names of a constructor's arguments, those included that it hands on as **kwargs."""
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
    """Validates a number, 0 or more (returned as a float), a scalar variable or a Keras schedule."""
    return beta if isinstance(beta, Schedule) else check_hyperparameter(name, beta)


def value_at(beta, step):
    """The number itself, or the schedule's value at the training step."""
    return beta(step) if isinstance(beta, Schedule) else beta


def check_normal(components):
    """The same `Components`; a ValueError unless they are normal, as the divergences between experts are."""
    if components.density is not Normal:
        raise ValueError(f"This objective needs normal experts. Received: {components.density.name} experts")
    return components


def weighted(weights, reconstruction):
    """sum{ weights[m] * reconstruction[m] : m }."""
    return sum(weights[name] * term for name, term in reconstruction.items())


def negative(log_likelihoods):
    return {name: -term for name, term in log_likelihoods.items()}
