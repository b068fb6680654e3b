"""Measures with arguments that do not fit: a ValueError, never an empty result or an error from within."""

import numpy as np
import pytest
import small

from tf_mopoe import evaluation
from tf_mopoe.datasets import Rows

ROWS = small.rows(12)
LABELS = np.arange(12) % 3


def word(x):
    return np.zeros(len(x), int)


def features(x):
    return np.reshape(x, (len(x), -1))[:, :2]


@pytest.fixture(scope="module")
def model():
    return small.model()


def coherence(model, inputs=ROWS, labels=LABELS, classifiers={"word": word}, **kwargs):  # noqa: B006
    return evaluation.conditional_coherence(model, inputs, labels, classifiers, **kwargs)


@pytest.mark.parametrize("wrong", [{"smell": word}, {}, {"word": word, "smell": word}, [word], None, {"word": "digit"}])
def test_functions_of_no_modality(model, wrong):
    for argument, use in (
        ("classifiers", lambda: coherence(model, classifiers=wrong)),
        ("classifiers", lambda: evaluation.joint_coherence(model, wrong, num_samples=4)),
        ("classifiers", lambda: evaluation.classifier_accuracy(ROWS, LABELS, wrong)),
        ("features", lambda: evaluation.frechet_distances(model, ROWS, wrong)),
    ):
        with pytest.raises(ValueError, match=rf"`?{argument}(`|\[).* must be .*Received: "):
            use()


@pytest.mark.parametrize("sizes", [[], [0], [4], [1, 9], 2, "1", [True], [1.0], [[1]]])
def test_sizes_that_there_are_not(model, sizes):
    with pytest.raises(ValueError, match="`sizes` must be a list of numbers .*1 to 3, or None. Received: sizes="):
        coherence(model, sizes=sizes)


def test_sizes_that_leave_no_target(model):
    with pytest.raises(ValueError, match="`sizes` and `classifiers` must leave a target"):
        coherence(model, sizes=[3])
    assert len(coherence(model, sizes=(np.int64(2),))) == 1


@pytest.mark.parametrize("labels", [LABELS[:11], LABELS[:, None], 3, None])
def test_labels_of_another_size(model, labels):
    for use in (
        lambda: coherence(model, labels=labels),
        lambda: evaluation.classifier_accuracy(ROWS, labels, {"word": word}),
        lambda: evaluation.train_classifier(ROWS["image"], labels),
    ):
        with pytest.raises(ValueError, match="`labels` must be one class per row, shape .*Received: shape"):
            use()


@pytest.mark.parametrize(
    "inputs",
    [
        None,
        [ROWS],
        ROWS["image"],
        {name: ROWS[name] for name in ("image", "word")},
        ROWS | {"has_word": np.ones(12, bool)},
        ROWS | {"sensor": ROWS["sensor"][:, :3]},
        ROWS | {"sensor": ROWS["sensor"][:3]},
        ROWS | {"sensor": ROWS["sensor"].astype(str).tolist()},
        {name: x[:0] for name, x in ROWS.items()},
        Rows.of({"image": ROWS["image"]}),
        Rows.of({name: x[:0] for name, x in ROWS.items()}),
    ],
    ids=range(11),
)
def test_rows_that_do_not_fit(model, inputs):
    for use in (
        lambda: coherence(model, inputs),
        lambda: evaluation.joint_log_likelihoods(model, inputs, 2),
        lambda: evaluation.conditional_log_likelihoods(model, inputs, 2),
        lambda: evaluation.frechet_distances(model, inputs, {"word": features}),
        lambda: evaluation.latent_mixture(model, inputs, 2),
        lambda: evaluation.linear_accuracy(model, inputs, LABELS, inputs, LABELS),
    ):
        with pytest.raises(ValueError, match="`(inputs|sensor)` must .*Received: |All inputs must .*Received: "):
            use()


def test_functions_that_give_something_else(model):
    with pytest.raises(ValueError, match="A classifier must give one class per row.*Received: shape"):
        coherence(model, classifiers={"word": lambda x: np.zeros((len(x), 2))})
    with pytest.raises(ValueError, match=r"`latent` must give z \(5, 4\). Received: shape \(5, 3\)"):
        evaluation.joint_coherence(model, {"word": word}, 5, latent=lambda count, seed: np.zeros((count, 3)))
    with pytest.raises(ValueError, match="`num_components` must be 12 at most"):
        evaluation.latent_mixture(model, ROWS, num_components=13)
