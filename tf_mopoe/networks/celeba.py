"""Networks for CelebA: picture 64x64x3, text of 256 characters of 71 symbols.

Ours, in the spirit of the paper's (Sutter et al. 2021, appendix; official code, celeba/networks), and not the same: halving
by kernels of 4 at stride 2 as there, but plain convolutions where those have residual blocks with batch normalisation
and dropout, and no latent variables of a modality's own. With latent_dim 32 and the two heads of each `GaussianEncoder`,
8,447,818 parameters.
"""

import keras
from keras import layers

from tf_mopoe.checks import check_count

IMAGE, TEXT = (64, 64, 3), (256, 71)


def image_encoder() -> keras.Sequential:
    """Build the network [B, 64, 64, 3] -> [B, 4, 4, 512]."""
    return keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.Conv2D(64, 4, strides=2, padding="same", activation="relu"),
            layers.Conv2D(128, 4, strides=2, padding="same", activation="relu"),
            layers.Conv2D(256, 4, strides=2, padding="same", activation="relu"),
            layers.Conv2D(512, 4, strides=2, padding="same", activation="relu"),
        ]
    )


def image_decoder(latent_dim: int) -> keras.Sequential:
    """Build the network [B, D] -> [B, 64, 64, 3], unbounded."""
    return keras.Sequential(
        [
            keras.Input((check_count("latent_dim", latent_dim),)),
            layers.Dense(4 * 4 * 512, activation="relu"),
            layers.Reshape((4, 4, 512)),
            layers.Conv2DTranspose(256, 4, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(128, 4, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(64, 4, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(3, 4, strides=2, padding="same"),
        ]
    )


def text_encoder() -> keras.Sequential:
    """Build the network [B, 256, 71] -> [B, 4, 256]."""
    return keras.Sequential(
        [
            keras.Input(TEXT),
            layers.Conv1D(128, 4, strides=2, padding="same", activation="relu"),
            layers.Conv1D(128, 4, strides=2, padding="same", activation="relu"),
            layers.Conv1D(256, 4, strides=2, padding="same", activation="relu"),
            layers.Conv1D(256, 4, strides=2, padding="same", activation="relu"),
            layers.Conv1D(256, 4, strides=2, padding="same", activation="relu"),
            layers.Conv1D(256, 4, strides=2, padding="same", activation="relu"),
        ]
    )


def text_decoder(latent_dim: int) -> keras.Sequential:
    """Build the network [B, D] -> logits [B, 256, 71]."""
    return keras.Sequential(
        [
            keras.Input((check_count("latent_dim", latent_dim),)),
            layers.Dense(4 * 256, activation="relu"),
            layers.Reshape((4, 256)),
            layers.Conv1DTranspose(256, 4, strides=2, padding="same", activation="relu"),
            layers.Conv1DTranspose(256, 4, strides=2, padding="same", activation="relu"),
            layers.Conv1DTranspose(256, 4, strides=2, padding="same", activation="relu"),
            layers.Conv1DTranspose(128, 4, strides=2, padding="same", activation="relu"),
            layers.Conv1DTranspose(128, 4, strides=2, padding="same", activation="relu"),
            layers.Conv1DTranspose(71, 4, strides=2, padding="same"),
        ]
    )
