"""z for every subset of the modalities, from the distribution that a method translates from: each row encoded once."""

import itertools

import numpy as np

from tf_mopoe.inputs import FLAG
from tf_mopoe.streams import as_stream


def subsets_of(names, sizes=None):
    """Tuples of `names`, small ones first: all non-empty ones (default), or those of the `sizes`."""
    if sizes is None and len(names) > 16:
        raise ValueError(f"Measures of every subset have too many subsets to list. Received: {len(names)} modalities")
    every = range(1, len(names) + 1)
    return [s for size in every if sizes is None or size in sizes for s in itertools.combinations(names, size)]


def complete(model, inputs):
    """The model's modalities among the inputs, all of which must be there, for all rows: {name: [N, E]}."""
    if any(name not in inputs or FLAG + name in inputs for name in model.modalities):
        raise ValueError(
            f"`inputs` must hold complete rows of all modalities {list(model.modalities)}, without flags. "
            f"Received: {sorted(inputs)}"
        )
    return {name: inputs[name] for name in model.modalities}


def encoded(model, inputs, batch_size):
    """Yields (rows, `Posterior`) of every batch of complete rows, `rows` a slice."""
    inputs = complete(model, inputs)
    for start in range(0, len(next(iter(inputs.values()))), batch_size):
        rows = slice(start, start + batch_size)
        batch = {name: x[rows] for name, x in inputs.items()}
        model.check_rows(batch)
        yield rows, model.encode(batch)


def every_subset(model, inputs, subsets, batch_size, progress=None):
    """Yields (rows, given, `Posterior` of the given) for every batch and, in each, every one of the `subsets`."""
    rows = len(next(iter(complete(model, inputs).values())))
    total = -(-rows // batch_size) * len(subsets)
    parts = ((batch, given) for batch in encoded(model, inputs, batch_size) for given in subsets)
    for (rows, batch), given in tracked(parts, total, progress):
        yield rows, given, batch.select(given)


def tracked(parts, total, progress=None):
    """Yields the parts; after the work on each, calls `progress(done, total)`."""
    for done, part in enumerate(parts, start=1):
        yield part
        if progress is not None:
            progress(done, total)


def location(q, seed):
    """The mean of the Gaussian from which `model.sample_latents` draws: NumPy [B, D].

    Where the distribution is a mixture ("mmvae" with several given), that of the component drawn for the row.
    """
    return q.largest().sample(as_stream(seed)).loc.numpy()


def locations(batches, given, seed):
    """`location` of all rows, from a list of what `encoded` yields: [N, D]."""
    return np.concatenate([location(q.select(given), seed + rows.start) for rows, q in batches])
