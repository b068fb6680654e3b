"""The experts of several modalities, side by side."""

from typing import NamedTuple

import tensorflow as tf

from tf_mopoe.families import FAMILIES, Laplace, loc_and_scale, tfd


class Experts(NamedTuple):
    """q(z | x[m]) of M modalities."""

    names: tuple  # of the modalities, M
    loc: tf.Tensor  # [B, M, D]
    scale: tf.Tensor  # [B, M, D]; anything, as loc, where a row has no expert
    available: tf.Tensor  # bool [B, M]
    family: type  # of `tf_mopoe.families`


def stack_distributions(modalities, distributions, available=None):
    """Stack {name: distribution [B] x [D]} as `Experts`, in the order of `modalities`.

    Args:
        modalities: names of all modalities, in order.
        distributions: of some or all of them, `tfd.MultivariateNormalDiag` or `tfd.Independent(tfd.Laplace)`.
        available: {name: bool [B]}; a modality that is not named is there for every row.

    Raises:
        ValueError: for an unknown modality, none at all, or experts of several latent sizes.
    """
    available = available or {}
    unknown = sorted((set(distributions) | set(available)) - set(modalities), key=str)
    if unknown or not distributions:
        raise ValueError(
            f"`experts` must hold one or more of the modalities {list(modalities)}. Received: {list(distributions)}"
            + (f", in which {unknown} are unknown" if unknown else "")
        )
    sizes = {name: expert.event_shape[-1] for name, expert in distributions.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"All experts must have the same latent size. Received: {sizes}")
    names = tuple(name for name in modalities if name in distributions)
    pairs = [loc_and_scale(distributions[name]) for name in names]
    loc, scale = (tf.stack([tf.cast(x, tf.float32) for x in part], axis=1) for part in zip(*pairs))
    everywhere = tf.ones(tf.shape(loc)[:1], tf.bool)
    flags = [tf.cast(available.get(name, everywhere), tf.bool) for name in names]
    laplace = isinstance(getattr(distributions[names[0]], "distribution", None), tfd.Laplace)
    return Experts(names, loc, scale, tf.stack(flags, axis=1), Laplace if laplace else FAMILIES["normal"])


def masked(experts):
    """Return loc and scale [B, M, D], those of the standard density where a row has no expert."""
    present = experts.available[..., None]
    return tf.where(present, experts.loc, 0.0), tf.where(present, experts.scale, 1.0)
