"""The loops of `objective_reference`, for the rest of the family: each a row at a time, in float64, of what was drawn."""

import numpy as np
import objective_reference as loops
import reference


def dmvae(batch, z, beta):
    """The bound of the product of all, and of each expert times the prior; each decodes all that the row has."""
    of_all, *of_each = z

    def loss(row):
        present = batch.present(row)
        total = batch.reconstruction(row, of_all[row]) + beta * loops.kl_to_prior(batch.product(present, row, True))
        for name, own in zip(batch.names, of_each, strict=len(batch.names) > 1):
            if name in present and len(present) > 1:
                total += batch.reconstruction(row, own[row])
                total += beta * loops.kl_to_prior(batch.product([name], row, True))
        return total

    return batch.rows(loss)


def code(batch, z, beta, entropy_weight, correlation):
    """Of all subsets that a row can form, with weights by the layer's logits."""
    (z,) = z
    subsets = reference.powerset(batch.names)
    z = z.reshape(len(subsets), batch.count, -1)
    logits = dict(zip(reference.powerset(batch.model.modalities), batch.model.mixture.logits.numpy().astype(float)))

    def loss(row):
        formed = [number for number, subset in enumerate(subsets) if set(subset) <= set(batch.present(row))]
        total = sum(np.exp(logits[subsets[number]]) for number in formed)
        entropy, result = 0.0, 0.0
        for number in formed:
            weight = np.exp(logits[subsets[number]]) / total
            q = consensus([batch.expert(name, row) for name in subsets[number]], correlation)
            result += weight * (batch.reconstruction(row, z[number, row]) + beta * loops.kl_to_prior(q))
            entropy -= weight * np.log(weight)
        return result + entropy_weight * (np.log(len(formed)) - entropy)

    return batch.rows(loss)


def consensus(experts, correlation):
    """Winkler's, by the inverse of the covariance of the experts' errors, one latent variable at a time."""
    locs, scales = (np.array(part) for part in zip(*experts))
    loc, scale = np.zeros(locs.shape[1]), np.zeros(locs.shape[1])
    for d in range(len(loc)):
        s = scales[:, d]
        covariance = np.outer(s, s) * (correlation + (1.0 - correlation) * np.eye(len(s)))
        inverse = np.linalg.inv(covariance)
        scale[d] = inverse.sum() ** -0.5
        loc[d] = inverse.sum(axis=0) @ locs[:, d] / inverse.sum()
    return loc, scale
