"""Checks of the arguments of a `MultimodalVAE` and its methods; its inputs are checked in `inputs.py`."""

import inspect

import numpy as np
import tensorflow as tf

from tf_mopoe.checks import as_text, check_number, is_number
from tf_mopoe.datasets.rows import Rows
from tf_mopoe.decoders import Decoder
from tf_mopoe.encoders import GaussianEncoder
from tf_mopoe.hyperparameters import check_hyperparameter
from tf_mopoe.inputs import FLAG
from tf_mopoe.names import plain_names


def check_parts(encoders, decoders):
    for argument, parts, kind in (("encoders", encoders, GaussianEncoder), ("decoders", decoders, Decoder)):
        if not isinstance(parts, dict) or not parts or not all(isinstance(part, kind) for part in parts.values()):
            raise ValueError(f"`{argument}` must be a dict of {kind.__name__} by modality. Received: {parts!r}")
        plain_names(parts)  # errors for the names
    if set(encoders) != set(decoders):
        raise ValueError(
            f"`encoders` and `decoders` must have the same modalities. Received: {sorted(encoders, key=str)} and "
            f"{sorted(decoders, key=str)}"
        )
    sizes = {name: encoder.latent_dim for name, encoder in encoders.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"All `encoders` must have the same latent_dim. Received: {sizes}")
    kinds = {name: encoder.family.name for name, encoder in encoders.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(f"All `encoders` must emit the same kind of distribution. Received: {kinds}")


def reconstruction_weights(given, decoders):
    """Return {name: float or scalar variable} from None, "dimension", "impartial" or a dict."""
    if given is None or given == "impartial":
        return dict.fromkeys(decoders, 1.0)
    if given == "dimension":
        sizes = {name: decoder.likelihood.dimension(decoder.event_shape) for name, decoder in decoders.items()}
        return {name: max(sizes.values()) / size for name, size in sizes.items()}
    if not isinstance(given, dict) or set(given) != set(decoders):
        raise ValueError(
            '`reconstruction_weights` must be None, "dimension", "impartial" or a dict with a number for each of '
            f"{list(decoders)}. Received: {given!r}"
        )
    return {n: check_hyperparameter(f"reconstruction_weights[{n!r}]", weight) for n, weight in given.items()}


def checked_temperature(temperature, names):
    """Check a number, or {name: number} for all modalities with private latent variables; those not named: 1."""
    if not isinstance(temperature, dict):
        return check_number("private_temperature", temperature)
    unknown = sorted(set(temperature) - set(names), key=str)
    if unknown:
        raise ValueError(
            f"`private_temperature` must be a number, or a dict of the modalities with private latent variables, "
            f"{list(names)}. Received: {unknown}"
        )
    return {n: check_number(f"private_temperature[{n!r}]", temperature.get(n, 1.0)) for n in names}


def checked_latents(argument, z, rows, latent_dim):
    """Return z float32 [rows, D] from a user's function; raise a ValueError for another shape."""
    z = np.asarray(z, np.float32)
    if z.shape != (rows, latent_dim):
        raise ValueError(f"`{argument}` must give z {(rows, latent_dim)}. Received: shape {z.shape}")
    return z


def check_latents(argument, z, size):
    """Return latent variables as a float32 tensor; raise a ValueError unless they are numbers [rows, size]."""
    try:
        z = tf.convert_to_tensor(z, tf.float32)
        shape = z.shape
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{argument}` must be numbers of shape (rows, {size}). Received: {as_text(z)}") from error
    if not shape.is_compatible_with([None, size]):
        raise ValueError(f"`{argument}` must be numbers of shape (rows, {size}). Received: shape {tuple(shape)}")
    return z


def check_private(private, sizes):
    """Return {name: w [rows, P]} of some modalities with private latent variables, whose sizes are {name: P}."""
    if private is None:
        return {}
    if not isinstance(private, dict) or not set(private) <= set(sizes):
        raise ValueError(
            f"`private` must be a dict of modalities with private latent variables, {list(sizes)}, or None. "
            f"Received: {as_text(private)}"
        )
    return {name: check_latents(f"private[{name!r}]", w, sizes[name]) for name, w in private.items()}


def arguments_of_call(method, *args, **kwargs):
    """Return the arguments of a call of `fit` or `evaluate` by name; raise a ValueError for labels, weights, or no data."""
    given = dict(inspect.signature(method).bind(*args, **kwargs).arguments)
    check_data(given.get("x"))
    check_no_labels(given.get("y"), given.get("sample_weight"), given.get("class_weight"))
    validation = given.get("validation_data")
    if isinstance(validation, (tuple, list)):  # Keras takes (x, y) and (x, y, sample_weight)
        check_no_labels(*(list(validation[1:]) + [None, None])[:2])
        given["validation_data"] = validation[0]
    return given


def check_data(x):
    """Raise a ValueError for what is no data, or not by modality; data sets and generators are checked in the step."""
    if x is None or isinstance(x, (list, tuple, np.ndarray, tf.Tensor)):
        received = "None" if x is None else type(x).__name__
        raise ValueError(
            f"`x` must be a dict of arrays by modality, or a data set of such dicts. Received: x={received}"
        )


def check_no_labels(y, sample_weight, class_weight=None):
    for argument, value in (("y", y), ("sample_weight", sample_weight), ("class_weight", class_weight)):
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
    if not isinstance(given, (tuple, list)) or not given or not all(isinstance(n, str) and n in names for n in given):
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


def split_rows(rows, split, validation):
    """Split into the first and the last rows, the latter the share `split`: Keras' `validation_split`.

    Raises:
        ValueError: for a share that is not between 0 and 1, what are no rows, or other validation data besides.
    """
    if not is_number(split, high=1.0) or split == 1.0:
        raise ValueError(f"`validation_split` must be a number from 0 to 1, without 1. Received: {split!r}")
    if not isinstance(rows, Rows) or validation is not None:
        raise ValueError(
            "`validation_split` needs a dict of arrays or `Rows` as `x`, and no `validation_data` besides. "
            f"Received: x={type(rows).__name__}, validation_data={type(validation).__name__}"
        )
    first = int(len(rows) * (1.0 - split))
    if not 0 < first < len(rows):
        raise ValueError(f"`validation_split` must leave rows on both sides. Received: {split} of {len(rows)} rows")
    return rows.take(first), rows.drop(first)
