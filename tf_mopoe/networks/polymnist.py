"""Networks for PolyMNIST's views, 28x28x3, as published (Sutter et al., 2021; their code's ConvNetworksImgCMNIST.py).

The published layers pad by 1 on all sides, as PyTorch does. On even sizes "same" would pad only at the end.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import layers

from tf_mopoe.checks import check_count

VIEW = (28, 28, 3)


@keras.saving.register_keras_serializable(package="tf_mopoe")
class CropStart(layers.Layer):
    """Drops the first row and column: [B, H, W, C] -> [B, H - 1, W - 1, C].

    What PyTorch's padding 1 with output padding 1 takes from the whole output of a transposed convolution. Cropping2D
    does the same, but its gradient scatters, where that of a slice pads: a sixth of the training step.
    """

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return keras.ops.slice(x, (0, 1, 1, 0), (-1, x.shape[1] - 1, x.shape[2] - 1, x.shape[3]))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        rows, height, width, channels = input_shape
        return rows, height - 1, width - 1, channels


def encoder(filters: int = 32, hidden_units: int = 512) -> keras.Sequential:
    """Build the network [B, 28, 28, 3] -> [B, hidden_units].

    Args:
        filters: of the first convolution; the second has twice, the third four times as many. Default: the published 32.
        hidden_units: of the dense layer. Default: the published 512.
    """
    filters = check_count("filters", filters)
    return keras.Sequential(
        [
            keras.Input(VIEW),
            # With stride 2 on an even size the padding at the end is never read.
            layers.ZeroPadding2D(((1, 0), (1, 0))),
            layers.Conv2D(filters, 3, strides=2, activation="relu"),  # 14x14
            layers.ZeroPadding2D(((1, 0), (1, 0))),
            layers.Conv2D(2 * filters, 3, strides=2, activation="relu"),  # 7x7
            layers.Conv2D(4 * filters, 3, strides=2, padding="same", activation="relu"),  # 4x4; odd: padded evenly
            layers.Flatten(),
            layers.Dense(check_count("hidden_units", hidden_units), activation="relu"),
        ]
    )


def decoder(latent_dim: int, filters: int = 32) -> keras.Sequential:
    """Build the network [B, D] -> [B, 28, 28, 3], unbounded. `filters`: of the last but one layer, as in `encoder`."""
    filters = check_count("filters", filters)
    return keras.Sequential(
        [
            keras.Input((check_count("latent_dim", latent_dim),)),
            layers.Dense(4 * 4 * 4 * filters, activation="relu"),
            layers.Reshape((4, 4, 4 * filters)),
            layers.Conv2DTranspose(
                2 * filters, 3, strides=2, padding="same", output_padding=0, activation="relu"
            ),  # 7x7
            layers.Conv2DTranspose(filters, 3, strides=2, activation="relu"),
            CropStart(),  # 14x14
            layers.Conv2DTranspose(3, 3, strides=2),
            CropStart(),
        ]
    )
