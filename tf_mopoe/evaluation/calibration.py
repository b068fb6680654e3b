"""Calibration: does one more expert help?"""

from collections.abc import Mapping

import numpy as np


def expert_calibration(log_likelihoods: Mapping[tuple[str, ...], float]) -> float:
    """Compute the share of pairs (A, A with one more modality) whose larger set has the higher mean log-likelihood.

    Experts that are surer than they should be draw their product away from the posterior: the same rows get a lower
    estimate of log p(X) when such an expert joins. With well calibrated experts the share is 1.

    Args:
        log_likelihoods: {given: mean log p(X) of all modalities, nats} of every non-empty subset, as of
            `joint_log_likelihoods` (Sutter et al. 2021, table 2).

    Raises:
        ValueError: if there is no such pair.
    """
    if not isinstance(log_likelihoods, dict) or not all(isinstance(given, tuple) for given in log_likelihoods):
        raise ValueError(f"`log_likelihoods` must be a dict by tuples of names. Received: {log_likelihoods!r}")
    values = {frozenset(given): value for given, value in log_likelihoods.items()}
    raised = [
        values[larger] > values[smaller]
        for smaller in values
        for larger in values
        if smaller < larger and len(larger) == len(smaller) + 1
    ]
    if not raised:
        raise ValueError(
            f"`log_likelihoods` must hold a subset and the same with one more. Received: {list(log_likelihoods)}"
        )
    return float(np.mean(raised))
