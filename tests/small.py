"""A small model of three modalities, and rows for it: what most tests run on."""

import itertools

import keras
import numpy as np

import tf_mopoe as mopoe

SHAPES = {"image": (6, 5, 1), "word": (3, 4), "sensor": (7,)}
LIKELIHOODS = {
    "image": mopoe.likelihoods.Laplace,
    "word": mopoe.likelihoods.Categorical,
    "sensor": mopoe.likelihoods.Normal,
}


def model(names=tuple(SHAPES), latent_dim=4, hidden_units=(8,), seed=0, **kwargs):
    encoders = {
        name: mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(SHAPES[name], hidden_units), latent_dim)
        for name in names
    }
    decoders = {
        name: mopoe.Decoder(mopoe.networks.mlp_decoder(SHAPES[name], latent_dim, hidden_units), LIKELIHOODS[name]())
        for name in names
    }
    return mopoe.MultimodalVAE(encoders, decoders, seed=seed, **kwargs)


def joint_encoder(names=tuple(SHAPES), latent_dim=4, hidden_units=(8,)):
    networks = {name: mopoe.networks.mlp_encoder(SHAPES[name], hidden_units) for name in names}
    return mopoe.JointEncoder(mopoe.networks.joint_encoder(networks, hidden_units), latent_dim)


def family(subsets, names):
    """The subsets of a family of names, in the library's order."""
    if subsets == "powerset":
        return [s for size in range(1, len(names) + 1) for s in itertools.combinations(names, size)]
    return [(name,) for name in names] if subsets == "unimodal" else [tuple(names)]


def compiled(*args, learning_rate=1e-2, **kwargs):
    """By Lion: steps of Adam's size and a state, but Adam takes as long to trace as all the rest."""
    result = model(*args, **kwargs)
    result.compile(keras.optimizers.Lion(learning_rate))
    return result


def rows(count=12, names=tuple(SHAPES), seed=0):
    rng = np.random.default_rng(seed)
    values = {
        "image": rng.random((count, *SHAPES["image"]), np.float32),
        "word": np.eye(4, dtype=np.float32)[rng.integers(4, size=(count, 3))],
        "sensor": rng.standard_normal((count, *SHAPES["sensor"])).astype(np.float32),
    }
    return {name: values[name] for name in names}


def with_missing(inputs, rate=0.4, seed=1, fill=np.nan):
    """Rows with flags; what is missing is filled with NaN. Every row keeps something."""
    rng = np.random.default_rng(seed)
    names = list(inputs)
    count = len(inputs[names[0]])
    present = rng.random((count, len(names))) >= rate
    present[np.arange(count), rng.integers(len(names), size=count)] = True
    result = {}
    for column, name in enumerate(names):
        result[name] = inputs[name].copy()
        result[name][~present[:, column]] = fill
        result["has_" + name] = present[:, column]
    return result
