"""Coherence: does generated data show the class of the data it was conditioned on?"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tf_mopoe.arguments import checked_latents
from tf_mopoe.checks import check_count, check_integer
from tf_mopoe.datasets.rows import Rows, take
from tf_mopoe.evaluation import subset_latents
from tf_mopoe.evaluation.classifiers import check_functions, check_labels, predict_labels
from tf_mopoe.model import MultimodalVAE


def classifier_accuracy(
    inputs: Mapping[str, Any] | Rows, labels: ArrayLike, classifiers: Mapping[str, Callable[..., Any]]
) -> dict[str, float]:
    """Compute each classifier's accuracy on real rows, {name: share}: about the highest possible coherence.

    Raises:
        ValueError: for a classifier of what is not in `inputs`, or labels that are not one class per row.
    """
    first = take(inputs, slice(0, 1)) if isinstance(inputs, Rows) else inputs
    if not isinstance(first, dict) or not all(np.ndim(x) for x in first.values()):
        raise ValueError(f"`inputs` must be a dict of arrays or `Rows`. Received: {type(inputs).__name__}")
    check_functions("classifiers", classifiers, first)
    inputs = inputs if isinstance(inputs, Rows) else {name: inputs[name] for name in classifiers}
    labels = check_labels(labels, subset_latents.count_of(inputs))
    right = dict.fromkeys(classifiers, 0)
    for rows in subset_latents.batches(inputs, 1000):
        batch = take(inputs, rows)
        for name, classifier in classifiers.items():
            right[name] += int(np.sum(predict_labels(classifier, batch[name]) == labels[rows]))
    return {name: count / len(labels) for name, count in right.items()}


def conditional_coherence(
    model: MultimodalVAE,
    inputs: Mapping[str, Any] | Rows,
    labels: ArrayLike,
    classifiers: Mapping[str, Callable[..., Any]],
    sizes: Collection[int] | None = None,
    batch_size: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], Any] | None = None,
) -> dict[tuple[tuple[str, ...], str], float]:
    """Compute the share of rows whose translation shows their label, for subsets of given modalities and every target.

    Reference: Sutter et al. 2021, section 5 (conditional generation). One sample z per row, as of `model.translate`; a
    target that is itself given is left out.

    Args:
        model: `MultimodalVAE`.
        inputs, labels: arrays or `Rows` of all modalities, and their classes, int [N].
        classifiers: {name: Keras model that gives probabilities, or a function x -> classes}.
        sizes: how many modalities are given; default: 1 to all but one.
        batch_size: rows at a time.
        seed: of the draws.
        progress: function (done, total), called after each subset of each batch.

    Returns:
        {(given, target): accuracy}, `given` a tuple of names, `target` a name.

    Raises:
        ValueError: if a modality is not there for all rows, `labels` are not one class per row, a classifier is of no
            modality, or the `sizes` are not some of 1 to M or leave nothing that a classifier can read.
    """
    labels = check_labels(labels, subset_latents.count_of(subset_latents.complete(model, inputs)))
    check_functions("classifiers", classifiers, model.modalities)
    check_integer("seed", seed)
    targets = {
        given: [name for name in model.modalities if name in classifiers and name not in given]
        for given in subset_latents.subsets_of(model.modalities, sizes)
    }
    subsets = [given for given in targets if targets[given]]
    if not subsets:
        raise ValueError(
            "`sizes` and `classifiers` must leave a target that is not given and has a classifier. "
            f"Received: sizes={sizes}, classifiers of {list(classifiers)}"
        )
    right = {(given, target): 0 for given in subsets for target in targets[given]}
    for rows, given, q in subset_latents.every_subset(model, inputs, subsets, batch_size, progress):
        z, private = model.sample_latents(q, seed + rows.start)
        for target in targets[given]:
            correct = predict_labels(classifiers[target], model.decode(z, target, private)) == labels[rows]
            right[given, target] += int(correct.sum())
    return {pair: count / len(labels) for pair, count in right.items()}


def mean_by_number_given(values: Mapping[Any, float]) -> dict[int, float]:
    """Average a measure over the entries with the same number of given modalities: {1: value, 2: value, ...}.

    Each pair of given and target counts the same. So Sutter et al. 2021 and what followed report coherence on PolyMNIST,
    of absent targets only.

    Args:
        values: {(given, target): value} as of `conditional_coherence`, or {given: value} as of `linear_accuracy`.
    """
    if not isinstance(values, dict) or not values or not all(isinstance(key, tuple) and key for key in values):
        raise ValueError(f"`values` must be a dict by tuples of what is given. Received: values={values!r}")
    groups = {}
    for key, value in values.items():
        given = key[0] if isinstance(key[0], tuple) else key
        groups.setdefault(len(given), []).append(value)
    return {number: float(np.mean(groups[number])) for number in sorted(groups)}


def joint_coherence(
    model: MultimodalVAE,
    classifiers: Mapping[str, Callable[..., Any]],
    num_samples: int = 1000,
    seed: int = 0,
    latent: Callable[..., Any] | None = None,
) -> float:
    """Compute the share of rows from the prior on whose class all classifiers agree (Sutter et al. 2021, section 5).

    Private latent variables come from their prior in either case, as in `model.generate`.

    Args:
        model: `MultimodalVAE`.
        classifiers: as in `conditional_coherence`.
        num_samples, seed: how many rows, and the seed of their draws.
        latent: function (num_samples, seed) -> z [num_samples, D] in place of the prior, such as `latent_mixture` returns.

    Raises:
        ValueError: for a classifier of no modality, a `num_samples` that is not a positive integer, or a `latent` that
            gives no z of that shape.
    """
    check_functions("classifiers", classifiers, model.modalities)
    num_samples, seed = check_count("num_samples", num_samples), check_integer("seed", seed)
    if latent is not None and not callable(latent):
        raise ValueError(f"`latent` must be a function or None. Received: latent={latent!r}")
    size = num_samples, model.latent_dim
    sampler = None if latent is None else lambda *draw: checked_latents("latent", latent(*draw), *size)
    made = model.generate(num_samples, seed=seed, sampler=sampler)
    classes = np.stack([predict_labels(classifier, made[name]) for name, classifier in classifiers.items()])
    return float(np.mean(np.all(classes == classes[0], axis=0)))
