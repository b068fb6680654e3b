"""The networks of the MNIST-SVHN-Text experiment (Sutter et al. 2021, appendix; official code, mnistsvhntext/networks).

With latent_dim 20 and the two heads of each `GaussianEncoder`, 1,411,826 parameters, as there.
A kernel of 4 at stride 2 with padding "same" is PyTorch's padding of 1.
"""

import keras
from keras import layers

from tf_mopoe.checks import check_count

MNIST, SVHN, TEXT = (28, 28, 1), (32, 32, 3), (8, 71)


def mnist_encoder() -> keras.Sequential:
    """Build the network [B, 28, 28, 1] -> [B, 400]."""
    return keras.Sequential([keras.Input(MNIST), layers.Flatten(), layers.Dense(400, activation="relu")])


def mnist_decoder(latent_dim: int) -> keras.Sequential:
    """Build the network [B, D] -> [B, 28, 28, 1], between 0 and 1."""
    return keras.Sequential(
        [
            keras.Input((check_count("latent_dim", latent_dim),)),
            layers.Dense(400, activation="relu"),
            layers.Dense(784, activation="sigmoid"),
            layers.Reshape(MNIST),
        ]
    )


def svhn_encoder() -> keras.Sequential:
    """Build the network [B, 32, 32, 3] -> [B, 1, 1, 128]."""
    return keras.Sequential(
        [
            keras.Input(SVHN),
            layers.Conv2D(32, 4, strides=2, padding="same", activation="relu"),
            layers.Conv2D(64, 4, strides=2, padding="same", activation="relu"),
            layers.Conv2D(64, 4, strides=2, padding="same", activation="relu"),
            layers.Conv2D(128, 4, activation="relu"),
        ]
    )


def svhn_decoder(latent_dim: int) -> keras.Sequential:
    """Build the network [B, D] -> [B, 32, 32, 3], unbounded."""
    return keras.Sequential(
        [
            keras.Input((check_count("latent_dim", latent_dim),)),
            layers.Dense(128, activation="relu"),
            layers.Reshape((1, 1, 128)),
            layers.Conv2DTranspose(64, 4, activation="relu"),
            layers.Conv2DTranspose(64, 4, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(32, 4, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(3, 4, strides=2, padding="same"),
        ]
    )


def text_encoder() -> keras.Sequential:
    """Build the network [B, 8, 71] -> [B, 1, 128]."""
    return keras.Sequential(
        [
            keras.Input(TEXT),
            layers.Conv1D(128, 1, activation="relu"),
            layers.Conv1D(128, 4, strides=2, padding="same", activation="relu"),
            layers.Conv1D(128, 4, strides=2, activation="relu"),
        ]
    )


def text_decoder(latent_dim: int) -> keras.Sequential:
    """Build the network [B, D] -> logits [B, 8, 71]."""
    return keras.Sequential(
        [
            keras.Input((check_count("latent_dim", latent_dim),)),
            layers.Dense(128),
            layers.Reshape((1, 128)),
            layers.Conv1DTranspose(128, 4, activation="relu"),
            layers.Conv1DTranspose(128, 4, strides=2, padding="same", activation="relu"),
            layers.Conv1D(71, 1),
        ]
    )
