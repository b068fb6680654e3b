"""An experiment for the trainers that takes seconds: two small modalities of one class."""

import keras
import numpy as np
import small

from tf_mopoe import likelihoods
from tf_mopoe.networks import mlp_decoder, mlp_encoder
from trainers import experiments


class Tiny:
    """Small arrays that show one of four classes."""

    sources = ()
    defaults = experiments.DEFAULTS | {"latent_dim": 4, "epochs": 2, "batch_size": 50}
    private_dim = 2
    data = "made here"
    description = "small arrays"
    plotters, other_label_functions = {}, {}
    label_functions = {"sensor": lambda x: np.asarray(x)[:, :4].argmax(axis=-1)}
    rows = {"train": 500, "test": 200}

    def load(self, split, seed=0, epoch=0):
        rng = np.random.default_rng([seed, epoch, len(split)])
        labels = rng.integers(4, size=self.rows[split])
        image = rng.random((len(labels), *small.SHAPES["image"])) * 0.3
        image[np.arange(len(labels)), labels] += 0.6
        sensor = 0.3 * rng.standard_normal((len(labels), *small.SHAPES["sensor"]))
        sensor[np.arange(len(labels)), labels] += 2.0
        return {"image": image.astype(np.float32), "sensor": sensor.astype(np.float32)}, labels

    def model(self, latent_dim, private_dim=0, **kwargs):
        networks = {}
        for name, likelihood in (("image", likelihoods.Laplace()), ("sensor", likelihoods.Normal())):
            shape = small.SHAPES[name]
            networks[name] = mlp_encoder(shape, (8,)), mlp_decoder(shape, latent_dim + private_dim, (8,)), likelihood
        return experiments.assemble(networks, latent_dim, private_dim, **kwargs)

    def train_classifiers(self, seed=0):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input(small.SHAPES["image"])
        features = keras.layers.Dense(6, activation="relu")(keras.layers.Flatten()(inputs))
        classifier = keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(features))
        classifier.compile("adam", "sparse_categorical_crossentropy")
        rows, labels = self.load("train", seed)
        classifier.fit(rows["image"], labels, epochs=2, verbose=0)
        return {"image": classifier}
