"""The parts of a model: how they are built to fit each other, and their defaults."""

import math
import re

import tensorflow as tf

from tf_mopoe import methods, priors
from tf_mopoe.batch import complete
from tf_mopoe.families import Normal
from tf_mopoe.generative import PRIVATE_SOURCES
from tf_mopoe.names import plain_name

PRIVATE_FAMILY = Normal  # of private latent variables, whatever the family of the shared ones
AUXILIARY_SCALE = math.exp(
    -3.0
)  # of the auxiliary priors at the start: from 1 on, private latent variables are not used


def build_networks(encoders, decoders, latent_dim):
    """Name and build encoders and decoders; the decoders define the shape of each modality.

    Returns:
        {name: E}, in the order of the encoders.

    Raises:
        ValueError: for a decoder that does not take the latent variables, or an encoder that does not take x.
    """
    for part, layers in (("encoder", encoders), ("decoder", decoders)):
        for name, layer in layers.items():
            if re.fullmatch(r"(gaussian_en|laplace_en|de)coder(_\d+)?", layer.name):  # not a name that the user gave
                layer.name = f"{plain_name(name)}_{part}"
    shapes = {}
    for name, decoder in decoders.items():
        shape = (None, latent_dim + encoders[name].private_dim)
        build(decoder, shape, f"decoders[{name!r}] must take the latent variables, shared and private, shape {shape}")
        shapes[name] = decoder.event_shape
    for name, encoder in encoders.items():
        shape = (None, *shapes[name])
        encoder.x_dtype = decoders[name].likelihood.x_dtype
        if encoder.x_dtype != "float32" and (encoder.cells or encoder.normalization):
            raise ValueError(
                f"encoders[{name!r}] cannot have cells=True or a normalization: its modality is integers, of which only "
                f"whole rows may be missing. Received: the likelihood {type(decoders[name].likelihood).__name__}"
            )
        build(encoder, shape, f"encoders[{name!r}] must take what decoders[{name!r}] makes, shape {shape}")
    return {name: shapes[name] for name in encoders}


def build(layer, shape, expectation):
    try:
        if not layer.built:
            layer.build(shape)
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(f"{expectation}. Received: {error}") from error


def with_method(method, encoders, given):
    """Return the arguments {name: value or None} with those of a method in place of None.

    Raises:
        ValueError: for an unknown method, or an argument that is given although the method sets it.
    """
    parts = methods.from_name(method).arguments(encoders)
    both = [name for name in parts if given[name] is not None]
    if both:
        raise ValueError(f"`method` sets {both}, which must not be given besides. Received: method={method!r}")
    return given | parts


# ---- priors


def shared_prior(prior, model):
    """Return p(z), built for the model."""
    prior = checked(priors.Standard() if prior is None else prior, "prior")
    if isinstance(prior, priors.PseudoInputs) and prior.encode is None:
        bind_pseudo_inputs(prior, model)
    prior.build_for(model.latent_dim, model.family)
    return prior


def bind_pseudo_inputs(prior, model):
    tokens = [name for name, spec in model.specs.items() if spec.dtype != "float32"]
    if tokens:
        raise ValueError(
            f"`prior`: PseudoInputs are learned by gradient, which integers have none of. Received: the modalities {tokens}"
        )

    def read(inputs):
        return {name: model.encoders[name].read(tf.cast(inputs[name], tf.float32)) for name in model.modalities}

    def encode(reads):
        q = model.posterior_of(complete({name: model.encoders[name].beside_flags(x) for name, x in reads.items()}))
        mixture = q.subset()
        return mixture.loc[:, 0], mixture.scale[:, 0]

    prior.bind(model.event_shapes, read, encode)


def private_priors(given, sizes, latent_dim):
    """Return {name: p(w)}, built, of the modalities with private ones, {name: P}; `given`: a prior, a dict or None."""
    if isinstance(given, dict):
        if set(given) != set(sizes):
            raise ValueError(
                f"`private_prior` must be a prior, or one for each of the modalities with private latent variables, "
                f"{list(sizes)}. Received: {list(given)}"
            )
        result = {name: checked(given[name], "private_prior") for name in sorted(sizes)}  # weights go by their order
    else:
        prior = checked(priors.Standard() if given is None else given, "private_prior")
        result = {name: type(prior).from_config(prior.get_config() | {"name": None}) for name in sorted(sizes)}
    for name, prior in result.items():
        prior.build_for(sizes[name], PRIVATE_FAMILY, latent_dim)
    return result


def auxiliary_priors(source, sizes):
    """Return {name: r(w)}, built; empty if the w of every modality is its own."""
    if source not in PRIVATE_SOURCES:
        raise ValueError(
            f"`private_source` must be one of {', '.join(map(repr, PRIVATE_SOURCES))}. Received: private_source={source!r}"
        )
    if source == "own":
        return {}
    result = {name: priors.LearnedScale(AUXILIARY_SCALE) for name in sorted(sizes)}  # weights go by their order
    for name, prior in result.items():
        prior.build_for(sizes[name], PRIVATE_FAMILY)
    return result


def checked(prior, argument):
    if not isinstance(prior, priors.Prior):
        raise ValueError(f"`{argument}` must be one of tf_mopoe.priors. Received: {argument}={prior!r}")
    if prior.reads_shared and argument == "prior":
        raise ValueError(f"`prior` must not read the shared latent variables. Received: {prior!r}")
    return prior
