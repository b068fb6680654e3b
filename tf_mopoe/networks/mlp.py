"""Plain multilayer perceptrons, for tables of numbers and as a first try for anything."""

import keras


def as_shape(shape):
    """A modality's shape as a tuple: an int is a row of that many numbers."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if not shape or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(f"`shape` must be a positive integer or a tuple of them. Received: {shape!r}")
    return shape


def mlp_encoder(shape, hidden_units=(256, 256), activation="relu"):
    """Features for a `GaussianEncoder`.

    Args:
        shape: the modality's shape E, a tuple or an int.
        hidden_units: width of each dense layer.
        activation: of each dense layer.

    Returns:
        `keras.Sequential`: [B, *E] -> [B, hidden_units[-1]].
    """
    layers = [keras.layers.Dense(units, activation=activation) for units in hidden_units]
    return keras.Sequential([keras.Input(as_shape(shape)), keras.layers.Flatten(), *layers])


def mlp_decoder(shape, latent_dim, hidden_units=(256, 256), activation="relu"):
    """The parameter of a `Decoder`'s likelihood, without activation at its end.

    Args:
        shape: the modality's shape E, a tuple or an int.
        latent_dim: D.
        hidden_units: width of each hidden layer.
        activation: of each hidden layer.

    Returns:
        `keras.Sequential`: [B, D] -> [B, *E].
    """
    shape = as_shape(shape)
    size = 1
    for axis in shape:
        size *= axis
    layers = [keras.layers.Dense(units, activation=activation) for units in hidden_units]
    return keras.Sequential(
        [keras.Input((latent_dim,)), *layers, keras.layers.Dense(size), keras.layers.Reshape(shape)]
    )
