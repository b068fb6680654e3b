"""A network that reads all modalities at once, for a `JointEncoder`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from tf_mopoe.networks.mlp import dense_layers


def joint_encoder(
    networks: Mapping[str, keras.Model],
    hidden_units: Sequence[int] = (256,),
    activation: str | Callable[..., Any] = "relu",
) -> keras.Model:
    """Build a network of all modalities together: the networks' features side by side, then dense layers.

    Args:
        networks: {name: Keras functional or Sequential model, [B, *E] -> [B, ...]}, such as fresh encoder networks.
        hidden_units: width of each dense layer.
        activation: of each dense layer.

    Returns:
        `keras.Model`: {name: [B, *E]} -> [B, hidden_units[-1]].
    """
    inputs = {name: keras.Input(network.input_shape[1:], name=name) for name, network in networks.items()}
    features = [keras.layers.Flatten()(network(inputs[name])) for name, network in networks.items()]
    x = keras.layers.Concatenate()(features) if len(features) > 1 else features[0]
    for layer in dense_layers(hidden_units, activation):
        x = layer(x)
    return keras.Model(inputs, x)
