"""Checks of what a `MultimodalVAE` is made of and called with; its inputs are checked in `inputs.py`."""

import numbers

import numpy as np
import tensorflow as tf

from tf_mopoe.checks import check_number
from tf_mopoe.decoders import Decoder
from tf_mopoe.encoders import GaussianEncoder
from tf_mopoe.inputs import FLAG


def check_parts(encoders, decoders):
    for argument, parts, kind in (("encoders", encoders, GaussianEncoder), ("decoders", decoders, Decoder)):
        if not isinstance(parts, dict) or not parts or not all(isinstance(part, kind) for part in parts.values()):
            raise ValueError(f"`{argument}` must be a dict of {kind.__name__} by modality. Received: {parts!r}")
    if set(encoders) != set(decoders):
        raise ValueError(
            f"`encoders` and `decoders` must have the same modalities. Received: {sorted(encoders)} and {sorted(decoders)}"
        )
    bad = [n for n in encoders if not isinstance(n, str) or not n.isidentifier() or n.startswith(FLAG)]
    if bad:
        raise ValueError(f"A modality's name must be an identifier that does not begin with {FLAG!r}. Received: {bad}")
    sizes = {name: encoder.latent_dim for name, encoder in encoders.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"All `encoders` must have the same latent_dim. Received: {sizes}")
    kinds = {name: encoder.family.name for name, encoder in encoders.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(f"All `encoders` must emit the same kind of distribution. Received: {kinds}")


def reconstruction_weights(given, decoders):
    """{name: float} from None, "dimension" or a dict."""
    if given is None:
        return dict.fromkeys(decoders, 1.0)
    if given == "dimension":
        sizes = {name: decoder.likelihood.dimension(decoder.event_shape) for name, decoder in decoders.items()}
        return {name: max(sizes.values()) / size for name, size in sizes.items()}
    if not isinstance(given, dict) or set(given) != set(decoders):
        raise ValueError(
            f'`reconstruction_weights` must be None, "dimension" or a dict with a number for each of {list(decoders)}. '
            f"Received: {given!r}"
        )
    for name, weight in given.items():
        if not isinstance(weight, numbers.Real) or not 0.0 <= weight < float("inf"):
            raise ValueError(f"reconstruction_weights[{name!r}] must be a number, 0 or more. Received: {weight!r}")
    return {name: float(weight) for name, weight in given.items()}


def checked_objective(objective):
    if not callable(objective) or isinstance(objective, type):
        raise ValueError(f"`objective` must be callable, such as objectives.ELBO(). Received: {objective!r}")
    return objective


def checked_private_beta(beta):
    """The weight of the KL of private latent variables, or None for the objective's beta."""
    return None if beta is None else check_number("private_beta", beta)


def checked_temperature(temperature, names):
    """A number, or {name: number} for all modalities with private latent variables; those not named: 1."""
    if not isinstance(temperature, dict):
        return check_number("private_temperature", temperature)
    unknown = sorted(set(temperature) - set(names))
    if unknown:
        raise ValueError(
            f"`private_temperature` must be a number, or a dict of the modalities with private latent variables, "
            f"{list(names)}. Received: {unknown}"
        )
    return {n: check_number(f"private_temperature[{n!r}]", temperature.get(n, 1.0)) for n in names}


def check_no_labels(y, sample_weight):
    for argument, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(
                f"There is no `{argument}`: the model learns its inputs, so give a dict of modalities only, and data sets "
                f"of such dicts, not of (inputs, labels). Received: {argument}={type(value).__name__}"
            )


def check_no_losses(given):
    if given:
        raise ValueError(
            "`compile` takes no losses or metrics: the model's `objective` is the loss, its terms are the metrics. "
            f"Received: {given}"
        )


def check_given(given, inputs, names):
    if not isinstance(given, (tuple, list)) or not given or not set(given) <= set(names):
        raise ValueError(
            f"`given` must be a tuple or list of one or more of the modalities in `inputs`, {names}. "
            f"Received: given={given!r}"
        )
    flags = [inputs.get(FLAG + name) for name in given]
    if tf.executing_eagerly() and all(flag is not None for flag in flags):
        lacking = np.flatnonzero(~np.any(flags, axis=0))
        if len(lacking):
            raise ValueError(
                f"Every row must have at least one of the `given` modalities {list(given)}. "
                f"Received: {len(lacking)} rows with none, first row {lacking[0]}"
            )
