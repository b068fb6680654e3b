"""Plain multilayer perceptrons, for tables of numbers and as a first try for anything."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from tf_mopoe.checks import check_count, is_integer


def as_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """Return a modality's shape as a tuple: an int is a row of that many numbers."""
    try:
        sizes = tuple(shape)
    except TypeError:  # a number
        sizes = (shape,)
    if not sizes or not all(is_integer(size, low=1) for size in sizes):
        raise ValueError(f"`shape` must be a positive integer or a tuple of them. Received: {shape!r}")
    return tuple(map(int, sizes))


def dense_layers(hidden_units: Sequence[int], activation: str | Callable[..., Any]) -> list[keras.Layer]:
    if not isinstance(hidden_units, tuple | list):
        raise ValueError(f"`hidden_units` must be a tuple of integers. Received: hidden_units={hidden_units!r}")
    return [keras.layers.Dense(check_count("hidden_units", units), activation=activation) for units in hidden_units]


def mlp_encoder(
    shape: int | Sequence[int], hidden_units: Sequence[int] = (256, 256), activation: str | Callable[..., Any] = "relu"
) -> keras.Sequential:
    """Build a multilayer perceptron that computes the features for a `GaussianEncoder`.

    Args:
        shape: the modality's shape E, a tuple or an int.
        hidden_units: width of each dense layer.
        activation: of each dense layer.

    Returns:
        `keras.Sequential`: [B, *E] -> [B, hidden_units[-1]].
    """
    layers = dense_layers(hidden_units, activation)
    return keras.Sequential([keras.Input(as_shape(shape)), keras.layers.Flatten(), *layers])


def mlp_decoder(
    shape: int | Sequence[int],
    latent_dim: int,
    hidden_units: Sequence[int] = (256, 256),
    activation: str | Callable[..., Any] = "relu",
) -> keras.Sequential:
    """Build a multilayer perceptron for a `Decoder`: the parameter of its likelihood, without activation at its end.

    Args:
        shape: the modality's shape E, a tuple or an int.
        latent_dim: D.
        hidden_units: width of each hidden layer.
        activation: of each hidden layer.

    Returns:
        `keras.Sequential`: [B, D] -> [B, *E].
    """
    shape, latent_dim = as_shape(shape), check_count("latent_dim", latent_dim)
    size = math.prod(shape)
    layers = dense_layers(hidden_units, activation)
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            *layers,
            keras.layers.Dense(size),
            keras.layers.Reshape(shape),
        ]
    )
