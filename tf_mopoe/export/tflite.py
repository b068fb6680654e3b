"""Encoders as .tflite files, for devices that run LiteRT: they encode, a server fuses."""

import json
import math
import os
import pathlib
import re
import tempfile
import warnings

import keras
import numpy as np
import tensorflow as tf

import tf_mopoe
from tf_mopoe import inputs as reading
from tf_mopoe.export import fusion

# The largest error of a converted file on a few rows, as a share of what the encoder gives there (both as roots of mean
# squares). What passes may still be of little use with "int8": measure it (docs/edge.md).
TOLERANCES = {None: 1e-4, "float16": 1e-2, "dynamic": 0.2, "int8": 0.2}


def tflite_encoders(model, path, quantization=None, representative=None):
    """Writes `<path>/<name>.tflite` of every modality's encoder, x [B, E] -> loc and scale [B, D], float32 all.

    Each has one signature, "encode", with the modality's name as its input's, any number of rows B from 1, and only LiteRT's
    built-in operations. Beside it <name>.json says what goes in and comes out; fusion.py is a copy of `fuse`, which needs
    NumPy alone. All are converted, and run on a few rows against the encoder, before the first is written; each is
    written aside and renamed, and takes the place of one that is there.

    Args:
        model: `MultimodalVAE`.
        path: folder; made if need be.
        quantization: None (default: float32), "float16" (weights of half the size), "dynamic" (weights of 8 bits) or
            "int8" (weights and what runs through the network of 8 bits; the scale's exponential stays a float).
        representative: {name: [N, E]} of every modality, a few hundred rows such as the devices will see, and
            optionally flags `has_<name>`: needed for "int8", which takes the ranges of all values from them. Otherwise
            only the range of the data, for the .json.

    Returns:
        {name: `pathlib.Path`} of the .tflite files.

    Raises:
        ValueError: if `path` is a file, for an unknown `quantization`, `representative` rows that are missing or do not
            fit the model, a name that LiteRT cannot have, or a network that cannot be converted (or not so).
        ImportError: without ai-edge-litert.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError("tflite_encoders needs ai-edge-litert (pip install tf_mopoe[edge])") from error
    path = pathlib.Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"`path` must be a folder. Received: path={str(path)!r}, which is a file")
    if quantization not in TOLERANCES:
        raise ValueError(
            f'`quantization` must be None, "float16", "dynamic" or "int8". Received: quantization={quantization!r}'
        )
    for name in model.modalities:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise ValueError(f"A modality's name must be of a-z, A-Z, 0-9, '_', a letter first. Received: {name!r}")
    rows = representative_rows(model, quantization, representative)
    files = {}
    for name, encoder in model.encoders.items():
        shape = model.event_shapes[name]
        encoder = in_float32(encoder, shape)
        files[name] = convert(encoder, name, shape, quantization, rows.get(name))
        runner = Interpreter(model_content=files[name]).get_signature_runner("encode")
        check(runner, encoder, name, shape, quantization, rows.get(name))
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        replace(path / f"{name}.tflite", content)
        replace(path / f"{name}.json", json.dumps(card(model, name, quantization, rows.get(name)), indent=2).encode())
    replace(path / "fusion.py", pathlib.Path(fusion.__file__).read_bytes())
    return {name: path / f"{name}.tflite" for name in files}


def representative_rows(model, quantization, representative):
    """{name: float32 [N, E]}, of each modality the rows that have it."""
    if representative is None:
        if quantization == "int8":
            raise ValueError(
                '`representative` must hold rows of every modality for quantization="int8". Received: None'
            )
        return {}
    reading.check(representative, model.event_shapes)
    reading.check_values(representative, model.event_shapes, every_row=False)
    rows = {}
    for name in (name for name in model.modalities if name in representative):
        x = np.asarray(representative[name], np.float32)
        rows[name] = x[np.asarray(representative.get(reading.FLAG + name, np.ones(len(x), bool)))]
    counts = {name: len(rows.get(name, ())) for name in model.modalities}
    if not all(counts.values()):
        raise ValueError(f"`representative` must hold rows of every modality. Received: {counts}")
    return rows


def in_float32(encoder, shape):
    """The encoder, or a copy in float32 of one in mixed precision, which LiteRT's operations do not know."""
    config = json.dumps(encoder.get_config())
    single = re.sub(r'"(mixed_)?b?float16"', '"float32"', config)
    if single == config:
        return encoder
    copy = encoder.from_config(json.loads(single))
    copy.build((None, *shape))
    copy.set_weights(encoder.get_weights())
    return copy


def convert(encoder, name, shape, quantization, rows):
    """The bytes of the .tflite."""

    def encode(x):
        features = encoder.features(x, training=False)
        # The same as exp. The int8 converter would put that into 8 bits too, and round a small scale to 0.
        scale = tf.pow(math.e, 0.5 * encoder.log_variance_head(features))
        return {"loc": encoder.loc_head(features), "scale": scale}

    archive = keras.export.ExportArchive()
    archive.track(encoder)
    spec = tf.TensorSpec([None, *shape], tf.float32, name=name)
    archive.add_endpoint("encode", encode, input_signature=[spec])
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        # Other ways to the converter, such as from_concrete_functions, leave out the weights without a word.
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["encode"])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantization is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantization == "int8":
            converter.target_spec.supported_ops.insert(0, tf.lite.OpsSet.TFLITE_BUILTINS_INT8)
            converter.representative_dataset = lambda: ({name: row[None]} for row in rows)
        try:
            with warnings.catch_warnings():  # of the converter, that a part of its own is deprecated
                warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated", UserWarning)
                return converter.convert()
        except Exception as error:  # of a class that TensorFlow does not make public
            stopped = sorted(set(re.findall(r"'(tf\.\w+)' op", str(error)))) or [str(error)]
            raise ValueError(
                f"encoders[{name!r}] must be a network of LiteRT's built-in operations, for any number of rows. Received: "
                f"one whose conversion stopped at {', '.join(stopped)}. Recurrent layers need unroll=True (setting "
                "`layer.unroll = True` on a trained one will do), or another network in their place, such as "
                "convolutions"
            ) from error


def check(runner, encoder, name, shape, quantization, rows):
    """Runs the file on a few rows: one without its weights, or quantized to nothing, is an error here."""
    x = np.random.default_rng(0).random((4, *shape), np.float32) if rows is None else rows[:32]
    made = runner(**{name: x})
    expert = encoder(tf.constant(x), training=False)
    made, told = np.stack([made["loc"], made["scale"]]), np.stack([expert.loc, expert.stddev()])
    with np.errstate(over="ignore", invalid="ignore"):
        error = float(np.sqrt(np.mean((made - told) ** 2) / np.mean(told**2)))
    if not error <= TOLERANCES[quantization]:
        raise ValueError(
            f"The file of encoders[{name!r}] must give what the encoder gives. Received: a relative error of {error:.2g} "
            f"with quantization={quantization!r}. More (and more varied) representative rows may help, or a milder one"
        )


def card(model, name, quantization, rows):
    """What the .json says."""
    return {
        "modality": name,
        "signature": "encode",
        "input": {
            "name": name,
            "shape": [None, *model.event_shapes[name]],
            "dtype": "float32",
            "range": None if rows is None else [float(rows.min()), float(rows.max())],
        },
        "outputs": {key: [None, model.latent_dim] for key in ("loc", "scale")},
        "latent_dim": model.latent_dim,
        "quantization": quantization,
        "fusion": {"modalities": list(model.modalities), "prior_expert": model.mixture.prior_expert},
        "tf_mopoe": tf_mopoe.__version__,
    }


def replace(path, content):
    aside = path.with_name(f".part-{path.name}")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
