"""`Rows`, as the loaders give them, in a model's methods and in the measures: as arrays of the same numbers."""

import keras
import numpy as np
import pytest
import small

from tf_mopoe import evaluation
from tf_mopoe.datasets import Rows

pytestmark = pytest.mark.usefixtures("eagerly")  # graphs are no part of the claims here

ARRAYS = small.rows(50)
LABELS = np.arange(50) % 3


def word(x):
    return np.argmax(x.sum(axis=1), axis=-1) % 3


@pytest.fixture(scope="module")
def model():
    model = small.compiled(seed=3)
    model.fit(ARRAYS, epochs=2, verbose=0)
    return model


def test_fit(capsys):
    steps = []
    model = small.compiled()
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    history = model.fit(
        Rows.of(ARRAYS), batch_size=20, epochs=2, callbacks=[count], validation_data=Rows.of(ARRAYS), verbose=0
    ).history
    assert steps == [0, 1, 2] * 2
    assert np.isfinite(history["val_loss"]).all() and len(history["val_loss"]) == 2


def test_fit_in_order_is_fit_of_the_arrays():
    weights = []
    for data in (ARRAYS, Rows.of(ARRAYS)):
        keras.utils.set_random_seed(0)
        model = small.compiled()
        model.fit(data, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_fit_shuffles_by_the_global_seed():
    order = []

    def made(numbers):
        x = Rows.of(ARRAYS).make(numbers)
        return x

    for _ in range(2):
        keras.utils.set_random_seed(7)
        model = small.compiled()
        model.fit(Rows(50, made), epochs=2, verbose=0)
        order.append(model.get_weights())
    for one, other in zip(*order):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_evaluate_and_predict(model):
    rows = Rows.of(ARRAYS)
    expected = model.evaluate(ARRAYS, batch_size=16, return_dict=True, verbose=0)
    assert model.evaluate(rows, batch_size=16, return_dict=True, verbose=0) == pytest.approx(expected, rel=1e-5)
    made, expected = model.predict(rows, batch_size=16, verbose=0), model.predict(ARRAYS, verbose=0)
    for name in expected:
        np.testing.assert_allclose(made[name], expected[name], rtol=1e-5, atol=1e-6)


def test_rows_of_another_model_are_an_error(model):
    other = Rows.of({"image": ARRAYS["image"], "smell": ARRAYS["word"]})
    for use in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=r"`inputs` may hold the modalities .*Received: \['smell'\]"):
            use(other, verbose=0)


MEASURES = {
    "classifier_accuracy": lambda model, x: evaluation.classifier_accuracy(x, LABELS, {"word": word}),
    "conditional_coherence": lambda model, x: evaluation.conditional_coherence(
        model, x, LABELS, {"word": word}, batch_size=16
    ),
    "linear_accuracy": lambda model, x: evaluation.linear_accuracy(
        model, x, LABELS, x, LABELS, num_train=30, batch_size=16
    ),
    "joint_log_likelihoods": lambda model, x: evaluation.joint_log_likelihoods(model, x, 4, batch_size=16),
    "conditional_log_likelihoods": lambda model, x: evaluation.conditional_log_likelihoods(model, x, 4, batch_size=16),
    "expert_conflict": lambda model, x: dict(enumerate(evaluation.expert_conflict(model, x, batch_size=16))),
    "frechet_distances": lambda model, x: evaluation.frechet_distances(
        model, x, {"sensor": lambda x: np.asarray(x)}, batch_size=16
    ),
    "latent_mixture": lambda model, x: dict(
        enumerate(evaluation.latent_mixture(model, x, num_components=2, batch_size=16)(3).ravel())
    ),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_measures(measure, model):
    if measure in ("linear_accuracy", "latent_mixture"):
        pytest.importorskip("sklearn")
    expected = MEASURES[measure](model, ARRAYS)
    made = MEASURES[measure](model, Rows.of(ARRAYS))
    assert expected and made == pytest.approx(expected, rel=1e-4, abs=1e-5)
