"""A small stand-in for tensorflow_model_server: the C++ runtime behind the official gRPC stubs, and REST's two forms.

    python tests/model_server.py MODEL_FOLDER

loads the newest version, replays its warm-up, and prints its gRPC and REST ports. It is not TF Serving: no batching, no
polling, and of REST only what `predict` documents.
"""

import json
import pathlib
import sys
from concurrent import futures
from http import server

import c_api
import numpy as np


def versions(folder):
    return sorted(int(child.name) for child in pathlib.Path(folder).iterdir() if child.name.isdigit())


def rpc_server(runtime, name):
    import grpc
    from tensorflow.core.framework import tensor_pb2
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    def proto(array):
        result = tensor_pb2.TensorProto(dtype=1, tensor_content=array.tobytes())
        for size in array.shape:
            result.tensor_shape.dim.add(size=size)
        return result

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            if request.model_spec.name != name:
                context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request.model_spec.name}")
            signature = request.model_spec.signature_name or "serving_default"
            try:
                values = {key: c_api.array_of(value) for key, value in request.inputs.items()}
                outputs = runtime.run(signature, values)
            except (KeyError, ValueError, RuntimeError) as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            return predict_pb2.PredictResponse(outputs={key: proto(value) for key, value in outputs.items()})

    result = grpc.server(futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), result)
    port = result.add_insecure_port("127.0.0.1:0")
    result.start()
    return result, port


def rest_server(runtime, name):
    class Handler(server.BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.path == f"/v1/models/{name}:predict"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = json.dumps(predict(runtime, body)).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_):
            pass

    return server.HTTPServer(("127.0.0.1", 0), Handler)


def predict(runtime, body):
    """REST's row form ("instances") and column form ("inputs"); a single input or output goes without its name."""
    signature = body.get("signature_name", "serving_default")
    inputs = runtime.signatures[signature].inputs
    if "instances" in body:
        rows = body["instances"]
        named = isinstance(rows[0], dict)
        columns = {key: [row[key] for row in rows] for key in rows[0]} if named else {next(iter(inputs)): rows}
    else:
        columns = body["inputs"] if isinstance(body["inputs"], dict) else {next(iter(inputs)): body["inputs"]}
    arrays = {key: np.array(value, c_api.DTYPES[inputs[key].dtype]) for key, value in columns.items()}
    outputs = {key: value.tolist() for key, value in runtime.run(signature, arrays).items()}
    if "inputs" in body:
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}
    rows = [dict(zip(outputs, row)) for row in zip(*outputs.values())]
    return {"predictions": rows if len(outputs) > 1 else next(iter(outputs.values()))}


def main(folder):
    c_api.without_python_tensorflow()
    version = pathlib.Path(folder) / str(versions(folder)[-1])
    runtime, name = c_api.Runtime(version), pathlib.Path(folder).name
    c_api.replay(runtime, version)
    rpc, port = rpc_server(runtime, name)  # serves as long as it is referred to
    rest = rest_server(runtime, name)
    c_api.check_imports()
    print(port, rest.server_port, flush=True)
    rest.serve_forever()
    rpc.stop(None)


if __name__ == "__main__":
    main(*sys.argv[1:])
