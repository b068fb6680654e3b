"""An experiment for the trainers that takes seconds: three small modalities of one class."""

import keras
import numpy as np
import small

from tf_mopoe import likelihoods
from tf_mopoe.networks import mlp_decoder, mlp_encoder
from trainers import experiments


class Tiny:
    """Small arrays that show one of four classes."""

    sources = ()
    defaults = experiments.DEFAULTS | {"latent_dim": 4, "epochs": 4, "batch_size": 20}
    data = "made here"
    makes = "small arrays"
    drawers, other_readers = {}, {}
    readers = {
        "word": lambda x: np.asarray(x)[:, 0].argmax(axis=-1),
        "sensor": lambda x: np.asarray(x)[:, :4].argmax(axis=-1),
    }
    rows = {"train": 600, "test": 200}

    def load(self, split, seed=0, epoch=0):
        rng = np.random.default_rng([seed, epoch, len(split)])
        labels = rng.integers(4, size=self.rows[split])
        image = rng.random((len(labels), *small.SHAPES["image"])) * 0.3
        image[np.arange(len(labels)), labels] += 0.6
        sensor = 0.3 * rng.standard_normal((len(labels), *small.SHAPES["sensor"]))
        sensor[np.arange(len(labels)), labels] += 2.0
        word = np.eye(4)[np.repeat(labels[:, None], 3, axis=1)]
        arrays = {"image": image, "word": word, "sensor": sensor}
        return {name: array.astype(np.float32) for name, array in arrays.items()}, labels

    def model(self, latent_dim, private_dim=0, **kwargs):
        kinds = {"image": likelihoods.Laplace(), "word": likelihoods.Categorical(), "sensor": likelihoods.Normal()}
        networks = {
            name: (mlp_encoder(shape, (8,)), mlp_decoder(shape, latent_dim + private_dim, (8,)), kinds[name])
            for name, shape in small.SHAPES.items()
        }
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
