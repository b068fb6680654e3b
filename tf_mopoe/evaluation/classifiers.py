"""Classifiers of single modalities: they read the label from what a model makes."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def train_classifier(x, labels, epochs=8, batch_size=128, seed=0, verbose=0):
    """A small convolutional classifier for pictures (log-mels included) of any size, trained here.

    Three convolutions with stride 2, dropout, one dense layer; random shifts of up to 2 pixels, so that it reads shapes
    and not places. Adam 1e-3.

    Args:
        x: [N, H, W, C] in 0..1; labels: int [N], 0..classes - 1.
        epochs, batch_size, seed, verbose: as in `keras.Model.fit`.

    Returns:
        `keras.Model`: [B, H, W, C] -> probabilities [B, classes].
    """
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(x.shape[1:])
    h = layers.RandomTranslation(2 / x.shape[1], 2 / x.shape[2], fill_mode="constant")(inputs)
    for filters in (16, 32, 64):
        h = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(h)
    h = layers.Dropout(0.3)(layers.Flatten()(h))
    h = layers.Dropout(0.3)(layers.Dense(128, activation="relu")(h))
    model = keras.Model(inputs, layers.Dense(int(np.max(labels)) + 1, activation="softmax")(h))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, labels, epochs=epochs, batch_size=batch_size, verbose=verbose)
    return model


def read_label(classifier, x, batch_size=1000):
    """The class a classifier gives each row: x [N, E] -> int [N].

    A Keras model is run in inference mode; any other callable is taken to give the classes itself.
    """
    if not isinstance(classifier, keras.Model):
        return np.asarray(classifier(np.asarray(x)))
    return np.argmax(in_batches(classifier, x, batch_size), axis=-1)


def check_labels(labels, x):
    """`labels` as an array; a ValueError unless they are one class for each row of x."""
    labels = np.asarray(labels)
    if labels.shape != (len(x),):
        raise ValueError(f"`labels` must be one class a row, shape ({len(x)},). Received: shape {labels.shape}")
    return labels


def in_batches(model, x, batch_size):
    """What a Keras model makes of x [N, E] in inference mode: NumPy [N, ...]."""
    x = np.asarray(x)
    batches = [model(tf.constant(x[i : i + batch_size]), training=False) for i in range(0, len(x), batch_size)]
    return np.concatenate(batches)
