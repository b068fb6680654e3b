"""The Frechet distance of generated from real rows."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tf_mopoe.checks import check_count, check_integer
from tf_mopoe.datasets.rows import Rows, take
from tf_mopoe.evaluation import subset_latents
from tf_mopoe.evaluation.classifiers import check_functions
from tf_mopoe.model import MultimodalVAE


def frechet_distance(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Compute the squared Frechet (2-Wasserstein) distance of two sets of features, each taken as a Gaussian.

        |mean_a - mean_b|^2 + trace( cov_a + cov_b - 2 (cov_a cov_b)^(1/2) )

    Reference: Heusel et al. 2017, eq. (6). Few rows bias it upwards: compare sets of equal size.

    Args:
        features_a, features_b: [N, F], two or more rows each.

    Returns:
        float, 0 or more, in the features' units squared.

    Raises:
        ValueError: for features of other shapes, or that are not finite.
    """
    sets = [as_features("features_a", features_a), as_features("features_b", features_b)]
    shapes = [features.shape for features in sets]
    if any(len(shape) != 2 or shape[0] < 2 for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            "`features_a` and `features_b` must have two or more rows each, and equally many columns. "
            f"Received: shapes {shapes[0]} and {shapes[1]}"
        )
    means = [features.mean(axis=0) for features in sets]
    factors = [np.linalg.qr(x - mean, mode="r") / np.sqrt(len(x) - 1) for x, mean in zip(sets, means)]
    # With cov = R'R, trace((cov_a cov_b)^(1/2)) is the sum of the singular values of R_a R_b', of any rank.
    overlap = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    traces = sum(np.sum(np.square(factor)) for factor in factors)
    return max(float(np.sum(np.square(means[0] - means[1])) + traces - 2.0 * overlap), 0.0)


def as_features(argument, features):
    try:
        features = np.asarray(features, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"`{argument}` must be numbers [N, F]. Received: {type(features).__name__}") from error
    if not np.isfinite(features).all():
        raise ValueError(f"`{argument}` must be finite. Received: NaN or infinity among them")
    return features


def frechet_distances(
    model: MultimodalVAE,
    inputs: Mapping[str, Any] | Rows,
    features: Mapping[str, Callable[..., Any]],
    num_samples: int | None = None,
    batch_size: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], Any] | None = None,
) -> dict[tuple[Any, str], float]:
    """Compute Frechet distances between real and generated rows: from the prior, and translated from each other modality.

    Args:
        model: `MultimodalVAE`.
        inputs: arrays or `Rows` that have all modalities.
        features: {target: function x [N, E] -> [N, F]}, such as of `classifier_features` or `inception_features`.
        num_samples: rows generated from the prior. Default: as many as there are real ones.
        batch_size: rows at a time.
        seed: of the draws.
        progress: function (done, total), called after each given modality of each batch.

    Returns:
        {("prior", target) and (given, target): distance}, `given` a tuple of one name.

    Raises:
        ValueError: for `features` of no modality, or inputs that do not hold complete rows.
    """
    inputs, seed = subset_latents.complete(model, inputs), check_integer("seed", seed)
    check_functions("features", features, model.modalities)
    count = subset_latents.count_of(inputs) if num_samples is None else check_count("num_samples", num_samples)
    targets = [name for name in model.modalities if name in features]
    singles = [given for given in subset_latents.subsets_of(model.modalities, sizes=[1]) if set(targets) - set(given)]
    made = {("prior", target): [] for target in targets}
    made |= {(given, target): [] for given in singles for target in targets if target not in given}
    for rows, given, q in subset_latents.every_subset(model, inputs, singles, batch_size, progress):
        z, private = model.sample_latents(q, seed + rows.start)
        for target in targets:
            if target not in given:
                made[given, target].append(features[target](model.decode(z, target, private)))
    real = {target: [] for target in targets}
    for rows in subset_latents.batches(inputs, batch_size):
        batch = take(inputs, rows)
        for target in targets:
            real[target].append(features[target](batch[target]))
    for start in range(0, count, batch_size):
        generated = model.generate(min(batch_size, count - start), seed=seed + start)
        for target in targets:
            made["prior", target].append(features[target](generated[target]))
    real = {target: np.concatenate(parts) for target, parts in real.items()}
    return {(given, to): frechet_distance(real[to], np.concatenate(parts)) for (given, to), parts in made.items()}
