"""What a model drew, recorded where its decoders get it: the loops of the tests are given these z and w.

How the library splits its seeds is no claim of any test. That what it draws has the right distribution is one:
`assert_drawn_from`.
"""

import contextlib

import numpy as np
from scipy import special


@contextlib.contextmanager
def recorded(model):
    """Yields {name: [what the decoder's network got at each call, [N, D + P]]}, filled while the scope lasts; eager only."""
    got = {name: [] for name in model.decoders}
    networks = {name: decoder.network for name, decoder in model.decoders.items()}
    for name, network in networks.items():

        def call(z, *args, name=name, original=network.call, **kwargs):
            got[name].append(np.array(z))
            return original(z, *args, **kwargs)

        network.call = call
    try:
        yield got
    finally:
        for network in networks.values():
            del network.call  # the class's own again


def decoded(model, function):
    """The function's result, and the shared z [N, D] of each time that the decoders were called."""
    with recorded(model) as got:
        result = function()
    calls = [[z[:, : model.latent_dim] for z in own] for own in got.values() if own]
    for own in calls[1:]:
        for z, same in zip(own, calls[0], strict=True):
            np.testing.assert_array_equal(z, same)
    return result, calls[0]


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
        parts = list(model.encode(some).experts.values())
    loc, scale = (np.stack(part, axis=1) for part in zip(*((q.loc, q.stddev()) for q in parts)))
    assert_drawn_from(z, np.full(len(parts), 1.0 / len(parts)), loc, scale)
