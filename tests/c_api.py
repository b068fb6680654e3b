"""A SavedModel run by TensorFlow's C++ runtime, through its C API: no Python TensorFlow, no Keras.

    python tests/c_api.py VERSION_FOLDER requests.npz answers.npz

runs every request (arrays `<signature>/<input>`), replays the warm-up file, and leaves the answers. The only parts of the
wheel that are imported are the generated classes of its protocol buffers. `in_a_process` does that for a test.
"""

import ctypes
import importlib.util
import pathlib
import struct
import subprocess
import sys
import types

import numpy as np

WHEEL = pathlib.Path(importlib.util.find_spec("tensorflow").origin).parent
DTYPES = {1: np.float32, 3: np.int32, 10: np.bool_}  # of the enum TF_DataType


class Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("deallocator", ctypes.c_void_p)]


class Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def without_python_tensorflow():
    """Makes `tensorflow.core...` importable without running TensorFlow's own `__init__`."""
    package = types.ModuleType("tensorflow")
    package.__path__ = [str(WHEEL)]
    sys.modules["tensorflow"] = package


def check_imports():
    loaded = [name for name in sys.modules if name.startswith(("tensorflow.python", "keras", "tf_keras"))]
    assert not loaded, loaded


def library():
    lib = ctypes.CDLL(str(WHEEL / "libtensorflow_cc.so.2"))  # RTLD_LOCAL: other libraries keep their own symbols
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    functions = {
        "TF_NewStatus": (pointer, []),
        "TF_GetCode": (ctypes.c_int, [pointer]),
        "TF_Message": (ctypes.c_char_p, [pointer]),
        "TF_NewGraph": (pointer, []),
        "TF_NewSessionOptions": (pointer, []),
        "TF_NewBuffer": (ctypes.POINTER(Buffer), []),
        "TF_LoadSessionFromSavedModel": (
            pointer,
            [
                pointer,
                pointer,
                ctypes.c_char_p,
                ctypes.POINTER(ctypes.c_char_p),
                ctypes.c_int,
                pointer,
                pointer,
                pointer,
            ],
        ),
        "TF_GraphOperationByName": (pointer, [pointer, ctypes.c_char_p]),
        "TF_AllocateTensor": (pointer, [ctypes.c_int, ctypes.POINTER(ctypes.c_int64), ctypes.c_int, size]),
        "TF_DeleteTensor": (None, [pointer]),
        "TF_TensorData": (pointer, [pointer]),
        "TF_TensorType": (ctypes.c_int, [pointer]),
        "TF_TensorByteSize": (size, [pointer]),
        "TF_NumDims": (ctypes.c_int, [pointer]),
        "TF_Dim": (ctypes.c_int64, [pointer, ctypes.c_int]),
        "TF_SessionRun": (
            None,
            [pointer, pointer, *[pointer, pointer, ctypes.c_int] * 2, pointer, ctypes.c_int, pointer, pointer],
        ),
    }
    for name, (result, arguments) in functions.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Runtime:
    """`signatures`: {name: SignatureDef}, as the loader returns them; `run(signature, {input: array})`."""

    def __init__(self, folder):
        from tensorflow.core.protobuf import meta_graph_pb2

        self.lib = library()
        self.status, self.graph = self.lib.TF_NewStatus(), self.lib.TF_NewGraph()
        meta_graph = self.lib.TF_NewBuffer()
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = self.lib.TF_LoadSessionFromSavedModel(
            self.lib.TF_NewSessionOptions(), None, str(folder).encode(), tags, 1, self.graph, meta_graph, self.status
        )
        self.check()
        data = ctypes.string_at(meta_graph.contents.data, meta_graph.contents.length)
        definitions = meta_graph_pb2.MetaGraphDef.FromString(data).signature_def
        self.signatures = {name: value for name, value in definitions.items() if value.method_name}

    def check(self):
        if self.lib.TF_GetCode(self.status):
            raise RuntimeError(self.lib.TF_Message(self.status).decode())

    def output(self, name):
        operation, index = name.split(":")
        return Output(self.lib.TF_GraphOperationByName(self.graph, operation.encode()), int(index))

    def run(self, signature, values):
        definition = self.signatures[signature]
        if set(values) != set(definition.inputs):
            raise ValueError(f"{signature} takes {sorted(definition.inputs)}. Received: {sorted(values)}")
        for key, info in definition.inputs.items():
            if values[key].dtype != DTYPES[info.dtype]:
                raise ValueError(f"{signature}: {key} is of dtype {values[key].dtype}")
        feeds = (Output * len(values))(*[self.output(definition.inputs[key].name) for key in values])
        tensors = (ctypes.c_void_p * len(values))(*[self.tensor(value) for value in values.values()])
        fetches = (Output * len(definition.outputs))(*[self.output(o.name) for o in definition.outputs.values()])
        results = (ctypes.c_void_p * len(definition.outputs))()
        self.lib.TF_SessionRun(
            self.session, None, feeds, tensors, len(feeds), fetches, results, len(fetches), None, 0, None, self.status
        )
        for tensor in tensors:
            self.lib.TF_DeleteTensor(tensor)
        self.check()
        return {key: self.array(tensor) for key, tensor in zip(definition.outputs, results)}

    def tensor(self, value):
        value = np.require(value, requirements="C")
        dtype = next(number for number, kind in DTYPES.items() if kind == value.dtype)
        shape = (ctypes.c_int64 * value.ndim)(*value.shape)
        tensor = self.lib.TF_AllocateTensor(dtype, shape, value.ndim, value.nbytes)
        ctypes.memmove(self.lib.TF_TensorData(tensor), value.ctypes.data, value.nbytes)
        return tensor

    def array(self, tensor):
        shape = [self.lib.TF_Dim(tensor, axis) for axis in range(self.lib.TF_NumDims(tensor))]
        data = ctypes.string_at(self.lib.TF_TensorData(tensor), self.lib.TF_TensorByteSize(tensor))
        dtype = DTYPES[self.lib.TF_TensorType(tensor)]
        self.lib.TF_DeleteTensor(tensor)
        return np.frombuffer(data, dtype).reshape(shape)


def array_of(proto):
    """A TensorProto's array: packed, or listed with the last value repeated."""
    dtype, shape = DTYPES[proto.dtype], [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_content:
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    values = list({1: proto.float_val, 3: proto.int_val, 10: proto.bool_val}[proto.dtype])
    count = int(np.prod(shape))
    return np.array((values + values[-1:] * count)[:count], dtype).reshape(shape)


def requests_of(folder):
    """The PredictRequests of the warm-up file, read by the official classes."""
    from tensorflow_serving.apis import prediction_log_pb2

    data, at = (pathlib.Path(folder) / "assets.extra" / "tf_serving_warmup_requests").read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)  # then its checksum, the record, the record's checksum
        record = prediction_log_pb2.PredictionLog.FromString(data[at + 12 : at + 12 + length])
        assert record.WhichOneof("log_type") == "predict_log"
        yield record.predict_log.request
        at += 16 + length


def replay(runtime, folder):
    """Runs the warm-up requests; {signature: {output: array}}."""
    return {
        request.model_spec.signature_name: runtime.run(
            request.model_spec.signature_name, {key: array_of(value) for key, value in request.inputs.items()}
        )
        for request in requests_of(folder)
    }


def in_a_process(version, requests, folder):
    """What an export answers to {signature: {input: array}}, {signature: {output: array}}, and what to its warm-up file."""
    given, made = folder / "requests.npz", folder / "answers.npz"
    np.savez(given, **{f"{s}/{key}": x for s, values in requests.items() for key, x in values.items()})
    command = [sys.executable, __file__, version, given, made]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    answers, warm = {}, {}
    with np.load(made) as arrays:
        for key in arrays.files:
            signature, name = key.split("/")
            into = warm if signature.startswith("warm-up ") else answers
            into.setdefault(signature.removeprefix("warm-up "), {})[name] = arrays[key]
    return answers, warm


def main(folder, requests, answers):
    without_python_tensorflow()
    runtime = Runtime(folder)
    given = {}
    with np.load(requests) as arrays:
        for key in arrays.files:
            signature, name = key.split("/")
            given.setdefault(signature, {})[name] = arrays[key]
    results = {signature: runtime.run(signature, values) for signature, values in given.items()}
    results |= {f"warm-up {signature}": values for signature, values in replay(runtime, folder).items()}
    check_imports()
    np.savez(answers, **{f"{s}/{name}": value for s, values in results.items() for name, value in values.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
