"""Clusters of a model whose prior is a mixture: which one a row is in, and how many there should be (CMVAE)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mopoe import priors
from tf_mopoe.checks import check_number
from tf_mopoe.datasets.rows import Rows, take
from tf_mopoe.evaluation import subset_latents
from tf_mopoe.hyperparameters import as_number
from tf_mopoe.inputs import read_arrays
from tf_mopoe.model import MultimodalVAE

NEVER = -1e30  # the logit of a pruned component


def cluster_assignments(model: MultimodalVAE, inputs: Mapping[str, Any] | Rows, batch_size: int = 1000) -> np.ndarray:
    """Assign each row to a component of the prior: the most frequent of its modalities' likeliest ones.

    Of each modality m the likeliest component of p(c | z[m]) counts, at the mean z[m] of its posterior; of equally frequent
    ones that with the largest sum of p(c | z[m]). Reference: Palumbo et al., "Deep generative clustering with multimodal
    diffusion variational autoencoders", ICLR 2024.

    Args:
        model: `MultimodalVAE` whose prior is a mixture, `priors.Mixture` or `priors.PseudoInputs`.
        inputs: dict of modalities or `Rows`, with or without flags; every row has something.
        batch_size: rows at a time.

    Returns:
        NumPy int [N].

    Raises:
        ValueError: for another prior, or inputs that do not fit the model.
    """
    log_joint, there = log_joints(model, inputs, batch_size)
    return winners(posterior(log_joint), there)


def prune_clusters(
    model: MultimodalVAE, inputs: Mapping[str, Any] | Rows, beta: float | None = None, batch_size: int = 1000
) -> dict[int, float]:
    """Choose the number of clusters after training, and reduce the prior to that many.

    From all components on, again and again the one with the least mass goes; the number (2 or more) with the lowest
    penalised normalised entropy stays:

        PNE = beta * mean{ H( p(c | z) ) / log C } - mean{ log p(z) / D },   over rows and their modalities, at z = mean

    The mass of a component is the sum, over the rows that `cluster_assignments` puts in it, of p(c | z), averaged over the
    row's modalities. C counts the components left, whose weights sum to 1. Reference: as there; the authors' code.

    Args:
        model: as of `cluster_assignments`, with a `priors.Mixture`, whose weights are changed: 0 for what was pruned.
        inputs: validation rows, as there.
        beta: of the entropy. Default: that of the model's objective, at the present step.
        batch_size: rows at a time.

    Returns:
        {number of clusters: PNE}, from all components down to 2. The lowest is what the prior has left.

    Raises:
        ValueError: for another prior or one of fewer than two components, a beta that is no number 0 or more, or inputs that
            do not fit the model.
    """
    prior = model.prior
    if not isinstance(prior, priors.Mixture) or prior.num_components < 2:
        raise ValueError(f"`model` must have the prior priors.Mixture, of 2 or more. Received: {type(prior).__name__}")
    beta = beta_of(model) if beta is None else check_number("beta", beta)
    log_joint, there = log_joints(model, inputs, batch_size)
    log_weights = np.asarray(prior.components()[0], np.float64)
    active = log_weights > NEVER / 2.0
    scores, kept = {}, {}
    while active.sum() > 1:
        left = np.where(active, log_joint, -np.inf) - np.logaddexp.reduce(log_weights[active])
        shares = posterior(left)  # [N, M, C]
        entropy = -np.sum(shares * np.log(np.where(shares > 0.0, shares, 1.0)), axis=-1) / np.log(active.sum())
        log_prob = np.logaddexp.reduce(left, axis=-1) / prior.latent_dim
        number = int(active.sum())
        scores[number] = float(np.mean((beta * entropy - log_prob)[there]))
        kept[number] = active
        row_shares = np.sum(shares * there[..., None], axis=1) / there.sum(axis=1)[:, None]
        index = winners(shares, there)
        mass = np.bincount(index, row_shares[np.arange(len(index)), index], minlength=len(active))
        active = active & (np.arange(len(active)) != np.argmin(np.where(active, mass, np.inf)))
    best = min(scores, key=scores.get)
    prior.logits.assign(np.where(kept[best], log_weights, NEVER).astype(np.float32))
    return scores


def beta_of(model):
    """Return the weight of the KL at the present step; 1 for an objective that has none."""
    objective = model.objective
    while not hasattr(objective, "beta") and hasattr(objective, "objective"):
        objective = objective.objective
    beta = getattr(objective, "beta", 1.0)
    return float(beta(tf.convert_to_tensor(model.step))) if callable(beta) else float(as_number(beta))


def log_joints(model, inputs, batch_size):
    """Compute log( weights[c] * p(z[m] | c) ), float64 [N, M, C], and which rows have m, bool [N, M]."""
    if not isinstance(model.prior, priors.ComponentsPrior):
        raise ValueError(f"`model` must have a mixture as prior. Received: {type(model.prior).__name__}")
    if not isinstance(inputs, Rows):
        inputs = read_arrays(inputs, model.specs)
    if not subset_latents.count_of(inputs):
        raise ValueError("`inputs` must have one row or more. Received: none")
    values, there = [], []
    for rows in subset_latents.batches(inputs, batch_size):
        batch = take(inputs, rows)
        model.check_rows(batch)
        q = model.encode(batch)
        means = [q.subset((name,)).loc[:, 0] for name in q.batch.names]
        values.append(np.stack([model.prior.component_log_probs(z) for z in means], axis=1).astype(np.float64))
        there.append(np.stack([np.asarray(q.available[name]) for name in q.batch.names], axis=1))
    return np.concatenate(values), np.concatenate(there)


def posterior(log_joint):
    """Compute p(c | z) from log joints [..., C]."""
    return np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=-1, keepdims=True))


def winners(shares, there):
    """Return each row's component, int [N], from p(c | z[m]) [N, M, C] and which rows have m, bool [N, M]."""
    votes = np.eye(shares.shape[-1])[shares.argmax(axis=-1)] * there[..., None]
    totals = np.sum(shares * there[..., None], axis=1)  # below M + 1: they decide among equals only
    return np.argmax(votes.sum(axis=1) + totals / (shares.shape[1] + 1.0), axis=-1)
