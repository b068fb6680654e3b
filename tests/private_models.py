"""Small models with private latent variables, and their posteriors from the heads' weights."""

import draws
import keras
import numpy as np
import objective_reference as loops
import reference
import small
import tensorflow as tf

import tf_mopoe as mopoe

SEED = tf.constant([3, 4])
PRIVATE = {"image": 2, "word": 0, "sensor": 3}


def private_model(names=tuple(small.SHAPES), latent_dim=4, seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    encoders, decoders = {}, {}
    for name in names:
        network = mopoe.networks.mlp_encoder(small.SHAPES[name], (8,))
        encoders[name] = mopoe.GaussianEncoder(network, latent_dim, PRIVATE[name])
        network = mopoe.networks.mlp_decoder(small.SHAPES[name], latent_dim + PRIVATE[name], (8,))
        decoders[name] = mopoe.Decoder(network, small.LIKELIHOODS[name]())
    return mopoe.MultimodalVAE(encoders, decoders, seed=seed, **kwargs)


def private_kl(model, x, row, present):
    """sum of KL( q(w | x) || N(0, I) ) of what a row has, from the heads' weights."""
    owns = [private_heads(model, x, name, row) for name in present if PRIVATE[name]]
    return sum(reference.kl_to_standard_normal(*own) for own in owns)


def private_heads(model, x, name, row):
    """loc and scale [P] of q(w | x)."""
    encoder = model.encoders[name]
    features = encoder.network(x[name][row : row + 1]).numpy().astype(float)[0]
    log_variance = loops.dense(features, encoder.private_log_variance_head)
    return loops.dense(features, encoder.private_loc_head), np.exp(0.5 * log_variance)


def zeroed(inputs):
    """{name: x}, zeros where a row lacks the modality."""
    return {name: np.nan_to_num(inputs[name]) for name in small.SHAPES if name in inputs}


def assert_from(w, q):
    """w [N, P] are draws of q, whose rows are all the same."""
    draws.assert_drawn_from(w, [1.0], q.loc[0], q.scale[0])
