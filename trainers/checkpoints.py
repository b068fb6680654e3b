"""Checkpoints of a run: `<out>/checkpoints/step_<n>.keras`, the model with its optimizer after n steps.

Each is a .keras file with one more member, the state of the metrics in the middle of an epoch, which Keras does not save.
Written aside and renamed, so that a file with such a name is whole; the two newest are kept.
"""

import json
import pathlib
import re
import zipfile

from tf_mopoe.files import write_aside
from tf_mopoe.not_finite import check_weights
from trainers import reading

KEEP = 2
METRICS = "metrics.json"  # the member's name


def path_of(out, step):
    return pathlib.Path(out) / "checkpoints" / f"step_{step:08d}.keras"


def steps(out):
    """Return the steps of the checkpoints in the folder, in order."""
    files = (pathlib.Path(out) / "checkpoints").glob("step_*.keras")
    found = (re.fullmatch(r"step_(\d+)\.keras", file.name) for file in files)
    return sorted(int(match[1]) for match in found if match)


def metrics_state(model):
    """Return {name: values of a metric's variables}. On several machines all must call it, as each has its share."""
    return {metric.name: [variable.numpy().tolist() for variable in metric.variables] for metric in model.metrics}


def save(model, out, step, metrics=None):
    """Save the model and `metrics`, its `metrics_state`; default: the present one.

    A model whose weights are not finite is a ValueError, and no checkpoint goes.
    """
    check_weights(model)
    metrics = metrics or metrics_state(model)

    def write(path):
        model.save(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(METRICS, json.dumps(metrics))

    target = path_of(out, step)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_aside(target, write)
    for old in steps(out)[:-KEEP]:
        path_of(out, old).unlink()


def load(out, step):
    """Load model, optimizer and metrics after `step` steps. Raise a ValueError for a torn file, or no such model."""

    def load(path):
        model = reading.vae(path)
        with zipfile.ZipFile(path) as archive:
            metrics = json.loads(archive.read(METRICS))
        for metric in model.metrics:
            for variable, value in zip(metric.variables, metrics[metric.name], strict=True):
                variable.assign(value)
        return model

    return reading.read(path_of(out, step), load, "Delete it to resume from the checkpoint before.")
