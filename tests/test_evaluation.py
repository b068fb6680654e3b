"""Coherence on a model and classifiers whose answers are known."""

import keras
import numpy as np
import pytest
import small
from linear_gaussian import Linear

import tf_mopoe as mopoe
from tf_mopoe import evaluation, plots

NAMES = ("image", "word", "sound")
LABELS = np.arange(20) % 2
READERS = dict.fromkeys(NAMES, lambda x: (x[:, 0] > 0).astype(int))


def linear_model(turn=0.0, **kwargs):
    """z is x, that of sound turned by an angle. The word is vague about z, so that it decides where it is alone only."""
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]], np.float32)
    matrices = {"image": np.eye(2, dtype=np.float32), "word": np.eye(2, dtype=np.float32), "sound": turned}
    model = mopoe.MultimodalVAE(
        {name: mopoe.GaussianEncoder(Linear(m.T), 2) for name, m in matrices.items()},
        {name: mopoe.Decoder(Linear(m), mopoe.likelihoods.Normal()) for name, m in matrices.items()},
        **kwargs,
    )
    for name, encoder in model.encoders.items():
        encoder.loc_head.kernel.assign(np.eye(2))
        encoder.log_variance_head.kernel.assign(np.zeros((2, 2)))
        encoder.log_variance_head.bias.assign(np.full(2, 2 * np.log(0.1 if name == "word" else 0.01)))
    return model


def rows_of(labels):
    """The label is the sign of the first number; the word is wrong in one row of four."""
    right = np.stack([2.0 * labels - 1.0, np.zeros(len(labels))], axis=1).astype(np.float32)
    wrong = np.where(np.arange(len(labels))[:, None] % 4 == 0, -right, right)
    return {"image": right, "word": wrong, "sound": right}


def test_coherence_counts_the_rows_that_show_their_label():
    coherence = evaluation.conditional_coherence(linear_model(), rows_of(LABELS), LABELS, READERS, batch_size=8)
    assert set(coherence) == {
        *(((a,), b) for a in NAMES for b in NAMES if a != b),
        (("image", "word"), "sound"),
        (("image", "sound"), "word"),
        (("word", "sound"), "image"),
    }
    assert coherence[("word",), "image"] == coherence[("word",), "sound"] == 0.75
    assert coherence[("image",), "word"] == coherence[("image", "word"), "sound"] == 1.0
    # (1 + 1 + .75 + .75 + 1 + 1) / 6 and (1 + 1 + 1) / 3
    means = evaluation.mean_by_number_given(coherence)
    assert means == {1: pytest.approx(5.5 / 6), 2: 1.0}
    accuracy = evaluation.classifier_accuracy(rows_of(LABELS), LABELS, READERS)
    assert accuracy == {"image": 1.0, "word": 0.75, "sound": 1.0}


def test_coherence_of_a_mixture_of_experts_is_that_of_the_experts_in_turn():
    labels = np.arange(4000) % 2
    model = linear_model(joint_posterior="mmvae")
    coherence = evaluation.conditional_coherence(model, rows_of(labels), labels, READERS, sizes=[2])
    assert coherence[("image", "sound"), "word"] == 1.0
    # One of two experts a row, and of the word's rows one in four is wrong: 5 standard errors
    assert coherence[("image", "word"), "sound"] == pytest.approx(0.875, abs=5 * np.sqrt(0.11 / 4000))


def test_joint_coherence_is_the_share_of_rows_on_which_all_agree():
    """The signs of a normal vector's components along two directions agree with probability 1 - angle / pi."""
    model = linear_model(turn=np.pi / 4)
    classes = []

    def reader(name):
        return lambda x: classes.append(READERS[name](x)) or classes[-1]

    agreed = evaluation.joint_coherence(model, {name: reader(name) for name in NAMES}, num_samples=20000, seed=1)
    assert agreed == pytest.approx(0.75, abs=5 * np.sqrt(0.19 / 20000))
    assert agreed == np.mean((classes[0] == classes[1]) & (classes[0] == classes[2]))

    def latent(num_samples, seed):
        angle = 2 * np.pi * (np.arange(num_samples) + 0.5) / num_samples
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    assert evaluation.joint_coherence(model, READERS, num_samples=800, latent=latent) == 0.75


def test_mean_by_number_given_counts_every_pair_the_same():
    pairs = {(("a",), "b"): 0.5, (("a",), "c"): 0.7, (("b",), "c"): 0.3, (("a", "b"), "c"): 0.9}
    assert evaluation.mean_by_number_given(pairs) == {1: pytest.approx(0.5), 2: 0.9}
    subsets = {("a", "b"): 0.9, ("a",): 0.5, ("b",): 0.7}
    assert evaluation.mean_by_number_given(subsets) == {1: pytest.approx(0.6), 2: 0.9}


def test_classifiers_run_in_inference_mode():
    inputs = keras.Input((4,))
    dropping = keras.Model(inputs, keras.layers.Dropout(0.99)(inputs))
    x = np.eye(4, dtype=np.float32)[np.arange(50) % 4]
    np.testing.assert_array_equal(evaluation.predict_labels(dropping, x, batch_size=7), np.arange(50) % 4)


def test_a_classifier_learns_stripes():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=400)
    x = rng.random((400, 12, 12, 1), np.float32) * 0.5
    x[labels == 0, ::3] = 1.0
    x[labels == 1, :, ::3] = 1.0
    classifier = evaluation.train_classifier(
        x[:300], labels[:300], epochs=20
    )  # with 4, 12 steps, half of the seeds learn it
    assert np.mean(evaluation.predict_labels(classifier, x[300:]) == labels[300:]) > 0.95


def test_pictures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    model = small.model()
    plotters = {"word": plots.word(lambda x: ["text"])}
    plots.translations(model, small.rows(4), tmp_path / "translations.png", plotters)
    plots.prior_samples(model, tmp_path / "prior.png", plotters, num_samples=4)
    import matplotlib.image

    for name in ("translations.png", "prior.png"):
        pixels = matplotlib.image.imread(tmp_path / name)
        assert pixels.shape[0] > 200 and pixels.std() > 0.05
