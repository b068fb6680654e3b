"""Which rows a device may encode, and what devices have encoded, fused: with NumPy alone.

This file stands by itself: `tflite_encoders` leaves a copy beside its .tflite files, to `from fusion import fuse` where
TensorFlow is not installed (`import tf_mopoe` would import it).
"""

import numpy as np


def usable_rows(x, card, margin=0.1):
    """Checks which rows an encoder on a device can read: those that are finite and near the range it was made for.

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


def fuse(experts, modalities, has=None, prior_expert="full"):
    """The subset posterior of what each row has: the product of its experts, as of `MultimodalVAE.subset_posterior`.

        precision = prior + sum{ 1 / scale[m]^2 : m };   loc = sum{ loc[m] / scale[m]^2 : m } / precision

    Args:
        experts: {name: {"loc": [B, D], "scale": [B, D]}} of some or all of the modalities, as an encoder's runner gives
            them. What a row does not have may hold anything, NaN included.
        modalities: names of all modalities that the model has.
        has: {name: bool [B]}; a modality that is not named is there for every row of its expert.
        prior_expert: when the prior N(0, I) is one more expert: "full" (default: in the rows that have all modalities, if
            the model has two or more), "all", "none", or "conjunctive" (p^(1 - n) in a product of n, and a scale above 1
            counts as 1). `modalities` and this stand in each encoder's .json, "fusion".

    Returns:
        loc, scale: float32 [B, D]. A row that has nothing: the prior, 0 and 1.

    Raises:
        ValueError: for no or an unknown modality or rule, shapes that differ, or a loc that is not finite or a scale that
            is not positive and finite (in float32) in a row that has it.
    """
    pairs = list(experts.values()) if isinstance(experts, dict) else [None]
    if not all(isinstance(pair, dict) and {"loc", "scale"} <= set(pair) for pair in pairs):
        raise ValueError(f"`experts` must be a dict of {{'loc', 'scale'}} by modality. Received: experts={experts!r}")
    if has is not None and not isinstance(has, dict):
        raise ValueError(f"`has` must be a dict of flags by modality, or None. Received: has={has!r}")
    has = has or {}
    unknown = sorted((set(experts) | set(has)) - set(modalities))
    if unknown or not experts:
        raise ValueError(
            f"`experts` must be some of {list(modalities)}. Received: {sorted(experts)}, flags {sorted(has)}"
        )
    if prior_expert not in ("full", "all", "none", "conjunctive"):
        raise ValueError(
            f'`prior_expert` must be "full", "all", "none" or "conjunctive". Received: prior_expert={prior_expert!r}'
        )
    shapes = {name: (np.shape(expert["loc"]), np.shape(expert["scale"])) for name, expert in experts.items()}
    shape = next(iter(shapes.values()))[0]
    if len(shape) != 2 or any(both != (shape, shape) for both in shapes.values()):
        raise ValueError(f"All loc and scale must have the same shape (rows, latent_dim). Received: {shapes}")
    flags = {name: np.asarray(has.get(name, np.ones(shape[0], bool))) for name in experts}
    precision, weighted = np.zeros(shape), np.zeros(shape)  # float64
    for name, expert in experts.items():
        present = flags[name]
        if present.dtype != bool or present.shape != shape[:1]:
            raise ValueError(f"has[{name!r}] must be bool ({shape[0]},). Received: {present.dtype} {present.shape}")
        loc, scale = (np.asarray(expert[key], np.float64)[present] for key in ("loc", "scale"))
        least, most = np.finfo(np.float32).tiny, np.finfo(np.float32).max
        if not ((np.abs(loc) <= most).all() and (scale >= least).all() and (scale <= most).all()):
            raise ValueError(
                f"`experts` must have a finite loc and a positive, finite scale in every row that has them. "
                f"Received: others of {name!r}"
            )
        if prior_expert == "conjunctive":
            scale = np.minimum(scale, 1.0)
        precision[present] += scale**-2
        weighted[present] += loc * scale**-2
    count = np.sum(list(flags.values()), axis=0)  # n of each row, [B]
    complete = (count == len(modalities)) & (len(modalities) > 1)
    power = {"full": complete, "all": count >= 0, "none": count < 0, "conjunctive": 1.0 - count}[prior_expert]
    precision += power[:, None]
    precision[precision == 0.0] = 1.0  # a row that has nothing
    return (weighted / precision).astype(np.float32), (precision**-0.5).astype(np.float32)
