"""A linear classifier on the latent space: how much of the class each subset of the modalities puts there."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tf_mopoe.checks import check_count, is_integer
from tf_mopoe.datasets.rows import Rows, take
from tf_mopoe.evaluation import subset_latents
from tf_mopoe.evaluation.classifiers import check_labels
from tf_mopoe.model import MultimodalVAE


def linear_accuracy(
    model: MultimodalVAE,
    train_inputs: Mapping[str, Any] | Rows,
    train_labels: ArrayLike,
    test_inputs: Mapping[str, Any] | Rows,
    test_labels: ArrayLike,
    num_train: int | None = None,
    seed: int = 0,
    batch_size: int = 1000,
    progress: Callable[[int, int], Any] | None = None,
) -> dict[tuple[str, ...], float]:
    """Measure test accuracy of logistic regression on the latent representation, for every non-empty subset of modalities.

    A row's representation is the mean of the distribution from which the method translates: for "mopoe" and "mvae" the
    product of the given experts, for "mmvae" one of them, drawn for each row. (The official code takes one of them too,
    but by the row's position; the mean over them is a place in the latent space that none of them points to.)
    Features as they are, L2 penalty with C = 1. Reference: Sutter et al. 2021, section 5, with 500 training rows.

    Args:
        model: `MultimodalVAE`.
        train_inputs, train_labels, test_inputs, test_labels: arrays or `Rows` of all modalities, and their classes, int [N].
        num_train: how many training rows to draw, with the classes in proportion. Default: all.
        seed: of the draws.
        batch_size: rows at a time.
        progress: function (done, total), called after each subset.

    Returns:
        {given: accuracy}, `given` a tuple of names.

    Raises:
        ValueError: if there are fewer than `num_train` rows, or labels are not one class a row.
        ImportError: without scikit-learn.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ImportError("linear_accuracy needs scikit-learn (pip install tf_mopoe[eval])") from error
    train_inputs, test_inputs = (subset_latents.complete(model, inputs) for inputs in (train_inputs, test_inputs))
    train_labels = check_labels(train_labels, subset_latents.count_of(train_inputs))
    test_labels = check_labels(test_labels, subset_latents.count_of(test_inputs))
    seed = check_count("seed", seed, low=0)
    rows = slice(None) if num_train is None else stratified_rows(train_labels, num_train, seed)
    train_inputs = take(train_inputs, rows)
    train = list(subset_latents.encoded(model, train_inputs, batch_size))
    test = list(subset_latents.encoded(model, test_inputs, batch_size))
    subsets = subset_latents.subsets_of(model.modalities)
    accuracy = {}
    for given in subset_latents.tracked(subsets, len(subsets), progress):
        # The same optimum as the official lbfgs; ten or so steps also where that one needs hundreds.
        probe = LogisticRegression(solver="newton-cg", max_iter=1000)
        probe.fit(subset_latents.locations(train, given, seed).astype(np.float64), train_labels[rows])
        accuracy[given] = float(probe.score(subset_latents.locations(test, given, seed), test_labels))
    return accuracy


def stratified_rows(labels, count, seed):
    """Draw `count` rows without replacement, of every class its share of them to within one: int [count]."""
    if not is_integer(count, low=1) or count > len(labels):
        raise ValueError(
            f"`num_train` must be 1 to {len(labels)}, the number of rows, or None. Received: num_train={count}"
        )
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))  # the rows of each class in random order, spread evenly over 0..1
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return np.argsort(place)[:count]
