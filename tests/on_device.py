"""Python as on a device: LiteRT and NumPy, no TensorFlow, no Keras, no tf_mopoe."""

import os
import subprocess
import sys

import numpy as np

# A name that is None in sys.modules cannot be imported.
BLOCK = "import sys\nfor name in ('tensorflow', 'keras', 'tf_mopoe'):\n    sys.modules[name] = None\n"

ENCODE = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

given, made = dict(np.load(sys.argv[1])), {}
for key, x in given.items():  # folder/name -> rows
    interpreter = Interpreter(model_path=key + ".tflite")
    name = key.split("/")[-1]
    assert interpreter.get_signature_list() == {"encode": {"inputs": [name], "outputs": ["loc", "scale"]}}
    encode = interpreter.get_signature_runner("encode")
    whole = encode(**{name: x})
    for start, stop in ((0, 1), (1, 4), (4, len(x))):  # any number of rows; a row does not depend on its batch
        part = encode(**{name: x[start:stop]})
        for output in ("loc", "scale"):
            assert part[output].dtype == np.float32
            # "dynamic" rounds activations to 8 bits: the last bit of a sum may move one by a step.
            tolerance = 2e-3 if key.startswith("dynamic/") else 1e-5
            np.testing.assert_allclose(part[output], whole[output][start:stop], rtol=1e-4, atol=tolerance)
    made[key + "/loc"], made[key + "/scale"] = whole["loc"], whole["scale"]
np.savez(sys.argv[2], **made)
"""


def run(code, folder, *arguments):
    """Runs code there. TF_MOPOE_LITERT_PYTHON names another Python, such as one without TensorFlow, if need be."""
    python = os.environ.get("TF_MOPOE_LITERT_PYTHON", sys.executable)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [python, "-c", BLOCK + code, *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def encode(folder, rows):
    """Rows {"subfolder/name": [N, E]} through <folder>/<subfolder>/<name>.tflite: {"subfolder/name": (loc, scale)}."""
    np.savez(folder / "given.npz", **rows)
    run(ENCODE, folder, "given.npz", "made.npz")
    with np.load(folder / "made.npz") as made:
        return {key: (made[f"{key}/loc"], made[f"{key}/scale"]) for key in rows}
