"""Classifiers of single modalities, which predict the label of generated data."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import ArrayLike

from tf_mopoe.checks import as_array, check_count


def train_classifier(
    x: ArrayLike, labels: ArrayLike, epochs: int = 8, batch_size: int = 128, seed: int = 0, verbose: int | str = 0
) -> keras.Model:
    """Train a small convolutional classifier for pictures (log-mels included) of any size.

    Three convolutions with stride 2, dropout, one dense layer; random shifts of up to 2 pixels, so that it reads shapes
    and not places. Adam 1e-3.

    Args:
        x: [N, H, W, C] in 0..1; labels: int [N], 0..classes - 1.
        epochs, batch_size, verbose: as in `keras.Model.fit`.
        seed: int, 0 or more, of all that is drawn. The seeds of Python, NumPy and TensorFlow are neither set nor used.

    Returns:
        `keras.Model`: [B, H, W, C] -> probabilities [B, classes].

    Raises:
        ValueError: for x of another shape, or labels that are not one class per row.
    """
    x = as_array("x", x)
    if x.ndim != 4 or 0 in x.shape or x.dtype.kind not in "fiu":
        raise ValueError(f"`x` must be pictures [N, H, W, C]. Received: {x.dtype} {x.shape}")
    labels = check_labels(labels, len(x))
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(f"`labels` must be integers from 0. Received: {labels.dtype} from {labels.min()}")
    epochs, batch_size = check_count("epochs", epochs), check_count("batch_size", batch_size)
    rng = np.random.default_rng(check_count("seed", seed, low=0))

    def drawn():
        return int(rng.integers(2**31))

    def glorot():
        return keras.initializers.GlorotUniform(seed=drawn())

    inputs = keras.Input(x.shape[1:])
    h = layers.RandomTranslation(2 / x.shape[1], 2 / x.shape[2], fill_mode="constant", seed=drawn())(inputs)
    for filters in (16, 32, 64):
        conv = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu", kernel_initializer=glorot())
        h = conv(h)
    h = layers.Dropout(0.3, seed=drawn())(layers.Flatten()(h))
    h = layers.Dropout(0.3, seed=drawn())(layers.Dense(128, activation="relu", kernel_initializer=glorot())(h))
    classes = layers.Dense(int(np.max(labels)) + 1, activation="softmax", kernel_initializer=glorot())
    model = keras.Model(inputs, classes(h))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    for epoch in range(epochs):  # Keras' own shuffle takes the global seed
        order = rng.permutation(len(x))
        part = {"initial_epoch": epoch, "epochs": epoch + 1, "shuffle": False}
        model.fit(x[order], labels[order], batch_size=batch_size, verbose=verbose, **part)
    return model


def predict_labels(classifier: Callable[..., Any], x: ArrayLike, batch_size: int = 1000) -> np.ndarray:
    """Predict the class of each row with a classifier: x [N, E] -> int [N].

    A Keras model is run in inference mode; any other callable is taken to give the classes itself.

    Raises:
        ValueError: unless it gives one class per row.
    """
    if isinstance(classifier, keras.Model):
        classes = np.argmax(in_batches(classifier, x, batch_size), axis=-1)
    else:
        classes = np.asarray(classifier(np.asarray(x)))
    if classes.shape != (len(x),):
        raise ValueError(f"A classifier must give one class per row, ({len(x)},). Received: shape {classes.shape}")
    return classes


def check_labels(labels, rows):
    """Return `labels` as an array; raise a ValueError unless they are one class per row."""
    labels = as_array("labels", labels)
    if labels.shape != (rows,):
        raise ValueError(f"`labels` must be one class per row, shape ({rows},). Received: shape {labels.shape}")
    return labels


def check_functions(argument, functions, modalities):
    """Raise a ValueError unless it is a dict with a function for one or more of the modalities."""
    if not isinstance(functions, dict) or not functions or not set(functions) <= set(modalities):
        received = list(functions) if isinstance(functions, dict) else functions
        raise ValueError(f"`{argument}` must be of the modalities {list(modalities)}. Received: {received}")
    for name, function in functions.items():
        if not callable(function):
            raise ValueError(f"{argument}[{name!r}] must be a function or a Keras model. Received: {function!r}")


def in_batches(model, x, batch_size):
    """Apply a Keras model to x [N, E] in inference mode, in batches: NumPy [N, ...]."""
    x = np.asarray(x)
    batches = [model(tf.constant(x[i : i + batch_size]), training=False) for i in range(0, len(x), batch_size)]
    return np.concatenate(batches)
