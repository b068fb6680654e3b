"""Reads the files of a run: one that is torn, or of another program, is an error that names it."""

import csv
import json

import keras

from tf_mopoe import MultimodalVAE
from tf_mopoe.reading import read


def read_json(path):
    """Read the object in a JSON file."""

    def load(path):
        value = json.loads(path.read_text())
        if not isinstance(value, dict):
            raise TypeError(f"a {type(value).__name__}")
        return value

    return read(path, load)


def load_classifier(path):
    return read(path, keras.models.load_model)


def load_model(path):
    """Load the `MultimodalVAE` in a .keras file."""
    return read(path, vae)


def vae(path):
    model = keras.models.load_model(path)
    if not isinstance(model, MultimodalVAE):
        raise TypeError(f"a {type(model).__name__}")
    return model


def read_metrics(path):
    """Read the rows of metrics.csv, [{column: number}], none if there is no such file."""

    def load(path):
        with path.open(newline="") as file:
            rows = [{name: number(text) for name, text in row.items()} for row in csv.DictReader(file)]
        if not all({"epoch", "step", "seconds"} <= set(row) for row in rows):
            raise KeyError("epoch, step, seconds")
        return rows

    return read(path, load) if path.exists() else []


def number(text):
    return int(text) if text.isdigit() else float(text)
