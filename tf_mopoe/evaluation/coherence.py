"""Coherence: does what a model makes show the class of what it was given?"""

import numpy as np

from tf_mopoe.evaluation import subset_latents
from tf_mopoe.evaluation.classifiers import check_labels, read_label


def classifier_accuracy(inputs, labels, classifiers):
    """{name: share of the real rows that each classifier reads right}: what a coherence can be at most, about."""
    accuracy = {}
    for name, classifier in classifiers.items():
        right = read_label(classifier, inputs[name]) == check_labels(labels, inputs[name])
        accuracy[name] = float(np.mean(right))
    return accuracy


def conditional_coherence(model, inputs, labels, classifiers, sizes=None, batch_size=1000, seed=0, progress=None):
    """Share of the rows whose translation shows their label, for subsets of the given modalities and every target.

    Reference: Sutter et al. 2021, section 5 (conditional generation). One sample z a row, as of `model.translate`; a
    target that is itself given is left out.

    Args:
        model: `MultimodalVAE`.
        inputs, labels: rows that have all modalities, and their classes, int [N].
        classifiers: {name: Keras model that gives probabilities, or a function x -> classes}.
        sizes: how many modalities are given; default: 1 to all but one.
        batch_size: rows at a time.
        seed: of the draws.
        progress: function (done, total), called after each subset of each batch.

    Returns:
        {(given, target): accuracy}, `given` a tuple of names, `target` a name.

    Raises:
        ValueError: if a modality is not there for all rows, `labels` are not one class a row, or a classifier is of no
            modality.
    """
    labels = check_labels(labels, next(iter(subset_latents.complete(model, inputs).values())))
    unknown = sorted(set(classifiers) - set(model.modalities))
    if unknown:
        raise ValueError(f"`classifiers` must be of the modalities {list(model.modalities)}. Received: {unknown}")
    targets = {
        given: [name for name in model.modalities if name in classifiers and name not in given]
        for given in subset_latents.subsets_of(model.modalities, sizes)
    }
    subsets = [given for given in targets if targets[given]]
    right = {(given, target): 0 for given in subsets for target in targets[given]}
    for rows, given, q in subset_latents.every_subset(model, inputs, subsets, batch_size, progress):
        z, private = model.sample_latents(q, seed + rows.start)
        for target in targets[given]:
            correct = read_label(classifiers[target], model.decode(z, target, private)) == labels[rows]
            right[given, target] += int(correct.sum())
    return {pair: count / len(labels) for pair, count in right.items()}


def mean_by_number_given(values):
    """The mean of a measure over all that have the same number of given modalities: {1: value, 2: value, ...}.

    Each pair of given and target counts the same. So Sutter et al. 2021 and what followed report coherence on PolyMNIST,
    of absent targets only.

    Args:
        values: {(given, target): value} as of `conditional_coherence`, or {given: value} as of `linear_accuracy`.
    """
    groups = {}
    for key, value in values.items():
        given = key[0] if isinstance(key[0], tuple) else key
        groups.setdefault(len(given), []).append(value)
    return {number: float(np.mean(groups[number])) for number in sorted(groups)}


def joint_coherence(model, classifiers, num_samples=1000, seed=0, latent=None):
    """Share of the rows made from the prior on whose class all classifiers agree (Sutter et al. 2021, section 5).

    Args:
        model: `MultimodalVAE`.
        classifiers: as in `conditional_coherence`.
        num_samples, seed: how many rows, and the seed of their draws.
        latent: function (num_samples, seed) -> z [num_samples, D] in place of the prior, such as `latent_mixture` makes.
    """
    made = model.generate(num_samples, seed=seed) if latent is None else model.decode(latent(num_samples, seed))
    classes = np.stack([read_label(classifier, made[name]) for name, classifier in classifiers.items()])
    return float(np.mean(np.all(classes == classes[0], axis=0)))
