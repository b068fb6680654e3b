"""Log-likelihoods in the unit of papers on pictures."""

import math

import numpy as np

from tf_mopoe.checks import as_array, check_count


def bits_per_dimension(nats, num_variables):
    """-nats / (num_variables * ln 2): the bits of a code for one variable, less is better.

    Comparable to published numbers only for probabilities of levels (`likelihoods.DiscretizedLogistic`), not for densities.

    Args:
        nats: log p(x) or a bound of it, such as `model.log_likelihood`: a number or an array.
        num_variables: how many x has, 32 * 32 * 3 for a picture of CIFAR-10.

    Returns:
        float or array of the shape of `nats`.

    Raises:
        ValueError: for what is no number, or a `num_variables` that is no positive integer.
    """
    nats = as_array("nats", nats)
    if nats.dtype.kind not in "fiu":
        raise ValueError(f"`nats` must be a number or an array of them. Received: dtype {nats.dtype}")
    bits = -np.asarray(nats, np.float64) / (check_count("num_variables", num_variables) * math.log(2.0))
    return bits if bits.ndim else float(bits)
