"""Requests that TF Serving replays when it loads a version, so that the first client does not wait."""

import tensorflow as tf

from tf_mopoe.export.signatures import SCALES


def write(path, name, signatures):
    """Write a TFRecord of one `PredictionLog` per signature, each a row of zeros (and unit scales).

    The messages are written field by field: tensorflow-serving-api, which has their classes, pins TensorFlow's version,
    and an export should not need it. The tests read them with those classes.

    Args:
        path: the file, `<version>/assets.extra/tf_serving_warmup_requests`.
        name: the model's name on the server.
        signatures: {name: list of `tf.TensorSpec`}.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, specs in signatures.items():
            writer.write(prediction_log(name, signature, {spec.name: example(spec) for spec in specs}))


def example(spec):
    """Return one row for an input, a `TensorProto`, every modality present. Its value is stored once, whatever the shape."""
    ones = spec.dtype == tf.bool or spec.name.startswith(SCALES)
    return tf.make_tensor_proto(spec.dtype.as_numpy_dtype(ones), shape=[1, *spec.shape[1:]])


def prediction_log(name, signature, inputs):
    """Return a `tensorflow.serving.PredictionLog` of a `PredictRequest`, bytes."""
    request = field(1, field(1, name.encode()) + field(3, signature.encode()))  # model_spec: name, signature_name
    for key, tensor in inputs.items():
        request += field(2, field(1, key.encode()) + field(2, tensor.SerializeToString()))  # inputs, a map
    return field(6, field(1, request))  # predict_log, its request


def field(number, payload):
    """Encode a length-delimited field of a protocol buffer."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value):
    head = bytearray()
    while value > 127:
        head.append(value & 127 | 128)
        value >>= 7
    return bytes([*head, value])
