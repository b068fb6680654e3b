"""An export where Python TensorFlow and Keras are not: the C++ runtime, the official protos, gRPC and REST calls."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.request

import c_api
import numpy as np
import ports
import pytest
import signature_rows
import small
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

pytestmark = pytest.mark.integration

TESTS = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def cases(exported):
    rows = signature_rows.every_subset(tuple(small.SHAPES))
    return signature_rows.requests(exported[0], rows), signature_rows.expected(exported[0], rows)


def test_without_python_tensorflow_every_signature_equals_keras(exported, cases, tmp_path):
    requests, truth = cases
    answers, warm = c_api.in_a_process(exported[1], requests, tmp_path)
    signature_rows.assert_equal(answers, truth)
    assert set(warm) == set(truth)
    for signature, outputs in warm.items():
        assert {name: (1, *value.shape[1:]) for name, value in truth[signature].items()} == {
            name: value.shape for name, value in outputs.items()
        }
        assert all(np.isfinite(value).all() for value in outputs.values())


def test_warm_up_requests_are_what_the_official_protos_write(exported):
    model, path = exported
    records = tf.data.TFRecordDataset(str(path / "assets.extra" / "tf_serving_warmup_requests"))  # checks the checksums
    requests = {}
    for record in records.as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        request = log.predict_log.request
        values = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        requests[request.model_spec.signature_name] = values
        same = prediction_log_pb2.PredictionLog()  # written by the official classes: nothing else is in the record
        same.predict_log.request.model_spec.name = "small"
        same.predict_log.request.model_spec.signature_name = request.model_spec.signature_name
        for key, value in values.items():
            once = tf.make_tensor_proto(value.flat[0], shape=value.shape)  # one value, repeated by whoever reads it
            same.predict_log.request.inputs[key].CopyFrom(once)
        assert log == same and len(record) == same.ByteSize()
    loaded = tf.saved_model.load(str(path)).signatures
    assert set(requests) == set(loaded)
    for signature, values in requests.items():
        specs = loaded[signature].structured_input_signature[1]
        assert {key: (1, *spec.shape[1:]) for key, spec in specs.items()} == {k: v.shape for k, v in values.items()}
    row = requests["encode"]
    assert all(row[f"has_{name}"].all() for name in model.modalities)
    np.testing.assert_allclose(
        loaded["encode"](**{k: tf.constant(v) for k, v in row.items()})["loc"],
        model.subset_posterior({name: row[name] for name in model.modalities}).loc,
        rtol=1e-5,
        atol=1e-6,
    )


def message(name, fields):
    """A message class from {field: (number, type, label, type name)}; those that tensorflow-serving-api does not have."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto", package="made", syntax="proto3", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for kind, members in fields.items():
        made = file.message_type.add(name=kind)
        for key, (number, type_, repeated) in members.items():
            field = made.field.add(name=key, number=number, label=kinds.LABEL_REPEATED if repeated else 1)
            if type_.startswith("."):
                field.type, field.type_name = kinds.TYPE_MESSAGE, type_
            else:
                field.type = kinds.Type.Value(f"TYPE_{type_}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"made.{name}"))()


def test_the_configurations_parse(exported):
    folder = exported[1].parent
    config = text_format.Parse((folder / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("small", "/models/small", "tensorflow")

    # Of the following two the published fields (session_bundle_config.proto, monitoring_config.proto): see docs/serving.md.
    number, text = ".google.protobuf.Int64Value", ".google.protobuf.StringValue"
    batching = {
        "max_batch_size": (1, number, False),
        "batch_timeout_micros": (2, number, False),
        "max_enqueued_batches": (3, number, False),
        "num_batch_threads": (4, number, False),
        "thread_pool_name": (5, text, False),
        "allowed_batch_sizes": (6, "INT64", True),
        "pad_variable_length_inputs": (7, "BOOL", False),
    }
    parameters = message("BatchingParameters", {"BatchingParameters": batching})
    text_format.Parse((folder / "batching_parameters.txt").read_text(), parameters)
    sizes = list(parameters.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)) and sizes[-1] == parameters.max_batch_size.value == 128
    monitoring = {
        "PrometheusConfig": {"enable": (1, "BOOL", False), "path": (2, "STRING", False)},
        "MonitoringConfig": {"prometheus_config": (1, ".made.PrometheusConfig", False)},
    }
    parsed = message("MonitoringConfig", monitoring)
    text_format.Parse((folder / "monitoring.config").read_text(), parsed)
    assert parsed.prometheus_config.enable and parsed.prometheus_config.path.startswith("/")


def stand_in(folder):
    command = [sys.executable, TESTS / "model_server.py", folder]
    with open(folder.parent / "server.log", "w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = process.stdout.readline()
        assert line, (folder.parent / "server.log").read_text()
    return process, *map(int, line.split())


def tensorflow_model_server(folder):
    binary = os.environ.get("TF_MODEL_SERVER") or shutil.which("tensorflow_model_server")
    if not binary:
        pytest.skip("needs the real server: name it in TF_MODEL_SERVER, or have tensorflow_model_server on PATH")
    return ports.attempt(2, lambda numbers: started_at(numbers, binary, folder))


def started_at(numbers, binary, folder):
    """The server's process and its gRPC and REST ports."""
    rpc, rest = numbers
    config = folder.parent / "models.config"
    config.write_text((folder / "models.config").read_text().replace("/models/small", str(folder)))
    flags = [
        f"--port={rpc}",
        f"--rest_api_port={rest}",
        f"--model_config_file={config}",
        f"--monitoring_config_file={folder / 'monitoring.config'}",
        "--enable_batching",
        f"--batching_parameters_file={folder / 'batching_parameters.txt'}",
    ]
    with open(folder.parent / "server.log", "w") as log:
        process = subprocess.Popen([binary, *flags], stdout=log, stderr=log)
    for _ in range(600):
        if process.poll() is not None:
            ports.check((folder.parent / "server.log").read_text())
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{rest}/v1/models/small") as response:
                if "AVAILABLE" in response.read().decode():
                    return process, rpc, rest
        except OSError:
            pass
        time.sleep(0.1)
    process.kill()
    raise AssertionError((folder.parent / "server.log").read_text())


@pytest.fixture(scope="module", params=[stand_in, tensorflow_model_server], ids=lambda start: start.__name__)
def served(request, exported):
    process, *numbers = request.param(exported[1].parent)
    yield numbers
    process.terminate()
    process.wait(timeout=30)
    if process.stdout:
        process.stdout.close()


def blocks(path, served):
    """The Python of a document, with its ports replaced."""
    text = path.read_text().replace("localhost:8500", f"127.0.0.1:{served[0]}")
    text = text.replace("localhost:8501", f"127.0.0.1:{served[1]}")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_documented_client_makes_every_call(exported, cases, served):
    (code,) = blocks(TESTS.parent / "docs" / "serving.md", served)
    names = {}
    exec(code, names)
    call, (requests, truth) = names["connect"](f"127.0.0.1:{served[0]}", "small"), cases
    signature_rows.assert_equal({s: call(s, values) for s, values in requests.items()}, truth)
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        call("encode", {key: value for key, value in requests["encode"].items() if key != "has_word"})


def test_the_readme_of_an_export_runs_as_printed(exported, served):
    model, path = exported
    rest, rpc = blocks(path.parent / "README.md", served)
    by_rest, by_rpc = {}, {}
    exec(rest, by_rest)
    exec(rpc, by_rpc)
    assert set(by_rpc["results"]) == set(tf.saved_model.load(str(path)).signatures) - {"serving_default"}
    given = {"image": np.zeros((1, *small.SHAPES["image"]), np.float32)}
    for row, seed in enumerate((1, 2)):
        for name, value in model.translate(given, seed=seed).items():
            for made in (by_rest["by_column"][name], [r[name] for r in by_rest["by_row"]]):
                np.testing.assert_allclose(made[row], value[0], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(by_rpc["results"]["translate"][name][row], value[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_rpc["results"]["encode"]["loc"][:1], model.subset_posterior(given).loc, atol=1e-5)


def test_the_curl_lines_of_an_export(exported, served):
    text = (exported[1].parent / "README.md").read_text()
    bodies = [json.loads(body) for body in re.findall(r"curl -d '(.*)' \$url", text)]
    answers = []
    for body in bodies:
        url = f"http://127.0.0.1:{served[1]}/v1/models/small:predict"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode())) as response:
            answers.append(json.load(response))
    rows, columns = answers[0]["predictions"], answers[1]["outputs"]
    for index, seed in enumerate((1, 2)):
        for name, value in exported[0].generate(1, seed=seed).items():
            np.testing.assert_allclose(rows[index][name], value[0], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(columns[name][index], value[0], rtol=1e-4, atol=1e-5)


def test_no_document_claims_the_real_server(exported):
    for path in (TESTS.parent / "docs" / "serving.md", exported[1].parent / "README.md"):
        text = " ".join(path.read_text().split())
        assert re.search("TF Serving itself has not been run|not by TF Serving itself", text)
