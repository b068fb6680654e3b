"""Networks for the embedded digits: picture 28x28x1, log-mel 32x64x1, word 8 characters of 27 symbols.

Dense layers: on a CPU these small pictures train faster so than with convolutions, and what limits the
translations is how far the training gets, not how well a modality is read (BUILD.md, "The digits' settings").
"""

import keras
from keras import layers

from tf_mopoe.checks import check_count

IMAGE, SPEECH, WORD = (28, 28, 1), (32, 64, 1), (8, 27)


def image_encoder() -> keras.Sequential:
    """Build the network [B, 28, 28, 1] -> [B, 320]."""
    return keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.Flatten(),
            layers.Dense(320, activation="relu"),
            layers.Dense(320, activation="relu"),
        ]
    )


def image_decoder(latent_dim: int) -> keras.Sequential:
    """Build the network [B, D] -> [B, 28, 28, 1], between 0 and 1."""
    return keras.Sequential(
        [
            keras.Input((check_count("latent_dim", latent_dim),)),
            layers.Dense(320, activation="relu"),
            layers.Dense(320, activation="relu"),
            layers.Dense(784, activation="sigmoid"),
            layers.Reshape(IMAGE),
        ]
    )


def speech_encoder() -> keras.Sequential:
    """Build the network [B, 32, 64, 1] -> [B, 160]."""
    return keras.Sequential(
        [
            keras.Input(SPEECH),
            layers.Flatten(),
            layers.Dense(160, activation="relu"),
            layers.Dense(160, activation="relu"),
        ]
    )


def speech_decoder(latent_dim: int) -> keras.Sequential:
    """Build the network [B, D] -> [B, 32, 64, 1], between 0 and 1."""
    return keras.Sequential(
        [
            keras.Input((check_count("latent_dim", latent_dim),)),
            layers.Dense(160, activation="relu"),
            layers.Dense(160, activation="relu"),
            layers.Dense(32 * 64, activation="sigmoid"),
            layers.Reshape(SPEECH),
        ]
    )


def word_encoder() -> keras.Sequential:
    """Build the network [B, 8, 27] -> [B, 192]."""
    return keras.Sequential(
        [
            keras.Input(WORD),
            layers.Flatten(),
            layers.Dense(192, activation="relu"),
            layers.Dense(192, activation="relu"),
        ]
    )


def word_decoder(latent_dim: int) -> keras.Sequential:
    """Build the network [B, D] -> logits [B, 8, 27]."""
    return keras.Sequential(
        [
            keras.Input((check_count("latent_dim", latent_dim),)),
            layers.Dense(192, activation="relu"),
            layers.Dense(192, activation="relu"),
            layers.Dense(8 * 27),
            layers.Reshape(WORD),
        ]
    )
