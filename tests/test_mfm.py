"""A label that is predicted, and read only where there is nothing else: its expert, its loss, the fusion on a device."""

import draws
import keras
import numpy as np
import objective_reference as loops
import private_models
import pytest
import reference
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import export, methods

SEED = tf.constant([3, 4])


def model(**kwargs):
    """Of "image" and "sensor" with private latents, and the label "word" without."""
    return private_models.private_model(method=methods.MFM(label="word", **kwargs))


def test_the_label_joins_no_product_but_that_of_rows_without_anything_else():
    one, inputs = model(), small.with_missing(small.rows(14))
    inputs["has_word"][0], inputs["has_image"][0], inputs["has_sensor"][0] = True, False, False
    for name in small.SHAPES:
        inputs["has_" + name][1] = False
    batch, q = loops.Batch(one, inputs), one.encode(inputs).subset().component(0)
    joint = one.encode(inputs).joint
    for row in range(14):
        present = batch.present(row)
        others = [name for name in present if name != "word"] or present
        loc, scale = batch.product(others, row, with_prior=True)
        np.testing.assert_allclose(q.loc[row], loc, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(q.stddev()[row], scale, rtol=1e-5)
    np.testing.assert_allclose(joint.loc[:, 0], q.loc, rtol=1e-5, atol=1e-6)
    without = {name: inputs[name] for name in ("image", "sensor")} | {
        f"has_{name}": inputs["has_" + name] for name in ("image", "sensor")
    }
    some = inputs["has_image"] | inputs["has_sensor"]
    np.testing.assert_allclose(one.encode(without).subset().loc[:, 0][some], q.loc[some], rtol=1e-5, atol=1e-6)


def test_the_loss_is_the_loops_and_private_latents_are_those_of_what_z_comes_from():
    one, inputs = model(beta=1.5), small.with_missing(small.rows(9))
    with draws.recorded(one) as got:
        terms = one.loss_terms(inputs, SEED)
    batch, x = loops.Batch(one, inputs), private_models.zeroed(inputs)
    for row in range(9):
        present = batch.present(row)
        others = [name for name in present if name != "word"] or present
        loss = 1.5 * reference.kl_to_standard_normal(*batch.product(others, row, with_prior=True))
        loss += 1.5 * private_models.private_kl(one, x, row, present)
        loss -= sum(batch.log_likelihood(name, row, got[name][0][row]) for name in present)
        np.testing.assert_allclose(terms.loss[row], loss, rtol=1e-5)


def test_it_learns_to_classify_and_a_missing_label_is_no_matter(tmp_path):
    """Two classes, read off the word's first position; half of the labels are missing."""
    rng = np.random.default_rng(0)
    inputs = small.rows(64, ("sensor", "word"))
    label = rng.integers(2, size=64)
    inputs["word"] = np.eye(4, dtype=np.float32)[np.stack([label] * 3, axis=1)]
    inputs["sensor"][:, 0] += 4.0 * label
    test = {"sensor": inputs["sensor"][32:]}
    inputs["has_word"] = np.arange(64) < 32
    one = private_models.private_model(("sensor", "word"), method=methods.MFM(beta=0.1))
    one.compile(keras.optimizers.Lion(0.02))
    one.fit(inputs, epochs=40, batch_size=64, verbose=0)
    made = one.translate(test, to="word", seed=0)
    assert np.mean(np.argmax(made[:, 0], axis=-1) == label[32:]) > 0.9
    one.save(tmp_path / "m.keras")
    copy = keras.models.load_model(tmp_path / "m.keras")
    assert copy.mixture.pooling.left_out == ("word",)
    np.testing.assert_array_equal(copy.loss_terms(inputs, SEED).loss, one.loss_terms(inputs, SEED).loss)


def test_a_device_leaves_it_out_too():
    one, inputs = model(), small.with_missing(small.rows(10))
    q, given = one.encode(inputs), {}
    for name, expert in q.experts.items():
        given[name] = {"loc": expert.loc[:, 0].numpy(), "scale": expert.scale[:, 0].numpy()}
    has = {name: inputs["has_" + name] for name in small.SHAPES}
    loc, scale = export.fuse(given, one.modalities, has, **one.mixture.pooling.fusion())
    np.testing.assert_allclose(loc, q.subset().loc[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scale, q.subset().scale[:, 0], rtol=1e-4)


def test_a_label_that_is_no_modality_is_refused():
    with pytest.raises(ValueError, match="`label` must be one of several modalities.*Received: label='class'"):
        private_models.private_model(method=methods.MFM(label="class"))
    layer = mopoe.MixtureOfProducts("full", pooling=mopoe.pooling.Product("all", left_out=("class",)))
    with pytest.raises(ValueError, match="`left_out` must be some of the modalities"):
        small.model(joint_posterior=layer)
