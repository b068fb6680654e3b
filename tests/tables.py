"""Models of many small tables, and rows for them."""

import keras
import numpy as np

import tf_mopoe as mopoe


def names(count):
    return tuple(f"m{number}" for number in range(count))


def model(count, size=2, latent_dim=3, private_dim=0, hidden_units=(), seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    encoders, decoders = {}, {}
    for name in names(count):
        network = mopoe.networks.mlp_encoder(size, hidden_units)
        encoders[name] = mopoe.GaussianEncoder(network, latent_dim, private_dim)
        network = mopoe.networks.mlp_decoder(size, latent_dim + private_dim, hidden_units)
        decoders[name] = mopoe.Decoder(network, mopoe.likelihoods.Normal(0.5))
    return mopoe.MultimodalVAE(encoders, decoders, seed=seed, **kwargs)


def rows(count, modalities, size=2, seed=0):
    """Each table is a linear view, with noise, of one hidden number a row."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(count, 1))
    views = {name: hidden @ rng.normal(size=(1, size)) for name in names(modalities)}
    return {name: (x + 0.3 * rng.normal(size=x.shape)).astype(np.float32) for name, x in views.items()}
