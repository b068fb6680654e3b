"""One encoder as the bytes of a .tflite file, verified against the Keras encoder before it is returned."""

import json
import math
import re
import tempfile
import warnings

import keras
import numpy as np
import tensorflow as tf

from tf_mopoe.families import bounded
from tf_mopoe.names import plain_name

# The largest error of a converted file on a few rows, as a share of what the encoder gives there (both as roots of mean
# squares). What passes may still be of little use with "int8": measure it (docs/edge.md).
TOLERANCES = {None: 1e-4, "float16": 1e-2, "dynamic": 0.2, "int8": 0.2}


def converted(encoder, name, shape, quantization, rows):
    """Return the file's bytes.

    Args:
        encoder: built `GaussianEncoder` of x [B, *shape].
        name: the modality's; the plain one is its input's in the file.
        quantization: see `tflite_encoders`.
        rows: float32 [N, *shape], for the ranges of "int8" and for the check; or None.

    Raises:
        ValueError: if it cannot be converted, or gives something else than the encoder.
        ImportError: without ai-edge-litert.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError("tflite_encoders needs ai-edge-litert (pip install tf_mopoe[edge])") from error
    encoder = in_float32(encoder, shape)
    content = convert(encoder, name, shape, quantization, rows)
    x = np.random.default_rng(0).random((4, *shape), np.float32).astype(encoder.x_dtype) if rows is None else rows[:32]
    made = Interpreter(model_content=content).get_signature_runner("encode")(**{plain_name(name): x})
    check(made, outputs(encoder, encoder.network_input(tf.constant(x))), name, quantization)
    return content


def in_float32(encoder, shape):
    """Return the encoder, or a float32 copy of one in mixed precision, which LiteRT's operations do not support."""
    stated = json.dumps(encoder.get_config())  # a loaded network's own dtype says nothing of its layers'
    config = re.sub(r'"(mixed_)?b?float16"', '"float32"', stated)
    if config == stated:
        return encoder
    copy = encoder.from_config(json.loads(config))
    copy.build((None, *shape))
    copy.set_weights(encoder.get_weights())
    return copy


def convert(encoder, name, shape, quantization, rows):
    """Convert to the bytes of the .tflite."""

    def encode(x):
        features = encoder.features(encoder.network_input(x), training=False)

        def scale(
            log_variance,
        ):  # the same as exp: the int8 converter would put that into 8 bits too, and a small one to 0
            return tf.pow(math.e, 0.5 * bounded(log_variance))

        made = {"loc": encoder.loc_head(features), "scale": scale(encoder.log_variance_head(features))}
        if encoder.private_dim:
            made["private_loc"] = encoder.private_loc_head(features)
            made["private_scale"] = scale(encoder.private_log_variance_head(features))
        return made

    archive = keras.export.ExportArchive()
    archive.track(encoder)
    spec = tf.TensorSpec([None, *shape], encoder.x_dtype, name=plain_name(name))
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
            converter.representative_dataset = lambda: ({plain_name(name): row[None]} for row in rows)
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


def outputs(encoder, network_input):
    """Return what the file gives, by Keras: {"loc": [B, D], "scale": [B, D]}, and likewise of private latent variables."""
    shared, private = encoder.posteriors(network_input, training=False)
    return dict(zip(("loc", "scale", "private_loc", "private_scale"), (*shared, *private)))


def check(made, expected, name, quantization):
    """Raise unless `made`, what the file gives, is what the encoder gives: a file may be without its weights."""
    made, expected = (
        np.concatenate([np.asarray(values[key]) for key in sorted(expected)], 1) for values in (made, expected)
    )
    with np.errstate(over="ignore", invalid="ignore"):
        error = float(np.sqrt(np.mean((made - expected) ** 2) / np.mean(expected**2)))
    if not error <= TOLERANCES[quantization]:
        raise ValueError(
            f"The file of encoders[{name!r}] must give what the encoder gives. Received: a relative error of {error:.2g} "
            f"with quantization={quantization!r}. More (and more varied) representative rows may help, or a milder one"
        )
