"""The loss of every objective once more, a row at a time in float64; only noise and component index are the library's."""

import numpy as np
import reference
import small
import tensorflow as tf

from tf_mopoe import sampling

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

    def noise(self, seed):
        """The noise of `Components.sample`, [B, D]."""
        shape = [self.count, self.model.latent_dim]
        return tf.random.stateless_normal(shape, tf.random.split(seed, 2)[1]).numpy().astype(float)

    def index(self, weights, seed):
        """The components of `Components.sample`, [B]."""
        return sampling.stratified(tf.constant(weights, tf.float32), tf.random.split(seed, 2)[0]).numpy()

    def rows(self, loss):
        return np.array([loss(row) for row in range(self.count)])


def kl_to_prior(part):
    return reference.kl_to_standard_normal(*part)


def elbo(batch, seed, beta, family, prior):
    """Of `ELBO(beta)`, for the family's subsets: all weights uniform over what a row can form."""
    subsets = small.family(family, batch.names)

    def parts(row):
        """[(weight, loc, scale)] of the subsets in order, weight 0 for those that the row cannot form."""
        present = batch.present(row)
        formable = [set(subset) <= set(present) for subset in subsets]
        if not any(formable):
            return [(1.0, *batch.product(present, row))] + [(0.0, None, None)] * (len(subsets) - 1)
        return [
            (
                1.0 / sum(formable),
                *batch.product(subset, row, prior == "all" or (prior == "full" and len(subset) == 3)),
            )
            if fits
            else (0.0, None, None)
            for subset, fits in zip(subsets, formable)
        ]

    table = [parts(row) for row in range(batch.count)]
    index = batch.index([[weight for weight, _, _ in row] for row in table], seed)
    noise = batch.noise(seed)

    def loss(row):
        _, loc, scale = table[row][index[row]]
        kl = sum(weight * kl_to_prior((m, s)) for weight, m, s in table[row] if weight)
        return batch.reconstruction(row, loc + scale * noise[row]) + beta * kl

    return batch.rows(loss)


def iwae(batch, seed, beta, samples, family, prior):
    subsets = small.family(family, batch.names)
    shape = [len(subsets) * samples, batch.count, batch.model.latent_dim]
    noise = tf.random.stateless_normal(shape, seed).numpy().astype(float)

    def loss(row):
        present = batch.present(row)
        parts = {
            number: batch.product(subset, row, prior == "all" or (prior == "full" and len(subset) == 3))
            for number, subset in enumerate(subsets)
            if set(subset) <= set(present)
        } or {0: batch.product(present, row)}
        mixture = [(1.0 / len(parts), *part) for part in parts.values()]
        total = 0.0
        for number, (loc, scale) in parts.items():
            log_weights = []
            for k in range(samples):
                z = loc + scale * noise[number * samples + k, row]
                ratio = reference.normal_log_density(z, np.zeros_like(z), np.ones_like(z))
                ratio -= reference.mixture_log_density(z, mixture)
                log_weights.append(beta * ratio - batch.reconstruction(row, z))
            total += reference.log_mean_exp(log_weights) / len(parts)
        return -total

    return batch.rows(loss)


def mvae(batch, seed, beta, drawn):
    """`drawn`: the random subsets, tuples of names."""
    first, *seeds = tf.unstack(tf.random.split(seed, 2 + len(batch.names) + len(drawn)))
    terms = [(tuple(batch.names), first, False)]
    if len(batch.names) > 1:
        terms += [((name,), seeds.pop(), True) for name in batch.names]
    seeds.pop()  # that of the draw of the subsets
    terms += [(subset, seeds.pop(), False) for subset in drawn]
    total = 0.0
    for subset, own, single in terms:
        noise = batch.noise(own)

        def loss(row, subset=subset, noise=noise, single=single):
            if single and len(batch.present(row)) == 1:
                return 0.0  # that is ELBO(X) itself
            loc, scale = batch.product([n for n in subset if n in batch.present(row)], row, with_prior=True)
            z = loc + scale * noise[row]
            return batch.reconstruction(row, z, subset) + beta * kl_to_prior((loc, scale))

        total = total + batch.rows(loss)
    return total


def mmjsd(batch, seed, beta):
    standard = np.zeros(batch.model.latent_dim), np.ones(batch.model.latent_dim)
    weights = np.array(
        [[1.0] + [float(name in batch.present(row)) for name in batch.names] for row in range(batch.count)]
    )
    weights /= weights.sum(axis=1, keepdims=True)
    index, noise = batch.index(weights, seed), batch.noise(seed)

    def loss(row):
        everything = [standard, *(batch.expert(name, row) for name in batch.names)]
        parts = [(weight, *part) for weight, part in zip(weights[row], everything) if weight]
        center = reference.geometric_mean(parts)
        loc, scale = everything[index[row]]
        divergence = sum(weight * reference.kl_between(m, s, *center) for weight, m, s in parts)
        return batch.reconstruction(row, loc + scale * noise[row]) + beta * divergence

    return batch.rows(loss)


def kl_to_experts(batch, row, q):
    return sum(reference.kl_between(*q, *batch.expert(name, row)) for name in batch.present(row))


def mvtcae(batch, seed, beta, alpha):
    noise = batch.noise(seed)

    def loss(row):
        present = batch.present(row)
        many = max(len(present), 1)
        q = batch.product(present, row)
        divergence = (1.0 - alpha) * kl_to_prior(q) + alpha / many * kl_to_experts(batch, row, q)
        return (many - alpha) / many * batch.reconstruction(row, q[0] + q[1] * noise[row]) + beta * divergence

    return batch.rows(loss)


def jmvae(batch, seed, beta, alpha):
    noise = batch.noise(seed)

    def loss(row):
        q = batch.joint(row)
        divergence = beta * kl_to_prior(q) + alpha * kl_to_experts(batch, row, q)
        return batch.reconstruction(row, q[0] + q[1] * noise[row]) + divergence

    return batch.rows(loss)


def telbo(batch, seed, beta, unimodal_weight):
    own, *seeds = tf.random.split(seed, 1 + len(batch.names))
    noise, noises = batch.noise(own), {name: batch.noise(one) for name, one in zip(batch.names, seeds)}

    def loss(row):
        loc, scale = batch.joint(row)
        total = batch.reconstruction(row, loc + scale * noise[row]) + beta * kl_to_prior((loc, scale))
        for name in batch.present(row):
            loc, scale = batch.expert(name, row)
            single = batch.reconstruction(row, loc + scale * noises[name][row], [name])
            total += unimodal_weight * single + beta * kl_to_prior((loc, scale))
        return total

    return batch.rows(loss)


def contrastive(model, inputs, seed, weight, many, base):
    """`base`: function of a Batch and a seed, the loss that is contrasted."""
    batch = Batch(model, inputs)
    loss, count = base(batch, seed), batch.count
    contrasts = np.zeros(count)
    for name in batch.names:
        shift_seed, seed = tf.random.split(seed, 2)
        shifts = 1 + sampling.shuffled(count - 1, shift_seed).numpy()
        terms = [[-loss[row]] for row in range(count)]
        for shift in shifts[:many]:
            rows = (np.arange(count) + shift) % count
            moved = {key: value[rows] if key in (name, "has_" + name) else value for key, value in inputs.items()}
            unrelated = base(Batch(model, moved), seed)
            for row in range(count):
                if batch.available[name][rows[row]]:
                    terms[row].append(-unrelated[row])
        for row in range(count):
            present = batch.present(row)
            if name in present and len(present) > 1:
                top = max(terms[row])
                log_sum = top + np.log(sum(np.exp(term - top) for term in terms[row]))
                contrasts[row] += (log_sum - terms[row][0]) / len(present)
    return loss + weight * contrasts
