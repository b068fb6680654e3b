"""Inputs that generated tests have found: each was taken, or failed with an error that does not name the argument."""

import numpy as np
import pytest
import small
import tables
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import datasets, evaluation, export

ROWS = small.rows(4)
SENSOR = ROWS["sensor"]


@pytest.fixture(scope="module")
def model():
    return small.compiled()


ODD = {
    "list of unlike rows": [[1.0], [1.0, 2.0]],
    "ragged tensor": tf.RaggedTensor.from_tensor(SENSOR),
    "None": None,
    "dict": {"x": SENSOR},
    "text": "x",
    "objects": np.full(SENSOR.shape, None),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_array(kind, model):
    for use in (model.translate, model.subset_posterior, model.log_likelihood, model.fit, model.predict):
        with pytest.raises(ValueError, match="`sensor` must be an array of numbers: .*Received: "):
            use(ROWS | {"sensor": ODD[kind]})
        with pytest.raises(ValueError, match="`has_sensor` must be bool, or 0 and 1, with shape .*Received: "):
            use(ROWS | {"has_sensor": ODD[kind]})


def test_a_number_beyond_float32_is_infinity_there(model):
    wide = SENSOR.astype(np.float64)
    wide[2, 0] = 1e39
    for use in (model.translate, model.log_likelihood, model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match="`sensor` must be finite .*Received: NaN or infinity .* row 2"):
            use(ROWS | {"sensor": wide})
    wide[2, 0] = 1e38
    wide[2, 1] = 1e38  # both are fine in float32, their sum is not
    model.subset_posterior({"sensor": wide})  # no error
    assert np.isfinite(tables.model(2).predict(tables.rows(3, 2), verbose=0)["m0"]).all()


def test_counts_beyond_an_index_of_tensorflow(model):
    for use in (model.generate, lambda count: model.log_likelihood(ROWS, num_samples=count)):
        for count in (2**31, 10**30, 10**5000):
            with pytest.raises(ValueError, match="`num_samples` must be 2147483647 at most. Received: num_samples="):
                use(count)
    assert model.generate(1, seed=10**30)["sensor"].shape == (1, 7)  # a seed may be any integer


def test_measures_of_something_else():
    with pytest.raises(ValueError, match="`latent` must be a function or None. Received: latent=False"):
        evaluation.joint_coherence(small.model(), {"word": len}, 2, latent=False)
    with pytest.raises(ValueError, match="`features_a` must be numbers .*Received: str"):
        evaluation.frechet_distance("x", np.zeros((3, 2)))
    with pytest.raises(ValueError, match="`features_b` must be finite"):
        evaluation.frechet_distance(np.zeros((3, 2)), np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="`log_likelihoods` must be a dict by tuples of names. Received: None"):
        evaluation.expert_calibration(None)
    for wrong in (None, {}, {3: 1.0}):
        with pytest.raises(ValueError, match="`values` must be a dict by tuples of what is given. Received: values="):
            evaluation.mean_by_number_given(wrong)


def test_a_seed_that_is_a_tensor_of_another_kind():
    for wrong in (tf.constant([1.0, 1.0]), tf.constant([1, 2, 3]), tf.constant(1.5)):
        with pytest.raises(ValueError, match="`seed` must be an integer, a stream or None. Received: seed="):
            small.model().generate(2, seed=wrong)


def test_loaders_of_something_else():
    for use, argument in (
        (datasets.free_spoken_digits, "path"),
        (datasets.celeba, "data_dir"),
        (datasets.mnist_svhn_text, "data_dir"),
        (datasets.polymnist, "mnist"),
    ):
        for wrong in (None, 3, b"x", "a\0b", ["x"]):
            with pytest.raises(ValueError, match=f"`{argument}` must be a path. Received: {argument}="):
                use(wrong)
    for wrong in (np.array(["train", "test"]), None, b"train", ["train"]):
        with pytest.raises(ValueError, match='`split` must be "train" or "test". Received: split='):
            datasets.load_digits(wrong)
    with pytest.raises(ValueError, match="`labels` must be a dict of one or more arrays of labels"):
        datasets.pair_by_label({"a": 3}, 4)


def test_exports_of_something_else(model, tmp_path):
    for wrong in (None, 3, b"x", "a\0b"):
        for use in (export.saved_model, export.tflite_encoders):
            with pytest.raises(ValueError, match="`path` must be a path. Received: path="):
                use(model, wrong)
    for wrong in ([], {"int8"}, np.array(["int8", "dynamic"]), 8):
        with pytest.raises(ValueError, match='`quantization` must be None, "float16", "dynamic" or "int8". Received: '):
            export.tflite_encoders(model, tmp_path, quantization=wrong)
    with pytest.raises(ValueError, match="`representative` must be a dict of the modalities"):
        export.tflite_encoders(model, tmp_path, representative=[ROWS])
    with pytest.raises(ValueError, match="`name` must be a string or None. Received: name=3"):
        export.saved_model(model, tmp_path, name=3)
    assert not list(tmp_path.iterdir())


def test_widths_of_something_else():
    with pytest.raises(ValueError, match="`hidden_units` must be a tuple of integers. Received: hidden_units=64"):
        mopoe.networks.mlp_encoder(3, 64)


def test_names_of_something_else(model):
    for wrong in (np.array(["image", "word"]), ["image"], 3, b"image"):
        with pytest.raises(ValueError, match="`to` must be one of .*Received: "):
            model.translate(ROWS, to=wrong)
    for wrong in ([[]], [["image"]], [None], "image", {"image"}):
        with pytest.raises(ValueError, match="`given` must be a tuple or list .*Received: given="):
            model.log_likelihood(ROWS, given=wrong)
    for wrong in ([0, 0], (np.zeros(3), np.zeros(3)), "xx", (np.zeros((3, 32, 64, 1)), np.zeros(2))):
        with pytest.raises(ValueError, match="`speech` must be arrays"):
            datasets.load_digits("test", speech=wrong)
    with pytest.raises(ValueError, match="`sizes` must be a list"):
        evaluation.conditional_coherence(model, ROWS, np.zeros(4), {"word": len}, sizes=np.array(1))


def test_arrays_of_unlike_rows():
    with pytest.raises(ValueError, match="`x` must be an array. Received: list"):
        evaluation.train_classifier([0, []], [0, 1])
    with pytest.raises(ValueError, match="`labels` must be an array. Received: list"):
        evaluation.classifier_accuracy(ROWS, [[1], [2, 3]], {"word": len})
    with pytest.raises(ValueError, match="`x` must be numbers of shape"):
        export.usable_rows([0, []], {"input": {"shape": [None, 2], "range": None}})
    with pytest.raises(ValueError, match="`features_a` must be numbers"):
        evaluation.frechet_distance(10**400, np.zeros((3, 2)))


def test_a_version_beyond_the_servers_numbers(model, tmp_path):
    with pytest.raises(ValueError, match="`version` must be a positive integer or None. Received: version="):
        export.saved_model(model, tmp_path, version=2**63)
