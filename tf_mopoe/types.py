"""Names for what the annotations of public functions speak of."""

import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

Inputs = Mapping[str, Any]  # {name: x, has_<name>: flags}: arrays, tensors, DataFrames, sparse matrices (docs/data.md)
Array = np.ndarray | tf.Tensor
Tensor = tf.Tensor
Distribution = tfp.distributions.Distribution
Network = keras.Layer  # any Keras layer or model
Model = keras.Model  # a `MultimodalVAE`
Schedule = keras.optimizers.schedules.LearningRateSchedule
Number = float | Schedule | tf.Variable | keras.Variable  # of an objective: may be scheduled, or assigned in training
Path = str | os.PathLike
