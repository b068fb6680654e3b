"""The SavedModel: values as Keras', rows that do not depend on their batch, nothing half written."""

import errno
import json
import os
import resource
import sys

import keras
import numpy as np
import pytest
import signature_rows
import small
import tensorflow as tf
from running import finish, main, start

import tf_mopoe as mopoe
from tf_mopoe import export
from tf_mopoe.export import pruning
from tf_mopoe.mixture import Mixture
from tf_mopoe.streams import RowStream

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported[1])).signatures


def run(signatures, requests):
    answers = {}
    for name, values in requests.items():
        out = signatures[name](**{key: tf.constant(value) for key, value in values.items()})
        answers[name] = {key: value.numpy() for key, value in out.items()}
    return answers


def test_every_signature_equals_keras_for_every_subset(exported, signatures):
    model, rows = exported[0], signature_rows.every_subset(tuple(small.SHAPES))
    assert set(signatures) == set(signature_rows.requests(model, rows))
    signature_rows.assert_equal(
        run(signatures, signature_rows.requests(model, rows)), signature_rows.expected(model, rows)
    )


@pytest.mark.parametrize("posterior", ["mmvae", [("word", "sensor")]], ids=str)
def test_other_posteriors_translate_from_what_they_translate_from_in_keras(tmp_path, posterior):
    layer = posterior if isinstance(posterior, str) else mopoe.MixtureOfProducts(posterior)
    model = small.model(("word", "sensor"), joint_posterior=layer)
    path = export.saved_model(model, tmp_path / "m", num_samples=signature_rows.SAMPLES)
    rows = signature_rows.every_subset(model.modalities, repeats=6)
    answers = run(tf.saved_model.load(str(path)).signatures, signature_rows.requests(model, rows))
    signature_rows.assert_equal(answers, signature_rows.expected(model, rows))


def test_the_draws_of_rows_are_independent_and_unbiased():
    count = 4000
    seed = tf.stack([tf.range(count), tf.zeros([count], tf.int32)], axis=1)
    noise = tf.function(lambda seed: RowStream(seed).child("noise").normal([count, 3]))(seed).numpy()
    error = 1 / np.sqrt(count)
    assert np.all(np.abs(noise.mean(axis=0)) < 5 * error)
    assert np.all(np.abs(np.cov(noise.T) - np.eye(3)) < 5 * np.sqrt(2) * error)
    assert np.all(np.abs(np.mean(noise[1:] * noise[:-1], axis=0)) < 5 * error)  # neighbouring seeds
    weights = tf.tile([[0.25, 0.0, 0.75]], [count, 1])
    loc = tf.tile(tf.constant([[[-9.0], [50.0], [9.0]]]), [count, 1, 1])
    mixture = Mixture(weights, loc, tf.ones([count, 3, 1]))
    z = tf.function(lambda seed: mixture.sample(RowStream(seed)).z)(seed).numpy()[:, 0]
    assert abs(np.mean(z > 0) - 0.75) < 5 * np.sqrt(0.25 * 0.75) * error and z.max() < 20
    assert abs(np.mean(np.abs(z) - 9)) < 5 * error and abs(np.std(np.abs(z) - 9) - 1) < 5 * error


def test_a_row_depends_on_itself_and_its_seed_alone(exported, signatures):
    rows = signature_rows.every_subset(tuple(small.SHAPES), repeats=1, seed=5)
    requests = signature_rows.requests(exported[0], rows)
    whole = run(signatures, requests)
    for start_row, stop in ((0, 1), (1, 5), (5, 7), (3, 3)):
        part = run(signatures, {s: {k: v[start_row:stop] for k, v in values.items()} for s, values in requests.items()})
        signature_rows.assert_equal(
            part, {s: {k: v[start_row:stop] for k, v in values.items()} for s, values in whole.items()}
        )
    # One row three times, in a batch with others: three times the same. Another seed: another draw.
    order = [6, 2, 6, 0, 6]
    again = run(signatures, {s: {k: v[order] for k, v in values.items()} for s, values in requests.items()})
    signature_rows.assert_equal(again, {s: {k: v[order] for k, v in values.items()} for s, values in whole.items()})
    reseeded = {s: values | {"seed": values["seed"] + [0, 1]} for s, values in requests.items() if "seed" in values}
    for values in reseeded.values():
        values["seed"] = values["seed"].astype(np.int32)
    for signature, outputs in run(signatures, reseeded).items():
        for name in set(outputs) - {"loc", "scale"}:
            difference = np.abs(outputs[name] - whole[signature][name]).reshape(len(outputs[name]), -1).max(axis=1)
            assert np.all(difference > 1e-6), (signature, name)


def test_a_row_that_has_nothing_gets_the_prior(exported, signatures):
    model = exported[0]
    rows = {name: np.full((2, *shape), np.nan, np.float32) for name, shape in small.SHAPES.items()}
    rows |= {f"has_{name}": np.zeros(2, bool) for name in small.SHAPES}
    answers = run(signatures, signature_rows.requests(model, rows))
    assert all(np.isfinite(value).all() for outputs in answers.values() for value in outputs.values())
    for signature in ("encode", "fuse"):
        np.testing.assert_array_equal(answers[signature]["loc"], 0.0)
        np.testing.assert_array_equal(answers[signature]["scale"], 1.0)
    np.testing.assert_allclose(answers["joint_posterior"]["weights"].sum(axis=1), 1.0)
    np.testing.assert_allclose(answers["log_likelihood"]["log_likelihood"], 0.0, atol=1e-5)
    for name in small.SHAPES:
        np.testing.assert_allclose(answers["fuse"][name], answers["translate"][name], atol=1e-6)


def test_every_input_and_output_has_a_leading_batch_axis_and_known_sizes(signatures):
    for name, signature in signatures.items():
        for tensor in [*signature.structured_input_signature[1].values(), *signature.structured_outputs.values()]:
            assert tensor.shape[0] is None and None not in tensor.shape[1:], name


def test_every_weight_is_saved_once(exported):
    model, path = exported
    shapes = tf.train.load_checkpoint(str(path / "variables" / "variables")).get_variable_to_shape_map()
    shapes = [shape for name, shape in shapes.items() if name.endswith("VARIABLE_VALUE")]
    weights = [w for part in (*model.encoders.values(), *model.decoders.values()) for w in part.weights]
    assert sorted(shapes) == sorted(list(weight.shape) for weight in weights)


def test_pruning_leaves_outputs_and_side_effects(tmp_path):
    class Halves(tf.Module):
        def __init__(self):
            self.calls = tf.Variable(0)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def half(self, x):
            tf.exp(x, name="never_used")
            self.calls.assign_add(1)
            tf.debugging.assert_non_negative(x)
            return tf.map_fn(lambda row: row / 2.0, x)

    tf.saved_model.save(Halves(), str(tmp_path))
    before = (tmp_path / "saved_model.pb").read_bytes()
    pruning.prune(tmp_path)
    after = (tmp_path / "saved_model.pb").read_bytes()
    assert b"never_used" in before and b"never_used" not in after and len(after) < len(before)
    halves = tf.saved_model.load(str(tmp_path))
    for _ in range(2):
        np.testing.assert_allclose(
            halves.half(tf.constant([1.0, 2.0])), [0.5, 1.0], rtol=3e-7
        )  # 2 units in the last place
    assert halves.calls.numpy() == 2
    with pytest.raises(tf.errors.InvalidArgumentError):
        halves.half(tf.constant([-1.0]))


def test_lookup_tables_go_along(tmp_path):
    layers = keras.layers
    numbers = layers.Lambda(lambda x: tf.cast(tf.round(x), tf.int64))
    network = keras.Sequential(
        [keras.Input((3,)), numbers, layers.IntegerLookup(vocabulary=[1, 2, 3]), layers.Embedding(5, 4)]
    )
    decoder = mopoe.Decoder(mopoe.networks.mlp_decoder(3, 2, (4,)), mopoe.likelihoods.Normal())
    model = mopoe.MultimodalVAE({"x": mopoe.GaussianEncoder(network, 2)}, {"x": decoder})
    x = np.array([[1, 2, 3], [3, 3, 7]], np.float32)
    encode = tf.saved_model.load(str(export.saved_model(model, tmp_path / "m"))).signatures["encode"]
    out = encode(x=tf.constant(x), has_x=tf.constant([True, True]))
    np.testing.assert_allclose(out["loc"], model.subset_posterior({"x": x}).loc, rtol=1e-5, atol=1e-6)


def test_versions_count_up_and_what_is_there_is_never_overwritten(tmp_path):
    model, path = small.model(("sensor",)), tmp_path / "my model"
    assert export.saved_model(model, path, version=3).name == "3"
    assert 'name: "my_model"' in (path / "models.config").read_text()
    umask = os.umask(0)
    os.umask(umask)
    assert (path / "3").stat().st_mode & 0o777 == 0o777 & ~umask  # readable by the server's user as any new file
    assert (path / "README.md").stat().st_mode & 0o777 == 0o666 & ~umask

    (path / "models.config").write_text("mine")
    assert export.saved_model(small.model(("word",)), path).name == "4"
    assert (path / "models.config").read_text() == "mine"
    text = (path / "README.md").read_text()
    assert "has_word" in text and "has_sensor" not in text

    with pytest.raises(FileExistsError, match="`version` must not exist yet. Received: version=3"):
        export.saved_model(model, path, version=3)
    with pytest.raises(ValueError, match="`version` must be a positive integer or None. Received: version=0"):
        export.saved_model(model, path, version=0)
    with pytest.raises(ValueError, match="`path` must be a folder. Received: .*which is a file"):
        export.saved_model(model, path / "README.md")
    files = {"README.md", "batching_parameters.txt", "models.config", "monitoring.config"}
    assert {child.name for child in path.iterdir()} == {"3", "4"} | files


def test_another_process_takes_the_version_meanwhile(tmp_path):
    publish = sys.modules["tf_mopoe.export.saved_model"].publish
    for name in ("1", "2", "007", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("theirs")
    (tmp_path / "8").write_text("a file")
    (tmp_path / "aside").mkdir()
    for version in (2, 7, 8):
        with pytest.raises(FileExistsError, match=f"Received: version={version}"):
            export.saved_model(small.model(("sensor",)), tmp_path, version=version)
    with pytest.raises(FileExistsError, match="Received: version=2"):  # was free when it was looked at
        publish(tmp_path / "aside", tmp_path, 2)
    assert publish(tmp_path / "aside", tmp_path, None).name == "9"
    assert (tmp_path / "2" / "file").read_text() == "theirs"


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def broken(model, endpoints, name, path):
        path.mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys.modules["tf_mopoe.export.saved_model"], "write", broken)
    with pytest.raises(OSError, match="No space left"):
        export.saved_model(small.model(("sensor",)), tmp_path / "m")
    assert list((tmp_path / "m").iterdir()) == []


def test_writes_that_fail_anywhere_leave_what_was_there(tmp_path):
    model = small.model(("sensor",))
    version = export.saved_model(model, tmp_path / "m")
    before = {path: path.read_bytes() for path in (tmp_path / "m").rglob("*") if path.is_file()}
    sizes = sorted(path.stat().st_size for path in version.rglob("*") if path.is_file())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in sizes[-3:]:  # no file can grow to this size: the largest fails, the two largest, the three
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, limits[1]))
        try:
            with pytest.raises((OSError, tf.errors.OpError)):
                export.saved_model(model, tmp_path / "m")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert {path: path.read_bytes() for path in (tmp_path / "m").rglob("*") if path.is_file()} == before


POLL = """
import json, pathlib, sys

def files(folder):
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}

path, seen, done = pathlib.Path(sys.argv[1]), {}, False
print("polling", flush=True)
while not done:
    done = (path / "done").exists()  # before the last look, which a slow reader may need
    for child in list(path.iterdir()):
        if child.name.isdigit() and child.name not in seen:
            seen[child.name] = files(child)
print(json.dumps(seen))
"""


def test_another_process_that_polls_sees_whole_versions_only(tmp_path):
    model, sensor = small.model(("sensor",)), small.rows(3)["sensor"]
    reader = start([sys.executable, "-c", POLL, str(tmp_path)])
    assert reader.stdout.readline() == "polling\n"
    versions = [export.saved_model(model, tmp_path) for _ in range(2)]
    (tmp_path / "done").touch()
    seen = json.loads(finish(reader))
    assert sorted(seen) == ["1", "2"]
    for version in versions:
        assert seen[version.name] == {
            str(path.relative_to(version)): path.stat().st_size for path in version.rglob("*") if path.is_file()
        }
        assert set(seen[version.name]) >= {
            "saved_model.pb",
            "variables/variables.index",
            "variables/variables.data-00000-of-00001",
            "assets.extra/tf_serving_warmup_requests",
        }
        encode = tf.saved_model.load(str(version)).signatures["encode"]
        loc = encode(sensor=tf.constant(sensor), has_sensor=tf.ones([3], tf.bool))["loc"]
        np.testing.assert_allclose(loc, model.subset_posterior({"sensor": sensor}).loc, rtol=1e-5, atol=1e-6)


def test_the_trainer_exports_a_run(tmp_path):
    model = small.model(("word", "sensor"))
    model.save(tmp_path / "model.keras")
    flags = [f"--run={tmp_path}", "--version=5", "--num_samples=4"]
    output = main("export", *flags)
    target = tmp_path / "saved_model" / "5"
    assert str(target) in output
    assert f'name: "{tmp_path.name}"' in (target.parent / "models.config").read_text()
    rows = signature_rows.every_subset(model.modalities)
    answers = run(tf.saved_model.load(str(target)).signatures, signature_rows.requests(model, rows))
    np.testing.assert_allclose(answers["encode"]["loc"], model.subset_posterior(rows).loc, rtol=1e-5, atol=1e-6)
    row = {key: value[:1] for key, value in rows.items()}
    nats = keras.models.load_model(tmp_path / "model.keras").log_likelihood(row, num_samples=4, seed=3)
    np.testing.assert_allclose(answers["log_likelihood"]["log_likelihood"][:1], nats, rtol=1e-5)
