"""Encoders on devices: .tflite files, run without TensorFlow, against Keras."""

import json
import pathlib
import sys

import keras
import numpy as np
import on_device
import pytest
import small
import tensorflow as tf
from keras import layers

import tf_mopoe as mopoe
from tf_mopoe import export
from tf_mopoe.networks import celeba, digits, mnist_svhn_text, polymnist

pytestmark = pytest.mark.integration

QUANTIZATIONS = (None, "float16", "dynamic", "int8")


def log_mel_network():
    """Convolutions on log-mels: the project's own network for them is dense."""
    convolution = {"strides": 2, "padding": "same", "activation": "relu"}
    return keras.Sequential(
        [keras.Input(digits.SPEECH), layers.Conv2D(8, 3, **convolution), layers.Conv2D(16, 3, **convolution)]
    )


# Every network that the project ships, and one for log-mels.
NETWORKS = {
    "table": ((7,), lambda: mopoe.networks.mlp_encoder(7)),
    "picture": (digits.IMAGE, digits.image_encoder),
    "speech": (digits.SPEECH, digits.speech_encoder),
    "word": (digits.WORD, digits.word_encoder),
    "log_mel": (digits.SPEECH, log_mel_network),
    "mnist": (mnist_svhn_text.MNIST, mnist_svhn_text.mnist_encoder),
    "svhn": (mnist_svhn_text.SVHN, mnist_svhn_text.svhn_encoder),
    "text": (mnist_svhn_text.TEXT, mnist_svhn_text.text_encoder),
    "view": (polymnist.VIEW, polymnist.encoder),
    "face": (celeba.IMAGE, celeba.image_encoder),
    "attributes": (celeba.TEXT, celeba.text_encoder),
}
FEW = ("table", "speech", "log_mel", "svhn")
# The largest error of loc (up to 1.4 here) and scale, and their errors' root mean square as a share of theirs, over all of
# these. float32 and float16: what was asked, five times and twice what was measured. Quantized: what was measured, 0.014
# and 0.017 (TensorFlow 2.21, LiteRT 2.3; 8 bits are steps of 1 / 255 of a range), and half as much more.
BOUNDS = {None: 1e-5, "float16": 1e-3, "dynamic": 0.02, "int8": 0.03}


def model_of(networks, latent_dim=4):
    """A model with these encoders, and the smallest decoders."""
    encoders = {name: mopoe.GaussianEncoder(make(), latent_dim) for name, (_, make) in networks.items()}
    decoders = {
        name: mopoe.Decoder(mopoe.networks.mlp_decoder(shape, latent_dim, (1,)), mopoe.likelihoods.Normal())
        for name, (shape, _) in networks.items()
    }
    return mopoe.MultimodalVAE(encoders, decoders, joint_posterior="mmvae")


def rows_of(model, count=16, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.random((count, *shape), np.float32) for name, shape in model.event_shapes.items()}


def written(folder, names, quantizations):
    """A model with these encoders, its rows, and (loc, scale) as a device gives them, {"quantization/name": ...}."""
    keras.utils.set_random_seed(0)
    model = model_of({name: NETWORKS[name] for name in names})
    rows = rows_of(model)
    for quantization in quantizations:
        export.tflite_encoders(model, folder / str(quantization), quantization, rows)
    return model, rows, on_device.encode(folder, {f"{q}/{n}": x for q in quantizations for n, x in rows.items()})


def check(model, rows, made, quantization):
    for name, encoder in model.encoders.items():
        expert = encoder(rows[name])
        for given, truth in zip(made[f"{quantization}/{name}"], (expert.loc.numpy(), expert.stddev().numpy())):
            error = np.abs(given - truth)
            share = np.sqrt(np.mean(error**2) / np.mean(truth**2))
            assert max(error.max(), share) < BOUNDS[quantization], (name, error.max(), share)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edge")
    return folder, *written(folder, FEW, QUANTIZATIONS)


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_networks_without_tensorflow(few, quantization):
    check(*few[1:], quantization)


@pytest.mark.slow
def test_every_network_of_the_project_without_tensorflow(tmp_path):
    model, rows, made = written(tmp_path, NETWORKS, QUANTIZATIONS)
    for quantization in QUANTIZATIONS:
        check(model, rows, made, quantization)


def test_the_files_hold_the_weights_and_no_more(few):
    folder, model, *_ = few
    for quantization, bytes_each in ((None, 4), ("float16", 2), ("dynamic", 1), ("int8", 1)):
        for name in ("speech", "svhn"):
            size = (folder / str(quantization) / f"{name}.tflite").stat().st_size
            weights = bytes_each * model.encoders[name].count_params()
            assert weights <= size < 1.1 * weights + 15000  # scales for each channel, and what to do


def test_the_json_says_what_goes_in_and_comes_out(few):
    folder, _, rows, _ = few
    assert json.loads((folder / "int8" / "svhn.json").read_text()) == {
        "modality": "svhn",
        "signature": "encode",
        "input": {
            "name": "svhn",
            "shape": [None, 32, 32, 3],
            "dtype": "float32",
            "range": [float(rows["svhn"].min()), float(rows["svhn"].max())],
        },
        "outputs": {"loc": [None, 4], "scale": [None, 4]},
        "latent_dim": 4,
        "density": "normal",
        "quantization": "int8",
        "fusion": {"modalities": list(FEW), "pooling": "product", "prior_expert": "none"},
        "tf_mopoe": mopoe.__version__,
    }


def test_devices_encode_and_a_server_without_tensorflow_fuses(tmp_path):
    model = small.model()
    inputs = small.with_missing(small.rows(9))
    export.tflite_encoders(model, tmp_path)
    np.savez(tmp_path / "inputs.npz", **inputs)
    on_device.run(
        """
import json
import pathlib
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from fusion import fuse

inputs, experts = dict(np.load("inputs.npz")), {}
rule = json.load(open("image.json"))["fusion"]
for name in rule["modalities"]:  # NaN in the rows that lack it goes through the encoder and stays there
    experts[name] = Interpreter(model_path=name + ".tflite").get_signature_runner("encode")(**{name: inputs[name]})
loc, scale = fuse(experts, has={name: inputs["has_" + name] for name in experts}, **rule)
np.savez("fused.npz", loc=loc, scale=scale)
""",
        tmp_path,
    )
    q = model.subset_posterior(inputs)
    with np.load(tmp_path / "fused.npz") as fused:
        np.testing.assert_allclose(fused["loc"], q.loc, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(fused["scale"], q.stddev(), rtol=1e-5, atol=1e-5)


def test_int8_keeps_small_scales(tmp_path):
    # Scales from 0.001 to 1: in 8 bits and even steps, 0.001 would be 0, and an expert of infinite precision.
    model = small.model(("sensor",), latent_dim=1)
    encoder = model.encoders["sensor"]
    network, heads = encoder.network, [encoder.loc_head, encoder.log_variance_head]
    network.set_weights([np.eye(7, 8, dtype=np.float32), np.zeros(8, np.float32)])
    for head in heads:
        head.set_weights([np.eye(8, 1, dtype=np.float32), np.zeros(1, np.float32)])
    heads[1].set_weights([np.eye(8, 1, dtype=np.float32) * 2 * np.log(1e-3), np.zeros(1, np.float32)])
    rows = {"sensor": np.linspace(0, 1, 101, dtype=np.float32)[:, None] * np.eye(1, 7, dtype=np.float32)}
    export.tflite_encoders(model, tmp_path, "int8", rows)
    _, scale = on_device.encode(tmp_path, rows | {"sensor": rows["sensor"]})["sensor"]
    # Half a step of the input, 1 / 510 (the features' step is as large), is 1.4 % of the scale here; three of them.
    np.testing.assert_allclose(np.log(scale[:, 0]), np.log(1e-3) * rows["sensor"][:, 0], atol=3 * 0.0136)


def test_recurrent_networks_must_be_unrolled(tmp_path):
    def gru():
        return keras.Sequential([keras.Input((5, 3)), layers.GRU(6, name="gru")])

    model = model_of({"table": NETWORKS["table"], "walk": ((5, 3), gru)})
    with pytest.raises(ValueError, match=r"encoders\['walk'\] must be .* at tf.TensorList.*need unroll=True"):
        export.tflite_encoders(model, tmp_path / "edge")
    assert not (tmp_path / "edge").exists()  # the other's file neither
    model.encoders["walk"].network.get_layer("gru").unroll = True
    export.tflite_encoders(model, tmp_path / "edge")
    x = rows_of(model)["walk"]
    loc, _ = on_device.encode(tmp_path / "edge", {"walk": x})["walk"]
    np.testing.assert_allclose(loc, model.encoders["walk"](x).loc, atol=1e-5)


def test_a_subclassed_network_with_batch_normalisation(tmp_path):
    class Network(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.parts = [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.MaxPooling2D(), layers.Dropout(0.5)]

        def call(self, x, training=False):
            for part in self.parts:
                x = part(x, training=training)
            return x

    model = model_of({"picture": (digits.IMAGE, Network)})
    x = rows_of(model)["picture"]
    model.encoders["picture"](x, training=True)  # moves the normalisation's averages
    export.tflite_encoders(model, tmp_path)
    loc, _ = on_device.encode(tmp_path, {"picture": x})["picture"]
    np.testing.assert_allclose(loc, model.encoders["picture"](x).loc, atol=1e-5)


def test_mixed_precision_becomes_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = small.model(("sensor",))
    keras.config.set_dtype_policy("float32")
    copy = small.model(("sensor",), seed=1)
    copy.set_weights(model.get_weights())
    export.tflite_encoders(model, tmp_path)
    x = small.rows(9)["sensor"]
    loc, _ = on_device.encode(tmp_path, {"sensor": x})["sensor"]
    np.testing.assert_allclose(loc, copy.encoders["sensor"](x).loc, atol=1e-5)
    assert np.abs(loc - model.encoders["sensor"](x).loc).max() > 1e-4  # 8 bits of mantissa


def test_mixed_precision_becomes_float32_in_a_loaded_model_too(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    small.model(("sensor",)).save(tmp_path / "m.keras")
    keras.config.set_dtype_policy("float32")
    model = keras.models.load_model(tmp_path / "m.keras")
    export.tflite_encoders(model, tmp_path)
    x = small.rows(9)["sensor"]
    loc, _ = on_device.encode(tmp_path, {"sensor": x})["sensor"]
    np.testing.assert_allclose(
        loc, model.encoders["sensor"](x).loc, atol=0.05
    )  # the model's own has 8 bits of mantissa


def test_rows_that_lack_a_modality_are_no_representatives(tmp_path):
    model = small.model()
    export.tflite_encoders(model, tmp_path, "int8", small.with_missing(small.rows(60)))
    low, high = json.loads((tmp_path / "image.json").read_text())["input"]["range"]
    assert 0.0 <= low < high <= 1.0


def test_errors_say_what_is_wrong(tmp_path, monkeypatch):
    model, rows = small.model(), small.rows(4)
    (tmp_path / "file").write_text("")
    for given, message in (
        ((model, tmp_path / "file"), "`path` must be a folder. Received: .*which is a file"),
        ((model, tmp_path, "int4"), "`quantization` must be None, .* Received: quantization='int4'"),
        ((model, tmp_path, "int8"), "`representative` must hold rows of every modality .* Received: None"),
        (
            (model, tmp_path, "int8", {"word": rows["word"]}),
            "`representative` must .* Received: {'image': 0, 'word': 4",
        ),
        ((model, tmp_path, None, {"word": rows["image"]}), "`word` must have shape"),
        ((model, tmp_path, None, rows | {"image": rows["image"] * np.nan}), "`image` must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            export.tflite_encoders(*given)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match=r"needs ai-edge-litert .pip install tf_mopoe\[edge\]"):
        export.tflite_encoders(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_without_weights_is_not_written(tmp_path, monkeypatch):
    def through_tf_saved_model(encoder, name, shape, *_):
        function = tf.function(lambda x: {"loc": encoder(x).loc, "scale": encoder(x).stddev()})
        signature = function.get_concrete_function(tf.TensorSpec([None, *shape], tf.float32, name=name))
        tf.saved_model.save(encoder, tmp_path / "saved", signatures={"encode": signature})
        return tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"), signature_keys=["encode"]).convert()

    monkeypatch.setattr(export.tflite.encoder_file, "convert", through_tf_saved_model)
    with pytest.raises(ValueError, match=r"file of encoders\['sensor'\] must give what the encoder gives"):
        export.tflite_encoders(small.model(("sensor",)), tmp_path / "edge")
    assert not (tmp_path / "edge").exists()


def test_files_are_replaced_whole(tmp_path, monkeypatch):
    model = small.model(("sensor",))
    export.tflite_encoders(model, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == ["fusion.py", "sensor.json", "sensor.tflite"]
    other = small.model(("sensor",), hidden_units=(9,))
    written = pathlib.Path.write_bytes

    def full(path, content):
        written(path, content[: len(content) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        export.tflite_encoders(other, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.undo()
    export.tflite_encoders(other, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(before)
    assert (tmp_path / "sensor.tflite").read_bytes() != before["sensor.tflite"]
