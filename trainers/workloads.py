"""The benchmark's workloads: their models, the floor of each, and random rows.

Workloads:
    polymnist    five views, the published networks and sizes (latent 512)
    mst          MNIST-SVHN-Text, the published networks and sizes (latent 20)
    mlp          any number of modalities of 16 numbers; networks so small that all else shows
"""

import keras
import numpy as np
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe.networks import mlp_decoder, mlp_encoder
from tf_mopoe.networks import polymnist as polymnist_networks
from trainers import experiments
from trainers.methods import METHODS

MODALITIES = {"polymnist": 5, "mst": 3, "mlp": None}  # None: as many as are asked for
SIZE, HIDDEN_UNITS, LATENT_DIM = 16, 32, 32  # of mlp


def model(workload, modalities, method="mopoe"):
    """Build the compiled `MultimodalVAE` of a workload."""
    kwargs = {"method": METHODS[method](1.0), "seed": 0}
    names = [f"m{number}" for number in range(modalities)]
    if workload == "mst":
        made = experiments.MnistSvhnText(data_dir=None).model(latent_dim=20, **kwargs)
    elif workload == "polymnist":
        likelihood = mopoe.likelihoods.Laplace
        networks = {n: (polymnist_networks.encoder(), polymnist_networks.decoder(512), likelihood(0.75)) for n in names}
        made = experiments.assemble(networks, 512, 0, **kwargs)
    else:
        made = experiments.assemble({name: mlp() for name in names}, LATENT_DIM, 0, **kwargs)
    made.compile(optimizer=keras.optimizers.Adam(1e-3))
    made.optimizer.build(made.trainable_variables)
    return made


def mlp():
    decoder = mlp_decoder(SIZE, LATENT_DIM, (HIDDEN_UNITS,))
    return mlp_encoder(SIZE, (HIDDEN_UNITS,)), decoder, mopoe.likelihoods.Normal(1.0)


def floor(workload, modalities):
    """Build the same networks and likelihoods with one product of experts and one KL: the model without the powerset."""
    return model(workload, modalities, "mvae_joint")


def rows(model, batch_size, seed=0, missing_rate=0.0):
    """Draw random rows that fit the model's likelihoods: {name: tensor [B, E]}, and flags where entries may be missing."""
    rng = np.random.default_rng(seed)
    inputs = {}
    if missing_rate:
        keys = [f"has_{name}" for name in model.modalities]
        inputs = {key: tf.constant(rng.random(batch_size) >= missing_rate) for key in keys}
    for name, shape in model.event_shapes.items():
        x = rng.random((batch_size, *shape), np.float32)
        if isinstance(model.decoders[name].likelihood, mopoe.likelihoods.Categorical):
            x = np.eye(shape[-1], dtype=np.float32)[x.argmax(axis=-1)]
        inputs[name] = tf.constant(x)
    return inputs
