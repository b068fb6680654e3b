"""Mean log-likelihoods of test rows, joint and conditional, by which modalities are given."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tf_mopoe.checks import check_count, check_integer
from tf_mopoe.datasets.rows import Rows, take
from tf_mopoe.evaluation import subset_latents
from tf_mopoe.model import MultimodalVAE


def joint_log_likelihoods(
    model: MultimodalVAE,
    inputs: Mapping[str, Any] | Rows,
    num_samples: int = 64,
    batch_size: int = 500,
    seed: int = 0,
    progress: Callable[[int, int], Any] | None = None,
) -> dict[tuple[str, ...], float]:
    """Estimate the mean log p(X) of all modalities, with z from q(z | X[given]), for every non-empty subset `given`.

    q(z | X[given]) is what the method translates from: for "mopoe" and "mvae" the product of the given experts, for
    "mmvae" their mixture. Every value estimates the same number from below, the closer the nearer q is to the posterior;
    the formula is at `MultimodalVAE.log_likelihood`. Reference: Sutter et al. 2021, table 2.

    Args:
        model: `MultimodalVAE`.
        inputs: arrays or `Rows` that have all modalities.
        num_samples: K importance samples per row.
        batch_size: rows at a time.
        seed: of the draws.
        progress: function (done, total), called after each subset of each batch.

    Returns:
        {given: nats}, `given` a tuple of names.
    """
    wanted = {given: (model.modalities, given) for given in subset_latents.subsets_of(model.modalities)}
    return mean_log_likelihoods(model, inputs, wanted, num_samples, batch_size, seed, progress)


def conditional_log_likelihoods(
    model: MultimodalVAE,
    inputs: Mapping[str, Any] | Rows,
    num_samples: int = 64,
    batch_size: int = 500,
    seed: int = 0,
    progress: Callable[[int, int], Any] | None = None,
) -> dict[tuple[tuple[str, ...], str], float]:
    """Estimate the mean log p(x[target] | X[given]) = log p(X[given], x[target]) - log p(X[given]), for absent targets.

    Both terms are importance-weighted estimates (Burda et al. 2016, eq. 8), each with z from the joint posterior of its
    own modalities. Each is a bound from below; their difference is none.

    Args:
        model, inputs, num_samples, batch_size, seed, progress: as of `joint_log_likelihoods`.

    Returns:
        {(given, target): nats}, `given` a tuple of names, `target` a name.
    """
    wanted = {given: (given, None) for given in subset_latents.subsets_of(model.modalities)}
    values = mean_log_likelihoods(model, inputs, wanted, num_samples, batch_size, seed, progress)
    return {
        (given, target): values[tuple(name for name in model.modalities if name in (*given, target))] - values[given]
        for given in wanted
        for target in model.modalities
        if target not in given
    }


def mean_log_likelihoods(model, inputs, wanted, num_samples, batch_size, seed, progress):
    """Return {key: mean over rows of log p(X[names]), in nats}; `wanted`: {key: (names, `given` of the estimate)}."""
    inputs = subset_latents.complete(model, inputs)
    num_samples, seed = check_count("num_samples", num_samples), check_integer("seed", seed)
    sums = dict.fromkeys(wanted, 0.0)
    batches = ((rows.start, take(inputs, rows)) for rows in subset_latents.batches(inputs, batch_size))
    parts = ((start, batch, key) for start, batch in batches for key in wanted)
    total = len(subset_latents.batches(inputs, batch_size)) * len(wanted)
    for start, batch, key in subset_latents.tracked(parts, total, progress):
        names, given = wanted[key]
        values = model.log_likelihood({n: batch[n] for n in names}, num_samples, seed=seed + start, given=given)
        sums[key] += float(np.sum(values, dtype=np.float64))
    return {key: value / subset_latents.count_of(inputs) for key, value in sums.items()}
