"""Features of pictures, between which Frechet distances are measured: functions x [N, E] -> [N, F]."""

import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mopoe.evaluation.classifiers import in_batches


def classifier_features(classifier: keras.Model, batch_size: int = 1000) -> Callable[[Any], np.ndarray]:
    """Return a function that computes the input of a classifier's last layer.

    Call a distance on these "FD, classifier features", never FID.

    Args:
        classifier: functional Keras model, such as of `train_classifier`; run in inference mode.
        batch_size: rows at a time.

    Returns:
        Function x [N, E] -> float32 [N, F].

    Raises:
        ValueError: for what is not a functional Keras model.
    """
    if not isinstance(classifier, keras.Model) or not getattr(classifier, "inputs", None):
        raise ValueError(f"`classifier` must be a functional Keras model. Received: classifier={classifier!r}")
    model = keras.Model(classifier.inputs, classifier.layers[-1].input)
    return lambda x: in_batches(model, x, batch_size)


def inception_features(
    weights: os.PathLike | str | None = "imagenet", batch_size: int = 100
) -> Callable[[Any], np.ndarray]:
    """Return a function for the 2048 averaged features of InceptionV3 (Szegedy et al. 2016; used so by Heusel et al. 2017).

    The weights are those of `keras.applications`, downloaded once. Published FIDs rest on another training of the
    network: compare distances on these features with each other only.

    Args:
        weights: "imagenet" (default), the path of a file of weights, or None for random ones.
        batch_size: rows at a time.

    Returns:
        Function x [N, H, W, 1 or 3] in 0..1 (what is beyond is cut off) -> float32 [N, 2048].
    """
    model = keras.applications.InceptionV3(include_top=False, weights=weights, pooling="avg")

    def features(x):
        x = np.asarray(x)
        batches = (as_inception_input(x[i : i + batch_size]) for i in range(0, len(x), batch_size))
        return np.concatenate([model(batch, training=False) for batch in batches])

    return features


def as_inception_input(x):
    """Convert x [B, H, W, 1 or 3] in 0..1 to [B, 299, 299, 3] in -1..1; grey is repeated."""
    x = tf.image.resize(tf.clip_by_value(tf.cast(x, tf.float32), 0.0, 1.0), (299, 299), antialias=True)
    return 2.0 * tf.broadcast_to(x, (*x.shape[:-1], 3)) - 1.0
