"""The loss of every objective once more, a row at a time in float64, given what the library drew.

`z`: a list of the z that the decoders got, [N, D] each, in the order of the calls (tests/draws.py). What else was drawn,
subsets or partners, is found among all that could have been: what comes nearest to the `found` loss is returned.
"""

import itertools

import numpy as np
import reference
import small

from tf_mopoe import priors
from tf_mopoe.generative import Generative
from tf_mopoe.hyperparameters import Hyperparameter

LOG_LIKELIHOOD = {
    "image": lambda x, out: reference.laplace_log_density(x, out, 1.0),
    "word": reference.categorical_log_likelihood,
    "sensor": lambda x, out: reference.normal_log_likelihood(x, out, 1.0),
}


def dense(features, layer):
    return features @ layer.kernel.numpy().astype(float) + layer.bias.numpy().astype(float)


def heads(encoder, features):
    features = features.numpy().astype(float)
    return dense(features, encoder.loc_head), np.exp(0.5 * dense(features, encoder.log_variance_head))


class Batch:
    """What the loops read: experts in float64, flags and x."""

    def __init__(self, model, inputs):
        self.model, self.names = model, [name for name in model.modalities if name in inputs]
        self.count = len(inputs[self.names[0]])
        everywhere = np.ones(self.count, bool)
        self.available = {name: inputs.get("has_" + name, everywhere) for name in self.names}
        self.x = {
            name: np.where(self.available[name].reshape(-1, *[1] * (inputs[name].ndim - 1)), inputs[name], 0.0).astype(
                np.float32
            )
            for name in self.names
        }
        self.experts = {
            name: heads(model.encoders[name], model.encoders[name].network(self.x[name])) for name in self.names
        }

        self.number_present = np.sum(list(self.available.values()), axis=0)

    def present(self, row):
        return [name for name in self.names if self.available[name][row]]

    def expert(self, name, row):
        return tuple(part[row] for part in self.experts[name])

    def product(self, names, row, with_prior=False):
        """loc, scale of the product of `names`; of none: the prior."""
        if not names:
            return np.zeros(self.model.latent_dim), np.ones(self.model.latent_dim)
        return reference.product(*zip(*(self.expert(name, row) for name in names)), with_prior)

    def joint(self, row):
        """The joint encoder's posterior where the row is complete, else the product of what it has."""
        if len(self.present(row)) < len(self.model.modalities):
            return self.product(self.present(row), row)
        encoder = self.model.mixture.encoder
        loc, scale = heads(encoder, encoder.network({name: x[row : row + 1] for name, x in self.x.items()}))
        return loc[0], scale[0]

    def log_likelihood(self, name, row, z):
        out = self.model.decoders[name].network(np.asarray(z, np.float32)[None])[0].numpy()
        return LOG_LIKELIHOOD[name](self.x[name][row], out)

    def reconstruction(self, row, z, names=None):
        """sum{ weight[m] * -log p(x[m] | z) : m } of what the row has of `names`."""
        names = [name for name in self.present(row) if names is None or name in names]
        return -sum(self.model.term_weights[name] * self.log_likelihood(name, row, z) for name in names)

    def rows(self, loss):
        return np.array([loss(row) for row in range(self.count)])


def generative(log_likelihood, latent_dim):
    """p, with p(z) = N(0, I) and, in place of decoders, log p(x | z) [..., B] of one modality "x" as a function of z."""
    prior = priors.Standard()
    prior.build_for(latent_dim)
    p = Generative({}, prior, {}, {}, {"x": Hyperparameter(1.0)})
    p.log_prob = lambda z, w=None, frozen=False: {"x": log_likelihood(z)}
    return p


def kl_to_prior(part):
    return reference.kl_to_standard_normal(*part)


def elbo(batch, z, beta, family, prior):
    """Of `ELBO(beta)`, for the family's subsets: all weights uniform over what a row can form."""
    (z,) = z

    def loss(row):
        parts = components(batch, row, family, prior).values()
        kl = sum(kl_to_prior(part) for part in parts) / len(parts)
        return batch.reconstruction(row, z[row]) + beta * kl

    return batch.rows(loss)


def components(batch, row, family, prior):
    """{number of the subset: (loc, scale)} of those that the row can form; of none: the product of what it has as 0."""
    present = batch.present(row)
    return {
        number: batch.product(subset, row, prior == "all" or (prior == "full" and len(subset) == 3))
        for number, subset in enumerate(small.family(family, batch.names))
        if set(subset) <= set(present)
    } or {0: batch.product(present, row)}


def iwae(batch, z, beta, samples, family, prior):
    def parts(row):
        found = components(batch, row, family, prior)
        return {number: (1.0 / len(found), *part) for number, part in found.items()}

    return importance_weighted(batch, z, beta, samples, parts)


def importance_weighted(batch, z, beta, samples, parts_of):
    """The bound, for {number of the component: (weight, loc, scale)} of a row."""
    (z,) = z
    z = z.reshape(-1, samples, batch.count, batch.model.latent_dim)  # [S, K, B, D]

    def loss(row):
        parts = parts_of(row)
        total = 0.0
        for number, (weight, *_) in parts.items():
            log_weights = []
            for point in z[number, :, row].astype(float):
                ratio = reference.normal_log_density(point, np.zeros_like(point), np.ones_like(point))
                ratio -= reference.mixture_log_density(point, list(parts.values()))
                log_weights.append(beta * ratio - batch.reconstruction(row, point))
            total += weight * reference.log_mean_exp(log_weights)
        return -total

    return batch.rows(loss)


def mvae(batch, z, beta, found):
    """The bounds of all, of each alone, and of subsets that are the same for all rows, whichever they are."""

    def bound(subset, z, alone=False):
        def loss(row):
            if alone and len(batch.present(row)) == 1:
                return 0.0  # that is ELBO(X) itself
            q = batch.product([n for n in subset if n in batch.present(row)], row, with_prior=True)
            return batch.reconstruction(row, z[row], subset) + beta * kl_to_prior(q)

        return batch.rows(loss)

    first, *rest = z
    fixed = bound(batch.names, first)
    for name in batch.names if len(batch.names) > 1 else ():
        fixed = fixed + bound((name,), rest.pop(0), alone=True)
    drawn = [[bound(subset, z) for subset in reference.powerset(batch.names)] for z in rest]
    return nearest([fixed + sum(losses) for losses in itertools.product(*drawn)], found)


def nearest(losses, found):
    """The one of the [N] that is nearest to `found` [N]."""
    return min(losses, key=lambda loss: np.max(np.abs(loss - found)))


def mmjsd(batch, z, beta):
    (z,) = z
    standard = np.zeros(batch.model.latent_dim), np.ones(batch.model.latent_dim)

    def loss(row):
        parts = [standard, *(batch.expert(name, row) for name in batch.present(row))]
        parts = [(1.0 / len(parts), *part) for part in parts]
        center = reference.geometric_mean(parts)
        divergence = sum(weight * reference.kl_between(m, s, *center) for weight, m, s in parts)
        return batch.reconstruction(row, z[row]) + beta * divergence

    return batch.rows(loss)


def kl_to_experts(batch, row, q):
    return sum(reference.kl_between(*q, *batch.expert(name, row)) for name in batch.present(row))


def mvtcae(batch, z, beta, alpha):
    (z,) = z

    def loss(row):
        present = batch.present(row)
        many = max(len(present), 1)
        q = batch.product(present, row)
        divergence = (1.0 - alpha) * kl_to_prior(q) + alpha / many * kl_to_experts(batch, row, q)
        return (many - alpha) / many * batch.reconstruction(row, z[row]) + beta * divergence

    return batch.rows(loss)


def crmvae(batch, z, beta):
    joint_z, *rest = z

    def loss(row):
        present = batch.present(row)
        loc, scale = batch.product(present, row)
        alone = sum(batch.reconstruction(row, own[row], (name,)) for name, own in zip(batch.names, rest))
        divergence = kl_to_prior((loc, scale))
        divergence += sum(reference.kl_between(loc, scale, *batch.expert(name, row)) for name in present)
        both = 0.5 * (batch.reconstruction(row, joint_z[row]) + alone)
        return (both + beta * divergence) / (len(present) + 1)

    return batch.rows(loss)


def mmvm(batch, z, beta, alpha):
    def loss(row):
        total, present = 0.0, batch.present(row)
        for name, own in zip(batch.names, z):
            if name in present:
                expert = batch.expert(name, row)
                apart = sum(reference.kl_between(*expert, *batch.expert(other, row)) for other in present)
                divergence = (1 - alpha) / len(present) * apart + alpha * kl_to_prior(expert)
                total += batch.reconstruction(row, own[row], (name,)) + beta * divergence
        return total

    return batch.rows(loss)


def jnf(batch, z, beta, alpha):
    (z,) = z

    def loss(row):
        bound = batch.reconstruction(row, z[row]) + beta * kl_to_prior(batch.joint(row))
        if len(batch.present(row)) < len(batch.model.modalities):
            return bound
        taught = [reference.normal_log_density(z[row].astype(float), *batch.expert(n, row)) for n in batch.names]
        return bound - alpha * sum(taught)

    return batch.rows(loss)


def info_nce(batch, temperature):
    """1 / (M - 1) times the sum over ordered pairs; without the weight."""
    means = {
        n: loc / np.maximum(np.linalg.norm(loc, axis=1, keepdims=True), 1e-6) for n, (loc, _) in batch.experts.items()
    }

    def loss(row):
        total, present = 0.0, batch.present(row)
        for one, other in itertools.permutations(present, 2):
            rows = [n for n in range(batch.count) if {one, other} <= set(batch.present(n))]
            cosines = [means[one][row] @ means[other][n] / temperature for n in rows]
            total += np.log(np.sum(np.exp(cosines))) - cosines[rows.index(row)]
        return total / max(len(present) - 1, 1)

    return batch.rows(loss)


def jmvae(batch, z, beta, alpha):
    (z,) = z

    def loss(row):
        q = batch.joint(row)
        return batch.reconstruction(row, z[row]) + beta * kl_to_prior(q) + alpha * kl_to_experts(batch, row, q)

    return batch.rows(loss)


def telbo(batch, z, beta, unimodal_weight):
    of_all, *of_each = z

    def loss(row):
        total = batch.reconstruction(row, of_all[row]) + beta * kl_to_prior(batch.joint(row))
        for name, own in zip(batch.names, of_each, strict=True):
            if name in batch.present(row):
                single = batch.reconstruction(row, own[row], [name])
                total += unimodal_weight * single + beta * kl_to_prior(batch.expert(name, row))
        return total

    return batch.rows(loss)


def contrastive(model, inputs, z, weight, many, base, found):
    """`base`: function of a Batch and [z], the loss that is contrasted. A row's partners may be any others."""
    batch = Batch(model, inputs)
    first, *rest = z
    loss, count = base(batch, [first]), batch.count
    of_modality = []  # [choices, N] each
    for name in batch.names:
        losses = []  # of the row with the modality of the partner beside it, {shift: loss}; -log 0 if that lacks it
        for z in (rest.pop(0) for _ in range(many)):
            losses.append({})
            for shift in range(1, count):
                rows = (np.arange(count) + shift) % count
                moved = {key: value[rows] if key in (name, "has_" + name) else value for key, value in inputs.items()}
                losses[-1][shift] = np.where(batch.available[name][rows], base(Batch(model, moved), [z]), np.inf)
        related = np.array([name in batch.present(row) and len(batch.present(row)) > 1 for row in range(count)])
        choices = []
        for shifts in itertools.permutations(range(1, count), many):
            terms = -np.array([loss, *(own[shift] for own, shift in zip(losses, shifts))])
            top = terms.max(axis=0)
            cross_entropy = top + np.log(np.sum(np.exp(terms - top), axis=0)) - terms[0]
            choices.append(np.where(related, cross_entropy, 0.0) / np.maximum(batch.number_present, 1))
        of_modality.append(choices)
    totals = np.array([loss + weight * sum(contrasts) for contrasts in itertools.product(*of_modality)])
    return totals[np.argmin(np.abs(totals - found), axis=0), np.arange(count)]
