"""Checks of what a `MultimodalVAE` is made of and called with; its inputs are checked in `inputs.py`."""

import numpy as np
import tensorflow as tf

from tf_mopoe.checks import is_number
from tf_mopoe.inputs import FLAG
from tf_mopoe.layers.decoder import Decoder
from tf_mopoe.layers.gaussian_encoder import GaussianEncoder
from tf_mopoe.names import plain_names


def check_parts(encoders, decoders):
    for argument, parts, kind in (("encoders", encoders, GaussianEncoder), ("decoders", decoders, Decoder)):
        if not isinstance(parts, dict) or not parts or not all(isinstance(part, kind) for part in parts.values()):
            raise ValueError(f"`{argument}` must be a dict of {kind.__name__} by modality. Received: {parts!r}")
        plain_names(parts)  # errors for the names
    if set(encoders) != set(decoders):
        raise ValueError(
            f"`encoders` and `decoders` must have the same modalities. Received: {sorted(encoders)} and {sorted(decoders)}"
        )
    sizes = {name: encoder.latent_dim for name, encoder in encoders.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"All `encoders` must have the same latent_dim. Received: {sizes}")
    kinds = {name: encoder.density for name, encoder in encoders.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(f"All `encoders` must emit the same kind of distribution. Received: {kinds}")


def weights_of(reconstruction_weights, decoders):
    """{name: float} from None, "dimension" or a dict."""
    if reconstruction_weights is None:
        return dict.fromkeys(decoders, 1.0)
    if reconstruction_weights == "dimension":
        sizes = {name: decoder.likelihood.dimension(decoder.event_shape) for name, decoder in decoders.items()}
        return {name: max(sizes.values()) / size for name, size in sizes.items()}
    if not isinstance(reconstruction_weights, dict) or set(reconstruction_weights) != set(decoders):
        raise ValueError(
            f'`reconstruction_weights` must be None, "dimension" or a dict with a number for each of {list(decoders)}. '
            f"Received: {reconstruction_weights!r}"
        )
    for name, weight in reconstruction_weights.items():
        if not is_number(weight):
            raise ValueError(f"reconstruction_weights[{name!r}] must be a number, 0 or more. Received: {weight!r}")
    return {name: float(weight) for name, weight in reconstruction_weights.items()}


def refuse_labels(y, sample_weight):
    for argument, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(
                f"There is no `{argument}`: the model learns its inputs, so give a dict of modalities only, and data sets "
                f"of such dicts, not of (inputs, labels). Received: {argument}={type(value).__name__}"
            )


def refuse_losses(given):
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
