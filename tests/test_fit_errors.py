"""What `fit`, `evaluate` and their like cannot take is an error that names it, by whatever way it is given."""

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

NAMES = ("word", "sensor")
X = small.rows(4, NAMES)
ONES = np.ones(4, np.float32)
NO_WEIGHT = "There is no `sample_weight`.*Received: sample_weight=ndarray"
NO_DATA = "`x` must be a dict of arrays by modality, or a data set of such dicts. Received: x="
CALLS = {
    "class_weight": (lambda m: m.fit(X, class_weight={0: 1.0}), "There is no `class_weight`.*class_weight=dict"),
    "class_weight by position": (
        lambda m: m.fit(X, None, 4, 1, 0, None, 0.0, None, True, {0: 1.0}),
        "There is no `class_weight`",
    ),
    "sample_weight": (lambda m: m.fit(X, sample_weight=ONES), NO_WEIGHT),
    "sample_weight by position": (lambda m: m.fit(X, None, 4, 1, 0, None, 0.0, None, True, None, ONES), NO_WEIGHT),
    "y by position": (lambda m: m.fit(X, ONES), "There is no `y`"),
    "validation labels": (lambda m: m.fit(X, validation_data=(X, ONES)), "There is no `y`"),
    "validation weights": (lambda m: m.fit(X, validation_data=(X, None, ONES)), NO_WEIGHT),
    "evaluate's by position": (lambda m: m.evaluate(X, None, 4, 0, ONES), NO_WEIGHT),
    "train_on_batch": (lambda m: m.train_on_batch(X, None, ONES), NO_WEIGHT),
    "train_on_batch class_weight": (lambda m: m.train_on_batch(X, class_weight={0: 1.0}), "There is no `class_weight`"),
    "test_on_batch": (lambda m: m.test_on_batch(X, None, ONES), NO_WEIGHT),
    "fit()": (lambda m: m.fit(), f"{NO_DATA}None"),
    "evaluate()": (lambda m: m.evaluate(), f"{NO_DATA}None"),
    "train_on_batch()": (lambda m: m.train_on_batch(), f"{NO_DATA}None"),
    "predict(None)": (lambda m: m.predict(None), f"{NO_DATA}None"),
    "a list": (lambda m: m.fit([]), f"{NO_DATA}list"),
    "an array": (lambda m: m.fit(np.ones((4, 7), np.float32)), f"{NO_DATA}ndarray"),
    "no rows by train_on_batch": (
        lambda m: m.train_on_batch({name: x[:0] for name, x in X.items()}),
        "`inputs` must have one row or more",
    ),
    "num_samples": (
        lambda m: m.evaluate(X, num_samples=0),
        "`num_samples` must be an integer, 1 or more. Received: num_samples=0",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_clear_error(case):
    call, text = CALLS[case]
    with pytest.raises(ValueError, match=text):
        call(small.compiled(NAMES))


def test_what_keras_takes_besides_is_taken():
    model = small.compiled(NAMES)
    history = model.fit(X, None, 2, 1, 0, None, 0.0, (X, None), False).history
    assert np.isfinite(history["val_loss"]).all()
    assert len(model.evaluate(X, None, 2, 0)) == len(model.metrics)
    data = tf.data.Dataset.from_tensor_slices(X).batch(2)
    assert model.evaluate(data, verbose=0, return_dict=True).keys() == history.keys() - {
        k for k in history if "val" in k
    }


# ---- evaluate's draws


def test_more_draws_bring_the_losses_of_batch_sizes_together():
    model, inputs = small.compiled(NAMES), small.rows(24, NAMES)
    spread = {}
    for samples in (1, 100):
        sizes = (1, 2, 3, 8, 24)
        losses = [model.evaluate(inputs, batch_size=b, num_samples=samples, verbose=0)[0] for b in sizes]
        spread[samples] = np.std(losses)
    assert spread[100] < 0.25 * spread[1]  # 1 / sqrt(100) in expectation
    assert model.evaluate(inputs, verbose=0)[0] == model.evaluate(inputs, verbose=0, num_samples=1)[0]


def test_evaluation_has_other_draws_than_any_training_step():
    """With weights that stay: the loss of a training step is never that of an evaluation's batch."""
    model = small.model(NAMES)
    model.compile(keras.optimizers.SGD(0.0))
    inputs = small.rows(8, NAMES)
    one = tf.data.Dataset.from_tensor_slices(inputs).batch(8)
    trained = [model.fit(one, verbose=0).history["loss"][0] for _ in range(9)]  # steps 1 to 9: 0 to 8 before them
    first = model.evaluate(one, verbose=0)[0]
    both = model.evaluate(one.repeat(2), verbose=0)[0]
    second = 2.0 * both - first  # the batch after 8 rows
    for loss in (first, second):
        assert np.min(np.abs(np.array(trained) - loss)) > 1e-4 * loss
