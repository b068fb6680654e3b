"""Networks for the embedded digits: picture 28x28x1, log-mel 32x64x1, word 8 characters of 27 symbols.

Small enough to train on two cores in minutes. Convolutions halve the size by stride, without batch normalisation, so
that rows do not see each other (missing rows are zeros).
"""

import keras
from keras import layers

IMAGE, SPEECH, WORD = (28, 28, 1), (32, 64, 1), (8, 27)


def image_encoder():
    """[B, 28, 28, 1] -> [B, 400]."""
    return keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.Flatten(),
            layers.Dense(400, activation="relu"),
            layers.Dense(400, activation="relu"),
        ]
    )


def image_decoder(latent_dim):
    """[B, D] -> [B, 28, 28, 1], between 0 and 1."""
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(400, activation="relu"),
            layers.Dense(400, activation="relu"),
            layers.Dense(784, activation="sigmoid"),
            layers.Reshape(IMAGE),
        ]
    )


def speech_encoder():
    """[B, 32, 64, 1] -> [B, 256]."""
    return keras.Sequential(
        [
            keras.Input(SPEECH),
            layers.Conv2D(16, 4, strides=2, padding="same", activation="relu"),  # 16x32
            layers.Conv2D(32, 4, strides=2, padding="same", activation="relu"),  # 8x16
            layers.Conv2D(64, 4, strides=2, padding="same", activation="relu"),  # 4x8
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
        ]
    )


def speech_decoder(latent_dim):
    """[B, D] -> [B, 32, 64, 1], between 0 and 1."""
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(256, activation="relu"),
            layers.Dense(4 * 8 * 64, activation="relu"),
            layers.Reshape((4, 8, 64)),
            layers.Conv2DTranspose(32, 4, strides=2, padding="same", activation="relu"),  # 8x16
            layers.Conv2DTranspose(16, 4, strides=2, padding="same", activation="relu"),  # 16x32
            layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="sigmoid"),  # 32x64
        ]
    )


def word_encoder():
    """[B, 8, 27] -> [B, 256]."""
    return keras.Sequential(
        [
            keras.Input(WORD),
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.Dense(256, activation="relu"),
        ]
    )


def word_decoder(latent_dim):
    """[B, D] -> logits [B, 8, 27]."""
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(256, activation="relu"),
            layers.Dense(256, activation="relu"),
            layers.Dense(8 * 27),
            layers.Reshape(WORD),
        ]
    )
