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
    logits = subset_logits(batch.model)

    def loss(row):
        formed = [number for number, subset in enumerate(subsets) if set(subset) <= set(batch.present(row))]
        total = sum(np.exp(logits[frozenset(subsets[number])]) for number in formed)
        entropy, result = 0.0, 0.0
        for number in formed:
            weight = np.exp(logits[frozenset(subsets[number])]) / total
            q = consensus([batch.expert(name, row) for name in subsets[number]], correlation)
            result += weight * (batch.reconstruction(row, z[number, row]) + beta * loops.kl_to_prior(q))
            entropy -= weight * np.log(weight)
        return result + entropy_weight * (np.log(len(formed)) - entropy)

    return batch.rows(loss)


def hoelder(batch, z, beta, samples):
    """Of single experts and pairs, with weights 1 and twice the Bhattacharyya coefficient."""
    subsets = singles_and_pairs(batch.names)

    def parts(row):
        formed = {number: subset for number, subset in enumerate(subsets) if set(subset) <= set(batch.present(row))}
        if not formed:
            return {0: (1.0, *batch.product([], row))}
        found = {number: geometric_mean(*(batch.expert(name, row) for name in s)) for number, s in formed.items()}
        total = sum(weight for weight, _, _ in found.values())
        return {number: (weight / total, loc, scale) for number, (weight, loc, scale) in found.items()}

    return loops.importance_weighted(batch, z, beta, samples, parts)


def singles_and_pairs(names):
    return [subset for subset in reference.powerset(names) if len(subset) <= 2]


def geometric_mean(first, second=None):
    """The integral, loc and scale of an expert, or of 2 sqrt(q[i] q[j])."""
    if second is None:
        return 1.0, *first
    (a, s), (b, t) = first, second
    squares = s**2 + t**2
    overlap = np.prod(np.sqrt(2.0 * s * t / squares) * np.exp(-((a - b) ** 2) / (4.0 * squares)))
    return 2.0 * overlap, (a * t**2 + b * s**2) / squares, np.sqrt(2.0 / (s**-2.0 + t**-2.0))


def subset_logits(model):
    """{subset: its learned logit}, which the layer has in the order of the sorted names."""
    subsets = reference.powerset(tuple(sorted(model.modalities)))
    return dict(zip(map(frozenset, subsets), model.mixture.logits.numpy().astype(float), strict=True))


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


def product_with_prior(batch, names, row):
    return batch.product(names, row, with_prior=True)


def masked(batch, z, beta, found, posterior=product_with_prior):
    """With the part S of each row that comes nearest to what was found, of all its parts."""
    of_part, of_all = z

    def loss(row):
        present = batch.present(row)
        losses = []
        for part in [(), *reference.powerset(present)]:
            q, whole = posterior(batch, part, row), posterior(batch, present, row)
            rest = [name for name in present if name not in part]
            bound = batch.reconstruction(row, of_part[row], part) + beta * loops.kl_to_prior(q)
            losses.append(
                bound + batch.reconstruction(row, of_all[row], rest) + beta * reference.kl_between(*whole, *q)
            )
        return losses[np.argmin(np.abs(np.array(losses) - found[row]))]

    return batch.rows(loss)


def set_encoder(batch, names, row):
    """loc, scale of `SetEncoder` on the members alone: nothing is masked."""
    layer = batch.model.mixture
    if not names:
        return np.zeros(batch.model.latent_dim), np.ones(batch.model.latent_dim)
    experts = [batch.expert(name, row) for name in names]
    h = np.array([np.concatenate([loc, np.log(scale)]) for loc, scale in experts])
    for inner in layer.inner:
        h = loops.dense(h, inner)
        h = np.maximum(h, 0.0) if layer.aggregation == "sum" else h
    for block in layer.blocks:
        h = h + attention(normalised(h, block.norms[0]), block.attention)
        wide = np.maximum(loops.dense(normalised(h, block.norms[1]), block.wide), 0.0)
        h = h + loops.dense(wide, block.narrow)
    out = loops.dense(np.maximum(loops.dense(h.sum(axis=0), layer.outer), 0.0), layer.head)
    loc, log_variance = np.split(out, 2)
    return loc, np.exp(0.5 * log_variance)


def normalised(h, layer):
    centred = h - h.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(h.var(axis=-1, keepdims=True) + 1e-3) * layer.gamma.numpy() + layer.beta.numpy()


def attention(h, layer):
    """Of every member to every member, a head at a time."""
    w = [x.astype(float) for x in layer.get_weights()]
    (wq, bq), (wk, bk), (wv, bv), (wo, bo) = zip(w[::2], w[1::2])
    out = np.zeros_like(h) + bo
    for head in range(wq.shape[1]):
        query, key, value = (h @ w[:, head] + b[head] for w, b in ((wq, bq), (wk, bk), (wv, bv)))
        for i in range(len(h)):
            scores = np.exp(key @ query[i] / np.sqrt(len(query[i])))
            out[i] += (scores / scores.sum()) @ value @ wo[head]
    return out
