"""Conflict: do the modalities of a row speak of the same thing?"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_mopoe.datasets.rows import Rows, take
from tf_mopoe.evaluation import subset_latents
from tf_mopoe.families import Normal
from tf_mopoe.inputs import read_arrays
from tf_mopoe.model import MultimodalVAE


def expert_conflict(model: MultimodalVAE, inputs: Mapping[str, Any] | Rows, batch_size: int = 1000) -> np.ndarray:
    """Measure how much less likely a row's modalities are together than each by itself, in nats, averaged over its pairs.

        conflict(a, b) = -log integral{ q(z | x[a]) q(z | x[b]) / p(z) } = log p(x[a]) p(x[b]) / p(x[a], x[b])

    The pointwise mutual information, negated (Church & Hanks 1990). The second part holds as far as the experts are the
    true posteriors, given which the modalities are independent. Above 0 the two contradict each other, below 0 they
    confirm each other: in practice rows are compared, or a threshold taken from rows that are known to be right. Flagging
    rows by a divergence between experts is from Kurle et al. 2019. A scale above 1, that of the prior, counts as 1.

    Args:
        model: `MultimodalVAE` of Gaussian experts.
        inputs: dict of modalities or `Rows`, with or without flags.
        batch_size: rows at a time.

    Returns:
        NumPy float64 [N]; NaN in the rows that have fewer than two modalities: nothing can contradict there.

    Raises:
        ValueError: for inputs that do not fit the model, or experts that are not Gaussian.
    """
    if model.family is not Normal:
        raise ValueError(f"`model` must have Gaussian experts. Received: {model.family.name} ones")
    if model.mixture.experts_are_features:
        raise ValueError(
            "`model` must have experts that are posteriors. Received: features of a " + type(model.mixture).__name__
        )
    if not isinstance(inputs, Rows):
        inputs = read_arrays(inputs, model.specs)
    if not subset_latents.count_of(inputs):
        raise ValueError("`inputs` must have one row or more. Received: none")
    parts = []
    for rows in subset_latents.batches(inputs, batch_size):
        batch = take(inputs, rows)
        model.check_rows(batch)
        q = model.encode(batch)
        experts = {name: natural(expert.loc[:, 0], expert.scale[:, 0]) for name, expert in q.experts.items()}
        total, count = 0.0, 0.0
        for a, b in itertools.combinations(experts, 2):
            both = np.asarray(q.available[a] & q.available[b])
            total = total + np.where(both, between(experts[a], experts[b]), 0.0)
            count = count + both
        count = np.broadcast_to(count, len(q.available[next(iter(experts))]))
        parts.append(np.where(count > 0, total / np.maximum(count, 1.0), np.nan))
    return np.concatenate(parts)


def natural(loc, scale):
    """Return precision and precision-weighted loc, float64."""
    precision = np.minimum(np.asarray(scale, np.float64), 1.0) ** -2
    return precision, precision * np.asarray(loc, np.float64)


def between(one, other):
    """Compute -log integral{ one(z) * other(z) / N(z; 0, I) } of two `natural` Gaussians with precision 1 or more: [B]."""
    total, weighted = one[0] + other[0] - 1.0, one[1] + other[1]
    log = sum(0.5 * np.log(precision) - 0.5 * eta**2 / precision for precision, eta in (one, other))
    return -np.sum(log - 0.5 * np.log(total) + 0.5 * weighted**2 / total, axis=-1)
