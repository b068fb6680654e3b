"""Missing modalities, per row, in training and inference: a masked row equals one without, NaN and all."""

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe

SEED = tf.constant([1, 2])
METHODS = ["mopoe", "mvae", "mmvae"]


def loss_and_gradients(model, inputs):
    with tf.GradientTape() as tape:
        terms = model.loss_terms(inputs, SEED, training=True)
        loss = tf.reduce_sum(terms.loss)
    variables = model.trainable_variables
    values = [variable.value for variable in variables]
    gradients = tape.gradient(loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return terms, {variable.path: gradient.numpy() for variable, gradient in zip(variables, gradients)}


@pytest.mark.parametrize("method", METHODS)
def test_a_modality_masked_in_all_rows_equals_one_left_out_value_and_gradient(method):
    model, inputs = small.model(joint_posterior=method), small.rows(8)
    masked = inputs | {"word": np.full_like(inputs["word"], np.nan), "has_word": np.zeros(8, bool)}
    left_out = {name: inputs[name] for name in ("image", "sensor")}
    terms, gradients = loss_and_gradients(model, masked)
    expected_terms, expected_gradients = loss_and_gradients(model, left_out)
    # The draw of the components walks over the family's subsets; the left-out family is smaller, the draws the same
    # only where the masked subsets have weight 0, which the inverse of the cumulated weights skips.
    np.testing.assert_allclose(terms.loss, expected_terms.loss, rtol=1e-5)
    np.testing.assert_array_equal(terms.reconstruction["word"], np.zeros(8))
    for path, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected_gradients[path], rtol=1e-4, atol=1e-5, err_msg=path)
        if path.startswith(("word_encoder", "word_decoder")):
            np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize("method", METHODS)
def test_what_a_missing_row_holds_changes_nothing(method):
    model = small.model(joint_posterior=method)
    results = []
    for fill in (np.nan, np.inf, 0.0, 1e30):
        terms, gradients = loss_and_gradients(model, small.with_missing(small.rows(10), fill=fill))
        results.append([terms.loss.numpy(), terms.kl.numpy(), *gradients.values()])
    for other in results[1:]:
        for a, b in zip(results[0], other):
            assert np.all(np.isfinite(a))
            np.testing.assert_array_equal(a, b)


def test_a_row_with_nothing_adds_no_loss_and_no_gradient():
    """Under a learned prior too, from which its posterior, N(0, I), differs."""
    for settings in (*({"joint_posterior": method} for method in METHODS), {"prior": mopoe.priors.Mixture(3)}):
        model = small.model(**settings)
        nothing = small.rows(4) | {f"has_{name}": np.zeros(4, bool) for name in small.SHAPES}
        terms, gradients = loss_and_gradients(model, nothing)
        np.testing.assert_array_equal(terms.loss, np.zeros(4))
        assert all(np.all(gradient == 0.0) for gradient in gradients.values())


def test_rows_do_not_see_each_others_missing_modalities():
    """Deterministic parts only: posterior and reconstruction of each row alone equal those in the batch."""
    model, inputs = small.model(), small.with_missing(small.rows(7))
    together, predicted = model.subset_posterior(inputs), model.predict(inputs, verbose=0)
    mixture = model.joint_posterior(inputs)
    z = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    for row in range(7):
        present = [name for name in small.SHAPES if inputs["has_" + name][row]]
        alone = {name: inputs[name][row : row + 1] for name in present}
        np.testing.assert_allclose(model.subset_posterior(alone).mean()[0], together.mean()[row], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            model.joint_posterior(alone).log_prob(z[row]), mixture.log_prob(z)[row : row + 1], rtol=1e-5, atol=1e-6
        )
        for name, value in model.predict(alone, verbose=0).items():
            np.testing.assert_allclose(value[0], predicted[name][row], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.sum(mixture.cat.probs_parameter(), axis=1), 1.0, rtol=1e-6)


def test_translate_needs_only_what_is_given():
    model, inputs = small.model(), small.rows(5)
    for name in small.SHAPES:
        made = model.translate({name: inputs[name]}, seed=1)
        assert {target: value.shape for target, value in made.items()} == {n: (5, *s) for n, s in small.SHAPES.items()}
        flagged = inputs | {f"has_{other}": np.full(5, other == name) for other in small.SHAPES}
        again = model.translate(flagged, seed=1)
        for target, value in made.items():
            np.testing.assert_allclose(value, again[target], rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(value, model.translate({name: inputs[name]}, to=target, seed=1))


def test_training_with_missing_rows_stays_finite_and_learns():
    model = small.model(reconstruction_weights="dimension")
    model.compile(keras.optimizers.Adam(3e-2))
    inputs = small.with_missing(small.rows(64))
    nothing = np.arange(64) < 3
    for name in small.SHAPES:
        inputs["has_" + name] &= ~nothing
    history = model.fit(inputs, batch_size=16, epochs=40, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_modality_that_is_never_there_is_not_trained():
    model = small.compiled()
    before = [variable.numpy() for variable in model.encoders["word"].variables + model.decoders["word"].variables]
    model.fit(small.rows(32, ("image", "sensor")), epochs=2, verbose=0)
    after = [variable.numpy() for variable in model.encoders["word"].variables + model.decoders["word"].variables]
    for a, b in zip(before, after):
        np.testing.assert_array_equal(a, b)
    assert np.isfinite(model.predict(small.rows(4, ("word",)), verbose=0)["image"]).all()
