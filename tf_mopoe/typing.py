"""Types of arguments that may be of several kinds."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from tf_mopoe.datasets.rows import Rows

# What a model reads: {modality: array, has_<modality>: flags}, `Rows`, or a data set of such dicts.
Inputs = Mapping[str, Any] | Rows | Iterable[Mapping[str, Any]] | keras.utils.PyDataset
# A weight that may be changed while a model trains, itself or the variable that holds it.
Number = float | tf.Variable | keras.Variable
# A weight, or a schedule of it: a function of the training step.
Scheduled = Number | keras.optimizers.schedules.LearningRateSchedule
