"""Networks for PolyMNIST's views, 28x28x3, as published (Sutter et al., 2021; their code's ConvNetworksImgCMNIST.py).

The published layers pad by 1 on all sides, as PyTorch does. On even sizes "same" would pad only at the end.
"""

import keras
from keras import layers

VIEW = (28, 28, 3)


def encoder():
    """[B, 28, 28, 3] -> [B, 512]. With a `GaussianEncoder`'s heads for 512 latent numbers: 1,667,648 parameters."""
    return keras.Sequential(
        [
            keras.Input(VIEW),
            # With stride 2 on an even size the padding at the end is never read.
            layers.ZeroPadding2D(((1, 0), (1, 0))),
            layers.Conv2D(32, 3, strides=2, activation="relu"),  # 14x14
            layers.ZeroPadding2D(((1, 0), (1, 0))),
            layers.Conv2D(64, 3, strides=2, activation="relu"),  # 7x7
            layers.Conv2D(128, 3, strides=2, padding="same", activation="relu"),  # 4x4; an odd size is padded evenly
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
        ]
    )


def decoder(latent_dim):
    """[B, D] -> [B, 28, 28, 3], without activation at its end. For 512 latent numbers: 1,143,747 parameters."""
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(4 * 4 * 128, activation="relu"),
            layers.Reshape((4, 4, 128)),
            layers.Conv2DTranspose(64, 3, strides=2, padding="same", output_padding=0, activation="relu"),  # 7x7
            # Padding 1 with output padding 1 takes one row and column from the start of the whole output.
            layers.Conv2DTranspose(32, 3, strides=2, activation="relu"),
            layers.Cropping2D(((1, 0), (1, 0))),  # 14x14
            layers.Conv2DTranspose(3, 3, strides=2),
            layers.Cropping2D(((1, 0), (1, 0))),
        ]
    )
