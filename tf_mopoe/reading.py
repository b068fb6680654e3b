"""Reads files: one that is torn, or of another kind, is an error that names it."""

import numpy as np


def read(path, load, advice=""):
    """Return `load(path)`.

    Args:
        path: `pathlib.Path`.
        load: function of it.
        advice: sentence for the error.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be loaded.
    """
    try:
        return load(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # zip, JSON, HDF5, NumPy and Keras each have different errors
        raise ValueError(
            f"{path} cannot be read: it is torn, or of another kind. {advice}{' ' * bool(advice)}"
            f"Received: {type(error).__name__}: {error}"
        ) from error


def read_npz(path, names=()):
    """Return the arrays of an .npz file, {name: array}, of which some must have these names; raises as `read`."""

    def load(path):
        try:
            with open(path, "rb") as file, np.load(file) as archive:
                arrays = dict(archive)
        except ValueError:  # NumPy's own advice would be to trust the file
            raise ValueError("no arrays of numbers") from None
        if missing := set(names) - set(arrays):
            raise ValueError(f"arrays {sorted(arrays)}, without {sorted(missing)}")
        return arrays

    return read(path, load)
