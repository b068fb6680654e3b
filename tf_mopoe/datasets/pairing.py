"""Weak pairing: rows of several modalities that share a label, not a source."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from tf_mopoe.checks import check_count, check_integer


def pair_by_label(
    labels: Mapping[str, ArrayLike], num_rows: int, seed: int = 0, epoch: int = 0
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draw rows that agree in their label.

    Every class has the same number of rows, to within one. Within a class each modality's items are used in a new order,
    over and over, so that all are used equally often, to within one.

    Args:
        labels: {name: int [N_name]}, the labels of each modality's items.
        num_rows: number of rows to draw.
        seed, epoch: integers; another of either is another pairing.

    Returns:
        index: {name: int64 [num_rows]}, which item of each modality is in each row; label: int64 [num_rows].

    Raises:
        ValueError: if the modalities do not have the same classes.
    """
    if not isinstance(labels, dict) or not labels or not all(np.ndim(v) == 1 and len(v) for v in labels.values()):
        raise ValueError(f"`labels` must be a dict of one or more arrays of labels [N]. Received: labels={labels!r}")
    labels = {name: np.asarray(values) for name, values in labels.items()}
    num_rows = check_count("num_rows", num_rows, low=0)
    seed, epoch = check_integer("seed", seed, low=0), check_integer("epoch", epoch, low=0)
    classes = {name: tuple(np.unique(values)) for name, values in labels.items()}
    if len(set(classes.values())) != 1:
        raise ValueError(f"All modalities must have the same classes. Received: {classes}")
    rng = np.random.default_rng([seed, epoch])
    present = np.array(next(iter(classes.values())), np.int64)
    label = rng.permutation(np.resize(rng.permutation(present), num_rows))
    index = {}
    for name, values in labels.items():
        index[name] = np.empty(num_rows, np.int64)
        for c in present:
            rows, items = np.flatnonzero(label == c), np.flatnonzero(values == c)
            rounds = [rng.permutation(items) for _ in range(-(-len(rows) // len(items)))]
            index[name][rows] = np.concatenate(rounds)[: len(rows)] if rounds else rows
    return index, label
