"""Checkpoints of a run: `<out>/checkpoints/step_<n>.keras`, the model with its optimizer after n steps.

Written aside and renamed, so that a file with such a name is whole; the two newest are kept.
"""

import pathlib
import re

import keras

from tf_mopoe import MultimodalVAE
from tf_mopoe.aside import write_aside
from tf_mopoe.not_finite import check_weights

KEEP = 2


def path_of(out, step):
    return pathlib.Path(out) / "checkpoints" / f"step_{step:08d}.keras"


def steps(out):
    """The steps of the checkpoints that are there, in order."""
    files = (pathlib.Path(out) / "checkpoints").glob("step_*.keras")
    found = (re.fullmatch(r"step_(\d+)\.keras", file.name) for file in files)
    return sorted(int(match[1]) for match in found if match)


def save(model, out, step):
    """Writes the checkpoint of `step`. A model whose weights are not finite is a ValueError, and no checkpoint goes."""
    target = path_of(out, step)
    target.parent.mkdir(parents=True, exist_ok=True)
    check_weights(model)
    write_aside(target, model.save)
    for old in steps(out)[:-KEEP]:
        path_of(out, old).unlink()


def load(out, step):
    """The model and optimizer after `step` steps. A file that is torn, or no such model, is a ValueError."""
    path = path_of(out, step)
    try:
        model = keras.models.load_model(path)
        if not isinstance(model, MultimodalVAE):
            raise TypeError(f"a {type(model).__name__}")
        return model
    except Exception as error:  # zip, JSON, HDF5 and Keras each have errors of their own
        raise ValueError(
            f"Checkpoint {path} cannot be read: it is torn, or not of this program. Delete it to resume from the one "
            f"before. Received: {type(error).__name__}: {error}"
        ) from error
