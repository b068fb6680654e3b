"""Frechet distances against closed forms and slow references, and the features between which they are measured."""

import draws
import keras
import numpy as np
import pytest
import small

from tf_mopoe import evaluation


def gaussian_rows(mean, covariance, count=64, seed=0):
    """Rows whose sample mean and covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(count, len(mean)))
    x -= x.mean(axis=0)
    whitening = np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False)))
    return x @ whitening.T @ np.linalg.cholesky(np.array(covariance, float)).T + np.array(mean)


def test_the_frechet_distance_of_known_gaussians():
    a = gaussian_rows([1.0, -2.0, 0.5], np.diag([1.0, 4.0, 9.0]))
    b = gaussian_rows([0.0, 0.0, 0.5], np.diag([4.0, 1.0, 0.25]), count=40, seed=1)
    # diagonal: |mean|^2 + sum (sd_a - sd_b)^2 = 5 + 1 + 1 + 2.5^2
    assert evaluation.frechet_distance(a, b) == pytest.approx(13.25, rel=1e-9)
    assert evaluation.frechet_distance(b, a) == pytest.approx(13.25, rel=1e-9)
    # [[2, 1], [1, 2]] has the eigenvalues 3 and 1: trace of its root is sqrt(3) + 1; the other is the identity
    a, b = gaussian_rows([0.0, 0.0], [[2.0, 1.0], [1.0, 2.0]]), gaussian_rows([0.0, 0.0], np.eye(2), seed=1)
    assert evaluation.frechet_distance(a, b) == pytest.approx(4 + 2 - 2 * (np.sqrt(3) + 1), rel=1e-9)
    assert evaluation.frechet_distance([[0.0], [2.0]], [[5.0], [9.0]]) == pytest.approx(36 + 2)  # sd sqrt(2), 2 sqrt(2)


@pytest.mark.parametrize("rows", [8, 100])
def test_the_frechet_distance_of_few_and_many_rows(rows):
    """With 8 rows the covariances of 20 features are singular."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(rows, 20)) @ rng.normal(size=(20, 20))
    b = 2.0 * rng.normal(size=(rows, 20)) + 1.0
    scale = np.trace(np.cov(a.T))
    shift = rng.normal(size=20)
    assert evaluation.frechet_distance(a, a) < 1e-9 * scale
    assert evaluation.frechet_distance(a, a + shift) == pytest.approx(np.sum(shift**2), abs=1e-8 * scale)
    assert evaluation.frechet_distance(a, b) == pytest.approx(evaluation.frechet_distance(b, a), rel=1e-9)
    eigenvalues = np.linalg.eigvals(np.cov(a.T) @ np.cov(b.T)).real  # the definition, for trace((A B)^(1/2))
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + scale + np.trace(np.cov(b.T))
    expected -= 2 * np.sum(np.sqrt(np.maximum(eigenvalues, 0.0)))
    assert evaluation.frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


def test_the_frechet_distance_needs_rows_of_the_same_features():
    for a, b in ((np.ones((1, 3)), np.ones((5, 3))), (np.ones((4, 2)), np.ones((4, 3))), (np.ones(4), np.ones(4))):
        with pytest.raises(
            ValueError, match="`features_a` and `features_b` must have two or more rows.*Received: shapes"
        ):
            evaluation.frechet_distance(a, b)


def test_classifier_features_are_what_its_last_layer_sees():
    x = np.random.default_rng(0).random((9, 8, 8, 1), np.float32)
    classifier = evaluation.train_classifier(x, np.arange(9) % 3, epochs=1)
    features = evaluation.classifier_features(classifier, batch_size=4)(x)
    assert features.shape == (9, 128) and features.min() == 0.0  # after a ReLU, in inference mode
    np.testing.assert_allclose(classifier.layers[-1](features), classifier(x, training=False), rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="`classifier` must be a functional Keras model. Received: "):
        evaluation.classifier_features(np.argmax)


def test_inception_features_of_grey_are_those_of_the_same_in_colour():
    keras.utils.set_random_seed(0)
    features = evaluation.inception_features(weights=None, batch_size=2)
    grey = np.random.default_rng(0).random((3, 28, 28, 1), np.float32)
    values = features(grey)
    assert values.shape == (3, 2048) and values.dtype == np.float32 and np.isfinite(values).all()
    np.testing.assert_allclose(features(np.repeat(grey, 3, axis=-1)), values, rtol=1e-4, atol=1e-6)
    beyond = np.where(grey > 0.5, 1.0, 0.0).astype(np.float32)
    np.testing.assert_allclose(features(3.0 * beyond - 1.0), features(beyond), rtol=1e-4, atol=1e-6)
    assert np.abs(values[0] - values[1]).max() > 1e-6


@pytest.mark.parametrize("method", ("mopoe", "mvae", "mmvae"))
def test_frechet_distances_are_those_of_translate_and_generate(method):
    model, inputs = small.model(joint_posterior=method), small.rows(400)
    features = {name: lambda x: np.asarray(x).reshape(len(x), -1)[:, :4] for name in ("word", "sensor")}
    reported = []
    with draws.recorded(model) as got:
        distances = evaluation.frechet_distances(
            model, inputs, features, batch_size=250, seed=2, progress=lambda *part: reported.append(part)
        )
    assert reported[-1] == (6, 6)
    pairs = [(given, target) for given in small.SHAPES for target in features if given != target]
    assert set(distances) == {("prior", "word"), ("prior", "sensor"), *(((given,), target) for given, target in pairs)}
    for target, function in features.items():
        calls = got[target]
        some = [given for given in small.SHAPES if given != target]
        for number, given in enumerate(some):  # in each of two batches one after the other; the prior's are the last
            z = np.concatenate(calls[: 2 * len(some)][number :: len(some)])
            draws.assert_translates_from(model, inputs, (given,), z)
            expected = evaluation.frechet_distance(function(inputs[target]), function(model.decode(z, target)))
            assert distances[(given,), target] == pytest.approx(expected, rel=1e-5)
        z = np.concatenate(calls[-2:])
        draws.assert_drawn_from(z, [1.0], np.zeros((1, 4)), np.ones((1, 4)))
        expected = evaluation.frechet_distance(function(inputs[target]), function(model.decode(z, target)))
        assert distances["prior", target] == pytest.approx(expected, rel=1e-5)
