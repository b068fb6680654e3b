"""On the embedded digits: the tighter bound is tighter, and the methods learn to translate."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe.datasets import digits
from tf_mopoe.networks import digits as networks

pytestmark = pytest.mark.integration

D = 8


@pytest.fixture(scope="module")
def trained():
    """Picture and word of 4,000 rows, a few epochs: a weak model, but one with a posterior that says something."""
    keras.utils.set_random_seed(0)
    inputs, _ = mopoe.datasets.load_digits("train")
    model = mopoe.MultimodalVAE(
        {
            "image": mopoe.GaussianEncoder(networks.image_encoder(), D),
            "word": mopoe.GaussianEncoder(networks.word_encoder(), D),
        },
        {
            "image": mopoe.Decoder(networks.image_decoder(D), mopoe.likelihoods.Laplace(0.75)),
            "word": mopoe.Decoder(networks.word_decoder(D), mopoe.likelihoods.Categorical()),
        },
        reconstruction_weights="dimension",
        seed=0,
    )
    model.compile(keras.optimizers.Adam(2e-3))
    model.fit({name: inputs[name][:4000] for name in ("image", "word")}, batch_size=100, epochs=8, verbose=0)
    return model


def test_the_mixtures_own_kl_is_the_tighter_bound(trained):
    inputs, _ = mopoe.datasets.load_digits("test")
    inputs = {name: inputs[name] for name in ("image", "word")}
    kl = {}
    for form in ("components", "mixture"):
        trained.objective = mopoe.objectives.ELBO(kl=form)
        terms = [trained.loss_terms(inputs, tf.constant([step, 0])).kl.numpy() for step in range(5)]
        kl[form] = np.mean(terms, axis=0)
    # Mean over 2,000 rows and 5 draws of the difference, against 5 standard errors of it.
    difference = kl["components"] - kl["mixture"]
    error = difference.std() / np.sqrt(len(difference))
    assert difference.mean() > 5 * error
    assert difference.mean() < np.log(3) + 5 * error  # three components: apart by log 3 at the most


def test_words_become_pictures_of_their_digit(trained):
    inputs, labels = mopoe.datasets.load_digits("test")
    data = digits.arrays()
    classifier = mopoe.evaluation.train_classifier(
        digits.as_picture(data["train_image"]), data["train_image_label"], epochs=2
    )
    coherence = mopoe.evaluation.conditional_coherence(
        trained, {name: inputs[name] for name in ("image", "word")}, labels, {"image": classifier}
    )
    assert coherence[("word",), "image"] > 0.5  # chance is 0.1


def test_more_of_a_row_tells_more_of_it(trained):
    """log p(image, word) > log p(image) + log p(word): they share their label."""
    inputs, _ = mopoe.datasets.load_digits("test")
    inputs = {name: inputs[name][:200] for name in ("image", "word")}
    joint = trained.log_likelihood(inputs, num_samples=32, seed=0).numpy()
    single = sum(
        trained.log_likelihood({name: inputs[name]}, num_samples=32, seed=0).numpy() for name in ("image", "word")
    )
    assert np.mean(joint - single) > 1.0
