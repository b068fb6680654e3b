"""Which rows a device may encode, and what devices have encoded, fused: with NumPy alone.

This file stands by itself: `tflite_encoders` leaves a copy beside its .tflite files, to `from fusion import fuse` where
TensorFlow is not installed (`import tf_mopoe` would import it).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def usable_rows(x: np.ndarray, card: Mapping[str, Any], margin: float = 0.1) -> np.ndarray:
    """Check which rows an encoder on a device can read: those that are finite and near the range it was made for.

    An int8 encoder cuts its inputs off at the ends of that range, and a layer such as ReLU turns NaN into a number: so it
    gives a sure and wrong reading of a dead sensor. Encode the usable rows, and send the others as missing: the result is
    their flag, `fuse(..., has={name: usable_rows(x, card)})`.

    Args:
        x: [B, E], what is about to be encoded.
        card: the dict in the encoder's .json; its "input" has the shape, and the range of the representative rows (None
            if there were none: then finite numbers are usable).
        margin: how far beyond the range, as a share of its width, is still usable. Default 0.1.

    Returns:
        bool [B].

    Raises:
        ValueError: for x of another shape or without numbers, or a `margin` that is not a number, 0 or more.
    """
    shape = tuple(card["input"]["shape"][1:])
    try:
        x = np.asarray(x)
    except ValueError:  # lists of unlike lengths
        x = np.asarray(None)
    if x.shape[1:] != shape or x.ndim == 0 or x.dtype.kind not in "fiu":
        raise ValueError(f"`x` must be numbers of shape {('rows', *shape)}. Received: {x.dtype} {x.shape}")
    if isinstance(margin, bool) or not isinstance(margin, (int, float, np.number)) or not 0.0 <= margin < np.inf:
        raise ValueError(f"`margin` must be a number, 0 or more. Received: margin={margin!r}")
    x, axes = x.astype(np.float64), tuple(range(1, x.ndim))
    usable = (np.abs(x) <= np.finfo(np.float32).max).all(axis=axes)  # NaN is not
    if card["input"]["range"] is not None:
        low, high = card["input"]["range"]
        slack = margin * (high - low)
        usable &= ((x >= low - slack) & (x <= high + slack)).all(axis=axes)
    return usable


def fuse(
    experts: Mapping[str, Mapping[str, np.ndarray]],
    modalities: Sequence[str],
    has: Mapping[str, np.ndarray] | None = None,
    prior_expert: str = "full",
    pooling: str = "product",
    weights: Mapping[str, np.ndarray] | None = None,
    correlation: float | None = None,
    left_out: Sequence[str] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the subset posterior of what each row has: its experts, pooled, as of `MultimodalVAE.subset_posterior`.

    "product": precision = prior + sum{ 1 / scale[m]^2 : m };   loc = sum{ loc[m] / scale[m]^2 : m } / precision

    The formulas of the others are those of the layers in `tf_mopoe.pooling`. What a model needs stands in the .json of each
    encoder, "fusion".

    Args:
        experts: {name: {"loc": [B, D], "scale": [B, D]}} of some or all of the modalities, as an encoder's runner gives
            them. What a row does not have may hold anything, NaN included.
        modalities: names of all modalities that the model has.
        has: {name: bool [B]}; a modality that is not named is there for every row of its expert.
        prior_expert: when the prior N(0, I) is one more expert of a "product" or "geometric" mean: "full" (default:
            in the rows that have all modalities, if the model has two or more), "all" (or "conjunctive", which is the
            same), or "none".
        pooling: "product" (default), "weighted", "geometric", "hellinger" or "correlated".
        weights: {name: [D]} of all modalities, 0 or more, for "weighted".
        correlation: a number from 0 to below 1, for "correlated".
        left_out: names of modalities that are fused only in the rows that have nothing else, likewise.

    Returns:
        loc, scale: float32 [B, D]. A row that has nothing: the prior, 0 and 1.

    Raises:
        ValueError: for no or an unknown modality, rule or pooling, a pooling without its numbers, shapes that differ, or a
            loc that is not finite or a scale that is not positive and finite (in float32) in a row that has it.
    """
    pairs = list(experts.values()) if isinstance(experts, dict) else [None]
    if not all(isinstance(pair, dict) and {"loc", "scale"} <= set(pair) for pair in pairs):
        raise ValueError(f"`experts` must be a dict of {{'loc', 'scale'}} by modality. Received: experts={experts!r}")
    if has is not None and not isinstance(has, dict):
        raise ValueError(f"`has` must be a dict of flags by modality, or None. Received: has={has!r}")
    has = has or {}
    unknown = sorted((set(experts) | set(has)) - set(modalities), key=str)
    if unknown or not experts:
        raise ValueError(
            f"`experts` must be some of {list(modalities)}. Received: {sorted(experts, key=str)}, "
            f"flags {sorted(has, key=str)}"
        )
    if prior_expert not in ("full", "all", "none", "conjunctive"):
        raise ValueError(
            f'`prior_expert` must be "full", "all", "none" or "conjunctive". Received: prior_expert={prior_expert!r}'
        )
    if pooling not in ("product", "geometric", "weighted", "hellinger", "correlated"):
        raise ValueError(
            '`pooling` must be "product", "geometric", "weighted", "hellinger" or "correlated". '
            f"Received: pooling={pooling!r}"
        )
    loc, scale, members = stacked(experts, has)
    count = members.sum(axis=1)  # [B]
    if pooling in ("product", "geometric"):
        others = members & np.array([name not in left_out for name in experts])
        members = np.where(others.any(axis=1, keepdims=True), others, members)
        count = members.sum(axis=1)
        complete = (count == len(modalities)) & (len(modalities) > 1)
        power = {"full": complete, "none": count < 0}.get(prior_expert, count >= 0)
        loc, scale = product(loc, scale, members, power)
        if pooling == "geometric":
            scale *= np.sqrt(count + power)[:, None]
    elif pooling == "weighted":
        loc, scale = weighted(loc, scale, members, checked_weights(weights, experts, modalities, loc.shape[-1]))
    elif pooling == "correlated":
        if isinstance(correlation, bool) or not isinstance(correlation, (int, float)) or not 0.0 <= correlation < 1.0:
            raise ValueError(f"`correlation` must be a number from 0 to below 1. Received: correlation={correlation!r}")
        loc, scale = correlated(loc, scale, members, correlation)
    else:
        loc, scale = hellinger(loc, scale, members)
    some = (count > 0)[:, None]
    return np.where(some, loc, 0.0).astype(np.float32), np.where(some, scale, 1.0).astype(np.float32)


def stacked(experts, has):
    """Return loc and scale float64 [B, M, D], 0 and 1 in what a row does not have, and members, bool [B, M]."""
    shapes = {name: (np.shape(expert["loc"]), np.shape(expert["scale"])) for name, expert in experts.items()}
    shape = next(iter(shapes.values()))[0]
    if len(shape) != 2 or any(both != (shape, shape) for both in shapes.values()):
        raise ValueError(f"All loc and scale must have the same shape (rows, latent_dim). Received: {shapes}")
    members = np.zeros((shape[0], len(experts)), bool)
    locs, scales = np.zeros((shape[0], len(experts), shape[1])), np.ones((shape[0], len(experts), shape[1]))
    least, most = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    for number, (name, expert) in enumerate(experts.items()):
        present = np.asarray(has.get(name, np.ones(shape[0], bool)))
        if present.dtype != bool or present.shape != shape[:1]:
            raise ValueError(f"has[{name!r}] must be bool ({shape[0]},). Received: {present.dtype} {present.shape}")
        loc, scale = (np.asarray(expert[key], np.float64)[present] for key in ("loc", "scale"))
        if not ((np.abs(loc) <= most).all() and (scale >= least).all() and (scale <= most).all()):
            raise ValueError(
                f"`experts` must have a finite loc and a positive, finite scale in every row that has them. "
                f"Received: others of {name!r}"
            )
        members[:, number], locs[present, number], scales[present, number] = present, loc, scale
    return locs, scales, members


def checked_weights(weights, experts, modalities, size):
    """Return the weights of the experts, float64 [M, D]."""
    named = isinstance(weights, dict) and set(weights) == set(modalities)
    arrays = [np.asarray(weights[name], np.float64) for name in experts] if named else []
    if not named or not all(a.shape == (size,) and (a >= 0.0).all() and np.isfinite(a).all() for a in arrays):
        raise ValueError(
            f"`weights` must have ({size},) numbers, 0 or more, of each of {list(modalities)}. Received: weights={weights!r}"
        )
    return np.stack(arrays)


# ---- the poolings: loc, scale [B, M, D] and members [B, M] -> loc, scale [B, D]; anything for a row without members


def product(loc, scale, members, power):
    """Multiply the experts and, to the power [B], the prior."""
    precision = members[..., None] * scale**-2
    total = power[:, None] + precision.sum(axis=1)
    total[total == 0.0] = 1.0
    return (precision * loc).sum(axis=1) / total, total**-0.5


def weighted(loc, scale, members, weights):
    """Multiply the experts to the power of weights [M, D], which sum to 1 over the members."""
    share = members[..., None] * weights
    precision = share * scale**-2
    share, total = share.sum(axis=1), precision.sum(axis=1)
    share[share == 0.0] = total[total == 0.0] = 1.0
    return (precision * loc).sum(axis=1) / total, (share / total) ** 0.5


def correlated(loc, scale, members, correlation):
    """Compute the consensus of experts whose errors have this correlation."""
    count = members.sum(axis=1)[:, None]
    shrink = correlation / (1.0 + (count - 1.0) * correlation)
    inverse = members[..., None] / scale
    sums = inverse.sum(axis=1)
    total = ((inverse**2).sum(axis=1) - shrink * sums**2) / (1.0 - correlation)
    total[count[:, 0] == 0] = 1.0
    moment = (inverse**2 * loc).sum(axis=1) - shrink * sums * (inverse * loc).sum(axis=1)
    return moment / (1.0 - correlation) / total, total**-0.5


def hellinger(loc, scale, members):
    """Return the Gaussian with the first two moments of the normalised squared sum of the experts' root densities."""
    center = loc.mean(axis=1, keepdims=True)
    loc, precision = loc - center, scale**-2
    spread = scale[:, :, None] ** 2 + scale[:, None] ** 2  # [B, M, M, D]
    total = precision[:, :, None] + precision[:, None]
    mean = ((precision * loc)[:, :, None] + (precision * loc)[:, None]) / total
    overlap = (
        np.log(2.0 * scale[:, :, None] * scale[:, None] / spread) - 0.5 * (loc[:, :, None] - loc[:, None]) ** 2 / spread
    )
    weights = (members[:, :, None] & members[:, None]) * np.exp(0.5 * overlap.sum(axis=-1))  # [B, M, M]
    mass = weights.sum(axis=(1, 2), keepdims=True)
    weights = (weights / np.where(mass > 0.0, mass, 1.0))[..., None]
    first = (weights * mean).sum(axis=(1, 2))
    variance = (weights * (2.0 / total + (mean - first[:, None, None]) ** 2)).sum(axis=(1, 2))
    return first + center[:, 0], variance**0.5
