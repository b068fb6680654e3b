"""The files beside a model's versions: TF Serving's configuration, and how to call this model."""

from tf_mopoe.export.signatures import SCALES, expert_parts
from tf_mopoe.inputs import FLAG
from tf_mopoe.names import plain_names

MAX_BATCH_SIZE = 128  # rows that the server joins into one batch

MODELS = """\
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
  }}
}}
"""
BATCHING = """\
# num_batch_threads: the number of cores; batch_timeout_micros: how long a request waits for others to join its batch.
max_batch_size {{ value: {size} }}
batch_timeout_micros {{ value: 1000 }}
max_enqueued_batches {{ value: 100 }}
num_batch_threads {{ value: 4 }}
{allowed}
"""
MONITORING = """\
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""
README = """\
# {name}

A multimodal VAE of {modalities} as a SavedModel for TensorFlow Serving: a folder for each version, which holds
its warm-up requests. Written by `tf_mopoe.export.saved_model`, and loaded and run through TensorFlow's C++ runtime, not by
TF Serving itself, in that project's tests.

## Start

In this folder:

    docker run --rm -p 127.0.0.1:8500:8500 -p 127.0.0.1:8501:8501 -v "$PWD:/models/{name}:ro" tensorflow/serving \\
        --model_config_file=/models/{name}/models.config \\
        --monitoring_config_file=/models/{name}/monitoring.config \\
        --enable_batching --batching_parameters_file=/models/{name}/batching_parameters.txt

gRPC is on port 8500, REST on 8501 (its figures for Prometheus at /monitoring/prometheus/metrics), for this machine alone:
`-p 8500:8500` opens a port to every network, without encryption or passwords. The three files are
yours to edit, a later export leaves them as they are. With batching a request may have {size} rows at most. New versions
are served as soon as they are here.

## Signatures

| signature | takes | gives |
|---|---|---|
{table}

Rows: {rows}, float, and flags: {flags}, bool [B]. Seed: `seed` int32 [B, 2].
Components{components}.

Send every input. Values that a flag marks as missing may be anything. The same row with the same seed gives the same result
in any batch.

## REST

    url=http://localhost:8501/v1/models/{name}:predict
    curl -d '{{"signature_name": "generate", "instances": [[1, 0], [2, 0]]}}' $url
    curl -d '{{"signature_name": "generate", "inputs": {{"seed": [[1, 0], [2, 0]]}}}}' $url

The first has row form, the second column form. A translation from {first} alone, in both:

```python
import json
import urllib.request

import numpy as np

columns = {{
{columns}
    "seed": np.array([[1, 0], [2, 0]]),
}}
columns = {{name: column.tolist() for name, column in columns.items()}}


def call(body):
    request = urllib.request.Request("http://localhost:8501/v1/models/{name}:predict", json.dumps(body).encode())
    with urllib.request.urlopen(request) as response:
        return json.load(response)


by_column = call({{"signature_name": "translate", "inputs": columns}})["outputs"]  # {{name: rows}}
rows = [dict(zip(columns, row)) for row in zip(*columns.values())]
by_row = call({{"signature_name": "translate", "instances": rows}})["predictions"]  # [{{name: row}}, ...]
```

## gRPC

With `pip install tensorflow-serving-api`:

```python
import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

channel = grpc.insecure_channel("localhost:8500", options=[("grpc.max_receive_message_length", -1)])  # default: 4 MB
stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict(signature, inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "{name}"
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    response = stub.Predict(request, timeout=30.0)
    return {{name: tf.make_ndarray(value) for name, value in response.outputs.items()}}


rows = {{
{columns}
}}
seed = {{"seed": np.array([[1, 0], [2, 0]], np.int32)}}
{parts}results = {{
{calls}
}}
```
"""
TABLE = {
    "translate": "`translate` (default) | rows, `seed` | every modality",
    "encode": "`encode` | rows | `loc`, `scale` [B, {D}] of q(z given what the row has)",
    "joint_posterior": "`joint_posterior` | rows | `weights` [B, {S}], `loc`, `scale` [B, {S}, {D}] of its components",
    "generate": "`generate` | `seed` | every modality",
    "fuse": "`fuse` | {parts}, flags, `seed` | {fused}every modality",
    "log_likelihood": "`log_likelihood` | rows, `seed` | `log_likelihood` [B], nats, from {K} samples per row",
}
CALLS = {
    "encode": "rows",
    "joint_posterior": "rows",
    "translate": "rows | seed",
    "generate": "seed",
    "fuse": "parts | flags | seed",
    "log_likelihood": "rows | seed",
}
PARTS = """\
parts = {{
{columns}
}}
flags = {{name: value for name, value in rows.items() if name.startswith("has_")}}
"""


def write(folder, name, model, num_samples, signatures):
    """Write models.config, batching_parameters.txt, monitoring.config and README.md into `folder`; return their paths.

    Args:
        folder: `pathlib.Path`.
        name: the model's name on the server.
        model: `MultimodalVAE`.
        num_samples: K of the signature `log_likelihood`.
        signatures: names of those that the export has.
    """
    sizes = [2**power for power in range(MAX_BATCH_SIZE.bit_length())]  # the last has to be the largest
    allowed = "\n".join(f"allowed_batch_sizes: {size}" for size in sizes)
    texts = {
        "models.config": MODELS.format(name=name),
        "batching_parameters.txt": BATCHING.format(size=MAX_BATCH_SIZE, allowed=allowed),
        "monitoring.config": MONITORING,
        "README.md": readme(name, model, num_samples, signatures),
    }
    for file, text in texts.items():
        (folder / file).write_text(text)
    return [folder / file for file in texts]


def readme(name, model, num_samples, signatures):
    plain, latent, layer = plain_names(model.modalities), model.latent_dim, model.mixture
    names = list(plain.values())
    shapes = {plain[name]: shape for name, shape in model.event_shapes.items()}
    if layer.draws(model.modalities):
        size, components = (
            layer.num_components,
            ": subsets of what the row has, drawn by the same numbers for every row",
        )
    else:
        subsets = layer.available_subsets(model.modalities)
        size, components = (
            len(subsets),
            ", in order: " + ", ".join(f"({' and '.join(plain[name] for name in subset)})" for subset in subsets),
        )
    columns = [f'    "{n}": np.zeros({[2, *shape]}, np.float32),' for n, shape in shapes.items()]
    columns += [f'    "{FLAG}{n}": np.array({[n == names[0]] * 2}),' for n in names]
    parts = expert_parts(model)
    part_columns = [
        f'    "{part}": np.{"ones" if part.startswith(SCALES) else "zeros"}({[2, size]}, np.float32),'
        for part, size in parts.items()
    ]
    figures = {
        "D": latent,
        "S": size,
        "K": num_samples,
        "parts": ", ".join(f"`{part}` [B, {size}]" for part, size in parts.items()),
        "fused": f"`loc`, `scale` [B, {latent}], " if "encode" in signatures else "",
    }
    return README.format(
        name=name,
        modalities=", ".join(names),
        size=MAX_BATCH_SIZE,
        table="\n".join(f"| {TABLE[n].format(**figures)} |" for n in TABLE if n in signatures),
        rows=", ".join(f"`{n}` [{', '.join(['B', *map(str, shape)])}]" for n, shape in shapes.items()),
        flags=", ".join(f"`{FLAG}{n}`" for n in names),
        components=components,
        first=names[0],
        columns="\n".join(columns),
        parts=PARTS.format(columns="\n".join(part_columns)) if "fuse" in signatures else "",
        calls="\n".join(f'    "{n}": predict("{n}", {takes}),' for n, takes in CALLS.items() if n in signatures),
    )
