"""Coherence on a model and classifiers whose answers are known."""

import keras
import numpy as np
import pytest
import small

from tf_mopoe import evaluation, plots

LABELS = np.arange(20) % 2


class Told:
    """Stands in for a model: what it makes of image is right always, of word in three rows of four, of both always."""

    modalities = ("image", "word", "sound")

    def translate(self, inputs, seed):
        labels = next(iter(inputs.values()))
        wrong = np.where(np.arange(len(labels)) % 4 == 0, 1 - labels, labels)
        made = wrong if set(inputs) == {"word"} else labels
        return dict.fromkeys(self.modalities, made)

    def generate(self, num_samples, seed):
        rows = np.arange(num_samples)
        return {"image": rows % 2, "word": rows % 2, "sound": np.where(rows < num_samples // 4, 1 - rows % 2, rows % 2)}


def test_coherence_counts_the_rows_that_show_their_label():
    identity = {name: lambda x: x for name in Told.modalities}
    inputs = dict.fromkeys(Told.modalities, LABELS)
    coherence = evaluation.conditional_coherence(Told(), inputs, LABELS, identity, batch_size=8)
    assert set(coherence) == {
        *(((a,), b) for a in Told.modalities for b in Told.modalities if a != b),
        (("image", "word"), "sound"),
        (("image", "sound"), "word"),
        (("word", "sound"), "image"),
    }
    assert coherence[("word",), "image"] == 0.75
    assert coherence[("image",), "word"] == coherence[("image", "word"), "sound"] == 1.0
    assert evaluation.joint_coherence(Told(), identity, num_samples=100) == 0.75
    assert evaluation.classifier_accuracy(inputs, LABELS, identity) == dict.fromkeys(Told.modalities, 1.0)


def test_classifiers_run_in_inference_mode():
    inputs = keras.Input((4,))
    dropping = keras.Model(inputs, keras.layers.Dropout(0.99)(inputs))
    x = np.eye(4, dtype=np.float32)[np.arange(50) % 4]
    np.testing.assert_array_equal(evaluation.read_label(dropping, x, batch_size=7), np.arange(50) % 4)


def test_a_classifier_learns_stripes():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=400)
    x = rng.random((400, 12, 12, 1), np.float32) * 0.5
    x[labels == 0, ::3] = 1.0
    x[labels == 1, :, ::3] = 1.0
    classifier = evaluation.train_classifier(x[:300], labels[:300], epochs=4)
    assert np.mean(evaluation.read_label(classifier, x[300:]) == labels[300:]) > 0.95


def test_pictures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    model = small.model()
    drawers = {"word": plots.word(lambda x: ["text"])}
    plots.translations(model, small.rows(4), tmp_path / "translations.png", drawers)
    plots.prior_samples(model, tmp_path / "prior.png", drawers, num_samples=4)
    import matplotlib.image

    for name in ("translations.png", "prior.png"):
        pixels = matplotlib.image.imread(tmp_path / name)
        assert pixels.shape[0] > 200 and pixels.std() > 0.05
