"""A Gaussian mixture fitted to the rows' latent variables, to draw from in place of the prior."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tf_mopoe.checks import check_choice, check_count
from tf_mopoe.datasets.rows import Rows
from tf_mopoe.evaluation import subset_latents
from tf_mopoe.model import MultimodalVAE


def latent_mixture(
    model: MultimodalVAE,
    inputs: Mapping[str, Any] | Rows,
    num_components: int = 10,
    covariance: str = "full",
    seed: int = 0,
    batch_size: int = 1000,
) -> Callable[..., np.ndarray]:
    """Fit a Gaussian mixture to the joint posterior's means of the rows ("ex-post density estimation").

    Reference: Ghosh et al., "From variational to deterministic autoencoders", ICLR 2020: ten components with full
    covariances. The mean is that of the product of all experts; for "mmvae" that of one expert, drawn for each row.

    Args:
        model: `MultimodalVAE`.
        inputs: training rows, arrays or `Rows`, that have all modalities; for "full", many more than D for each component.
        num_components: of the mixture.
        covariance: "full" (default) or "diag".
        seed: of the fit.
        batch_size: rows at a time.

    Returns:
        Function (num_samples, seed=0) -> z float32 [num_samples, D], as `joint_coherence` takes it; `model.decode(z)`
        makes the modalities.

    Raises:
        ValueError: for another `covariance`.
        ImportError: without scikit-learn.
    """
    check_choice("covariance", covariance, ("full", "diag"))
    num_components, seed = check_count("num_components", num_components), check_count("seed", seed, low=0)
    try:
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise ImportError("latent_mixture needs scikit-learn (pip install tf_mopoe[eval])") from error
    batches = list(subset_latents.encoded(model, inputs, batch_size))
    loc = subset_latents.locations(batches, model.modalities, seed).astype(np.float64)
    if len(loc) < num_components:
        raise ValueError(f"`num_components` must be {len(loc)} at most, the number of rows. Received: {num_components}")
    mixture = GaussianMixture(num_components, covariance_type=covariance, max_iter=500, random_state=seed).fit(loc)
    roots = [
        np.linalg.cholesky(matrix) if covariance == "full" else np.diag(np.sqrt(matrix))
        for matrix in mixture.covariances_
    ]

    def draw(num_samples, seed=0):
        rng = np.random.default_rng(seed)
        component = rng.choice(num_components, size=num_samples, p=mixture.weights_)
        z = rng.standard_normal((num_samples, loc.shape[1]))
        for index, root in enumerate(roots):
            z[component == index] = mixture.means_[index] + z[component == index] @ root.T
        return z.astype(np.float32)

    return draw
