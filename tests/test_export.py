"""The SavedModel: values as Keras', rows that do not depend on their batch, nothing half written."""

import sys

import numpy as np
import pytest
import small
import tensorflow as tf

from tf_mopoe import export


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = small.model()
    path = export.saved_model(model, tmp_path_factory.mktemp("export") / "small")
    assert path.name == "1"
    return model, tf.saved_model.load(str(path)).signatures


def arguments(inputs, seed=False):
    count = len(inputs["image"])
    flags = {f"has_{name}": inputs.get(f"has_{name}", np.ones(count, bool)) for name in small.SHAPES}
    result = {name: tf.constant(inputs[name]) for name in small.SHAPES}
    result |= {name: tf.constant(flag) for name, flag in flags.items()}
    if seed:
        result["seed"] = tf.constant(np.arange(2 * count).reshape(count, 2), tf.int32)
    return result


def test_encode_equals_keras_with_missing_rows(exported):
    model, signatures = exported
    inputs = small.with_missing(small.rows(9))
    out, q = signatures["encode"](**arguments(inputs)), model.subset_posterior(inputs)
    np.testing.assert_allclose(out["loc"], q.mean(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out["scale"], q.stddev(), rtol=1e-5)


def test_translate_is_a_sample_of_that_posterior_decoded(exported):
    model, signatures = exported
    inputs = small.with_missing(small.rows(9))
    q = model.subset_posterior(inputs)
    seeds = arguments(inputs, seed=True)["seed"]
    noise = tf.stack([tf.random.stateless_normal([4], seed) for seed in seeds])
    expected = model.decode(q.mean() + q.stddev() * noise)
    out = signatures["translate"](**arguments(inputs, seed=True))
    generated = signatures["generate"](seed=seeds)
    for name in small.SHAPES:
        np.testing.assert_allclose(out[name], expected[name], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(generated[name], model.decode(noise)[name], rtol=1e-5, atol=1e-6)


def test_a_row_does_not_depend_on_its_batch(exported):
    _, signatures = exported
    inputs = small.with_missing(small.rows(6))
    for name, given in (("encode", arguments(inputs)), ("translate", arguments(inputs, seed=True))):
        whole = signatures[name](**given)
        for start, stop in ((0, 1), (1, 4), (4, 6), (2, 2)):
            part = signatures[name](**{key: value[start:stop] for key, value in given.items()})
            for key, value in part.items():
                np.testing.assert_allclose(value, whole[key][start:stop], rtol=1e-5, atol=1e-6)


def test_versions_count_up_and_are_never_overwritten(tmp_path):
    model = small.model(("sensor",))
    assert export.saved_model(model, tmp_path / "m", version=3).name == "3"
    assert export.saved_model(model, tmp_path / "m").name == "4"
    with pytest.raises(FileExistsError, match="`version` must not exist yet. Received: version=3"):
        export.saved_model(model, tmp_path / "m", version=3)
    with pytest.raises(ValueError, match="`version` must be a positive integer or None. Received: version=0"):
        export.saved_model(model, tmp_path / "m", version=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="`path` must be a folder. Received: .*which is a file"):
        export.saved_model(model, tmp_path / "file")
    assert sorted(child.name for child in (tmp_path / "m").iterdir()) == ["3", "4"]


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def broken(model, path):
        path.mkdir()
        raise OSError("No space left on device")

    monkeypatch.setattr(sys.modules["tf_mopoe.export.saved_model"], "write", broken)
    with pytest.raises(OSError, match="No space left"):
        export.saved_model(small.model(("sensor",)), tmp_path / "m")
    assert list((tmp_path / "m").iterdir()) == []
