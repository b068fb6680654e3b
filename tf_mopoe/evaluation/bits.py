"""Log-probabilities of integers in the unit of compression."""

import math

import numpy as np
from numpy.typing import ArrayLike

from tf_mopoe.checks import check_count


def bits_per_dimension(log_probs: ArrayLike, num_variables: int) -> np.ndarray:
    """Compute -log2 p(x) per variable, a perfect code's length. For integers (`DiscretizedLogistic`), not for densities.

    Args:
        log_probs: log p(x) in nats, [N], such as `model.log_likelihood(inputs)`.
        num_variables: of a row of x, 784 for MNIST.

    Returns:
        NumPy [N].

    Raises:
        ValueError: unless `num_variables` is a positive integer.
    """
    return -np.asarray(log_probs, np.float64) / (check_count("num_variables", num_variables) * math.log(2.0))
