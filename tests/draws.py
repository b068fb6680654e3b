"""What a model drew, recorded where its decoders are asked for: the loops of the tests are given these z and w.

How the library splits its seeds is no claim of any test. That what it draws has the right distribution is one:
`assert_drawn_from`. (A decoder's network sees only the rows that have its modality; here are z and w of all rows.)
"""

import contextlib

import numpy as np
from scipy import special

from tf_mopoe.generative import Generative


@contextlib.contextmanager
def recorded(model):
    """Yields {name: [what the modality was to be decoded from at each call, [N, D + P]]}, filled while the scope lasts.

    Eager only; leading axes, such as that of several samples, are one with that of the rows.
    """
    got = {name: [] for name in model.decoders}
    with on_decoding(model, lambda name, latents: got[name].append(latents)):
        yield got


@contextlib.contextmanager
def on_decoding(model, function):
    """A scope in which function(name, latents [N, D + P]) is called each time that a modality is decoded."""
    methods = {name: getattr(Generative, name) for name in ("log_prob_of", "decode")}

    def add(p, name, z, w):
        if p.decoders[name] is model.decoders[name]:
            if w is None and name in p.private_priors:
                w = p.mean_private(None, z)[name]
            latents = np.concatenate([z] if w is None else [z, w], axis=-1)
            function(name, latents.reshape(-1, latents.shape[-1]))

    def log_prob_of(self, name, z, w, frozen):
        add(self, name, z, w)
        return methods["log_prob_of"](self, name, z, w, frozen)

    def decode(self, name, z, w=None):
        add(self, name, z, w)
        return methods["decode"](self, name, z, w)

    Generative.log_prob_of, Generative.decode = log_prob_of, decode
    try:
        yield
    finally:
        for name, method in methods.items():
            setattr(Generative, name, method)


def decoded(model, function):
    """The function's result, and the shared z [N, D] of each time that modalities were decoded from one z."""
    calls = []
    with on_decoding(model, lambda *call: calls.append(call)):
        result = function()
    drawn, names = [], set()
    for name, latents in calls:
        z = latents[:, : model.latent_dim]
        if not drawn or name in names or not np.array_equal(z, drawn[-1]):
            drawn.append(z)
            names = set()
        names.add(name)
    return result, drawn


def assert_drawn_from(z, weights, loc, scale, density="normal"):
    """z [N, D] are independent draws of the mixture sum{ w[s] * N(loc[s], scale[s]^2) : s } (or of Laplace densities).

    Along each axis (of normal densities along 4 other directions too) the distribution function at z is uniform: by the
    statistic of Kolmogorov and Smirnov, below 2.5 / sqrt(N) but for one case in 100,000. That of a row says nothing of the
    next row's.

    Args:
        weights: [S] or [N, S]. loc, scale: [S, D] or [N, S, D].
    """
    z, weights, loc, scale = (np.asarray(part, float) for part in (z, weights, loc, scale))
    count, size = z.shape
    directions = np.eye(size)
    if density == "normal":
        directions = np.concatenate([directions, np.random.default_rng(0).normal(size=(4, size))])
    for direction in directions:
        spread = np.sqrt(scale**2 @ direction**2)  # [.., S]
        standard = ((z @ direction)[:, None] - loc @ direction) / spread
        below = special.ndtr(standard)
        if density == "laplace":
            below = np.where(standard < 0, 0.5 * np.exp(-np.abs(standard)), 1.0 - 0.5 * np.exp(-np.abs(standard)))
        below = np.sum(weights * below, axis=-1)  # [N], uniform
        ranks = np.arange(count + 1) / count
        ordered = np.sort(below)
        apart = max(np.max(ranks[1:] - ordered), np.max(ordered - ranks[:-1]))
        assert apart < 2.5 / np.sqrt(count), direction
        next_to = 12.0 * np.mean((below[1:] - 0.5) * (below[:-1] - 0.5))
        assert abs(next_to) < 5.0 / np.sqrt(count - 1), direction


def repeated(inputs, row, count):
    """A batch of one row, `count` times."""
    return {key: np.repeat(value[row : row + 1], count, axis=0) for key, value in inputs.items()}


def assert_translates_from(model, inputs, given, z):
    """z [N, D] are what `translate` draws, given some modalities: of their product, or of a mixture of experts in turn."""
    some = {name: inputs[name] for name in given}
    parts = [model.subset_posterior(some)]
    if model.mixture.subsets == "unimodal":
        parts = [q.component(0) for q in model.encode(some).experts.values()]
    loc, scale = (np.stack(part, axis=1) for part in zip(*((q.loc, q.stddev()) for q in parts)))
    assert_drawn_from(z, np.full(len(parts), 1.0 / len(parts)), loc, scale)
