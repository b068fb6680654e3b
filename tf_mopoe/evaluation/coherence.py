"""Coherence: does what a model makes show the class of what it was given?"""

import itertools

import numpy as np

from tf_mopoe.evaluation.classifiers import read_label


def classifier_accuracy(inputs, labels, classifiers):
    """{name: share of the real rows that each classifier reads right}: what a coherence can be at most, about."""
    return {name: float(np.mean(read_label(c, inputs[name]) == labels)) for name, c in classifiers.items()}


def conditional_coherence(model, inputs, labels, classifiers, sizes=None, batch_size=1000, seed=0):
    """Share of the rows whose translation shows their label, for subsets of the given modalities and every target.

    Reference: Sutter et al. 2021, section 5 (conditional generation). One sample z a row; a target that is itself given
    is left out.

    Args:
        model: `MultimodalVAE`.
        inputs, labels: rows that have all modalities, and their classes, int [N].
        classifiers: {name: Keras model that gives probabilities, or a function x -> classes}.
        sizes: how many modalities are given; default: 1 to all but one.
        batch_size: rows at a time.
        seed: of the draws.

    Returns:
        {(given, target): accuracy}, `given` a tuple of names, `target` a name.
    """
    names = list(model.modalities)
    sizes = range(1, len(names)) if sizes is None else sizes
    right = {}
    for given in itertools.chain.from_iterable(itertools.combinations(names, size) for size in sizes):
        for start in range(0, len(labels), batch_size):
            rows = slice(start, start + batch_size)
            made = model.translate({name: inputs[name][rows] for name in given}, seed=seed + start)
            for target in set(classifiers) - set(given):
                correct = read_label(classifiers[target], made[target]) == labels[rows]
                right[given, target] = right.get((given, target), 0) + int(correct.sum())
    return {pair: right[pair] / len(labels) for pair in sorted(right)}


def joint_coherence(model, classifiers, num_samples=1000, seed=0):
    """Share of the rows made from the prior on whose class all classifiers agree (Sutter et al. 2021, section 5)."""
    made = model.generate(num_samples, seed=seed)
    classes = np.stack([read_label(classifier, made[name]) for name, classifier in classifiers.items()])
    return float(np.mean(np.all(classes == classes[0], axis=0)))
