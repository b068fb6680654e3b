"""z for every subset of the modalities, from the distribution that a method translates from: each row encoded once."""

import itertools

import numpy as np

from tf_mopoe.checks import check_count, is_integer
from tf_mopoe.datasets.rows import Rows, take
from tf_mopoe.inputs import FLAG, read_arrays
from tf_mopoe.streams import as_stream


def subsets_of(names, sizes=None):
    """Return tuples of `names`, small ones first: all non-empty ones (default), or those of the `sizes`."""
    if sizes is None and len(names) > 16:
        raise ValueError(f"Measures of every subset have too many subsets to list. Received: {len(names)} modalities")
    every = range(1, len(names) + 1)
    if sizes is not None and not (is_collection(sizes) and all(is_integer(n, low=1) and n in every for n in sizes)):
        raise ValueError(
            f"`sizes` must be a list of numbers of given modalities, 1 to {len(names)}, or None. Received: sizes={sizes!r}"
        )
    return [s for size in every if sizes is None or size in sizes for s in itertools.combinations(names, size)]


def is_collection(sizes):
    if isinstance(sizes, np.ndarray):
        return sizes.ndim == 1 and len(sizes) > 0
    return isinstance(sizes, list | tuple | set | range) and len(sizes) > 0


def complete(model, inputs):
    """Return the model's modalities of the inputs, all of which must be there, for all rows: {name: [N, E]} or `Rows`."""
    first = take(inputs, slice(0, 1)) if isinstance(inputs, Rows) else inputs
    if not isinstance(first, dict) or any(name not in first or FLAG + name in first for name in model.modalities):
        received = list(first) if isinstance(first, dict) else type(inputs).__name__
        raise ValueError(
            f"`inputs` must hold complete rows of all modalities {list(model.modalities)}, without flags. "
            f"Received: {received}"
        )
    first = read_arrays({name: first[name] for name in model.modalities}, model.specs)
    if isinstance(inputs, Rows):
        first = Rows(len(inputs), lambda rows: {name: inputs.make(rows)[name] for name in model.modalities})
    if not count_of(first):
        raise ValueError("`inputs` must have one row or more. Received: none")
    return first


def count_of(inputs):
    """Return the number of rows of arrays or `Rows`."""
    return len(inputs) if isinstance(inputs, Rows) else len(next(iter(inputs.values())))


def batches(inputs, batch_size):
    """Return the slices of rows that cut arrays or `Rows` into batches."""
    size = check_count("batch_size", batch_size)
    return [slice(start, start + size) for start in range(0, count_of(inputs), size)]


def encoded(model, inputs, batch_size):
    """Yield (rows, `Posterior`) of every batch of complete rows, `rows` a slice."""
    inputs = complete(model, inputs)
    for rows in batches(inputs, batch_size):
        batch = take(inputs, rows)
        model.check_rows(batch)
        yield rows, model.encode(batch)


def every_subset(model, inputs, subsets, batch_size, progress=None):
    """Yield (rows, given, `Posterior` of the given) for every batch and, in each, every one of the `subsets`."""
    total = len(batches(complete(model, inputs), batch_size)) * len(subsets)
    parts = ((batch, given) for batch in encoded(model, inputs, batch_size) for given in subsets)
    for (rows, batch), given in tracked(parts, total, progress):
        yield rows, given, batch.select(given)


def tracked(parts, total, progress=None):
    """Yield the parts; after the work on each, calls `progress(done, total)`."""
    for done, part in enumerate(parts, start=1):
        yield part
        if progress is not None:
            progress(done, total)


def location(q, seed):
    """Return the mean of the Gaussian from which `model.sample_latents` draws: NumPy [B, D].

    Where the distribution is a mixture ("mmvae" with several given), that of the component drawn for the row.
    """
    return q.maximal_components().sample(as_stream(seed)).loc.numpy()


def locations(batches, given, seed):
    """Return `location` of all rows, from a list of the results of `encoded`: [N, D]."""
    return np.concatenate([location(q.select(given), seed + rows.start) for rows, q in batches])
