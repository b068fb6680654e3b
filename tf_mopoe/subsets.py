"""Which subsets of the modalities are components of the joint posterior, and which of them a row can form."""

import itertools

import numpy as np
import tensorflow as tf

from tf_mopoe import rounding

FAMILIES = ("powerset", "unimodal", "unimodal_and_prior", "full")


def subset_names(subsets, modalities):
    """Return the subsets of a family, as tuples of modality names.

    Args:
        subsets: "powerset" (MoPoE: all non-empty subsets, small ones first), "unimodal" (MMVAE: the singletons),
            "unimodal_and_prior" (mmJSD: the empty subset, whose product is the prior, and the singletons), "full" (MVAE:
            the one subset of all), or a list of subsets such as `[("image",), ("image", "word")]`.
        modalities: names of all modalities, in order.

    Returns:
        Tuple of S tuples, each in the order of `modalities`.

    Raises:
        ValueError: for an unknown family, an empty or repeated subset, or a name that is not a modality.
    """
    modalities = tuple(modalities)
    if subsets == "full":
        return (modalities,)
    if subsets == "unimodal":
        return tuple((name,) for name in modalities)
    if subsets == "unimodal_and_prior":
        return ((), *((name,) for name in modalities))
    if subsets == "powerset":
        sizes = range(1, len(modalities) + 1)
        return tuple(itertools.chain.from_iterable(itertools.combinations(modalities, size) for size in sizes))
    if isinstance(subsets, str) or not subsets:
        raise ValueError(
            f"`subsets` must be one of {', '.join(map(repr, FAMILIES))}, or a list of tuples of modality names. "
            f"Received: subsets={subsets!r}"
        )
    result = []
    for subset in subsets:
        names = as_subset(subset)
        unknown = [name for name in names if name not in modalities]
        if unknown or not names or len(set(names)) != len(names):
            raise ValueError(
                f"Every subset in `subsets` must name one or more of the modalities {list(modalities)}, each once. "
                f"Received: {subset!r}" + (f", in which {unknown} are unknown" if unknown else "")
            )
        result.append(tuple(sorted(names, key=modalities.index)))
    if len(set(result)) != len(result):
        raise ValueError(f"`subsets` must not hold the same subset twice. Received: subsets={subsets!r}")
    return tuple(result)


def as_subset(subset):
    """Return a subset as a tuple of names; a single name may stand for its own."""
    return (subset,) if isinstance(subset, str) else tuple(subset)


def membership_matrix(subsets, modalities):
    """Return 1 where a modality belongs to a subset, else 0: NumPy float32 [S, M]."""
    return np.array([[name in subset for name in modalities] for subset in subsets], np.float32)


def component_weights(membership, available):
    """Return uniform weights over the subsets that each row can form from what it has.

    A row that can form none of them (its own set of modalities is smaller than any of them, or it has none at all) gets
    all its weight on component 0, which the joint posterior then makes the product of all that the row has.

    Args:
        membership: float [S, M], as of `membership_matrix`.
        available: bool [B, M].

    Returns:
        weights: [B, S], each row summing to 1.
        is_available: bool [B], False for the rows that can form none of the subsets.
    """
    missing = tf.cast(tf.logical_not(available), membership.dtype)  # [B, M]
    complete = tf.cast(tf.equal(tf.matmul(missing, membership, transpose_b=True), 0.0), membership.dtype)  # [B, S]
    count = tf.reduce_sum(complete, axis=-1, keepdims=True)  # [B, 1]
    is_available = count[:, 0] > 0.0
    first = tf.one_hot(0, membership.shape[0], dtype=membership.dtype)  # [S]
    return tf.where(is_available[:, None], complete * rounding.reciprocal(tf.maximum(count, 1.0)), first), is_available
