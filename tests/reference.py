"""The mathematics once more, in plain NumPy loops and float64, from the papers and not from the library."""

import itertools

import numpy as np


def normal_log_density(z, loc, scale):
    """log N(z; loc, scale^2), summed over D."""
    total = 0.0
    for d in range(len(z)):
        total += -0.5 * np.log(2.0 * np.pi * scale[d] ** 2) - (z[d] - loc[d]) ** 2 / (2.0 * scale[d] ** 2)
    return total


def product(locs, scales, with_prior):
    """Normalised product of Gaussians, one pair at a time."""
    loc, variance = None, None
    factors = [(np.asarray(m, float), np.asarray(s, float) ** 2) for m, s in zip(locs, scales)]
    if with_prior:
        factors.append((np.zeros_like(factors[0][0]), np.ones_like(factors[0][1])))
    for m, v in factors:
        if loc is None:
            loc, variance = m, v
        else:
            loc, variance = (loc * v + m * variance) / (variance + v), variance * v / (variance + v)
    return loc, np.sqrt(variance)


def kl_to_standard_normal(loc, scale):
    return sum(0.5 * (s**2 + m**2 - 1.0) - np.log(s) for m, s in zip(loc, scale))


def powerset(names):
    return [s for size in range(1, len(names) + 1) for s in itertools.combinations(names, size)]


def components(experts, row, present, subsets, all_names, prior):
    """[(weight, loc, scale)] of one row. `experts`: {name: (loc [B, D], scale [B, D])}; `present`: names it has."""
    formable = [s for s in subsets if all(name in present for name in s)] or [tuple(present)]
    result = []
    for subset in formable:
        with_prior = prior == "all" or (prior == "full" and len(subset) == len(all_names) > 1)
        locs = [experts[name][0][row] for name in subset]
        scales = [experts[name][1][row] for name in subset]
        result.append((1.0 / len(formable), *product(locs, scales, with_prior)))
    return result


def mixture_log_density(z, parts):
    return np.log(sum(weight * np.exp(normal_log_density(z, loc, scale)) for weight, loc, scale in parts))


def laplace_log_density(x, mean, scale):
    return float(np.sum(-np.log(2.0 * scale) - np.abs(np.asarray(x, float) - mean) / scale))


def normal_log_likelihood(x, mean, scale):
    return float(np.sum(-0.5 * np.log(2.0 * np.pi * scale**2) - 0.5 * ((np.asarray(x, float) - mean) / scale) ** 2))


def categorical_log_likelihood(x, logits):
    """x one-hot [T, C]."""
    logits = np.asarray(logits, float)
    total = 0.0
    for t in range(len(x)):
        total += logits[t][np.argmax(x[t])] - np.log(np.sum(np.exp(logits[t])))
    return total


def bernoulli_log_likelihood(x, logits):
    p = 1.0 / (1.0 + np.exp(-np.asarray(logits, float)))
    return float(np.sum(x * np.log(p) + (1.0 - x) * np.log(1.0 - p)))


def kl_between(loc, scale, other_loc, other_scale):
    """KL( N(loc, scale^2) || N(other_loc, other_scale^2) )."""
    total = 0.0
    for m, s, n, t in zip(loc, scale, other_loc, other_scale):
        total += np.log(t / s) + (s**2 + (m - n) ** 2) / (2.0 * t**2) - 0.5
    return total


def geometric_mean(parts):
    """loc, scale of the Gaussian f ~ prod{ q^w : (w, q) in parts }, parts [(w, loc, scale)]."""
    precision = sum(w / scale**2 for w, _, scale in parts)
    return sum(w * loc / scale**2 for w, loc, scale in parts) / precision, 1.0 / np.sqrt(precision)


def log_mean_exp(values):
    top = max(values)
    return top + np.log(np.mean([np.exp(value - top) for value in values]))
