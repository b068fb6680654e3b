"""The environment of the library that ours is compared with, MultiVae (PyTorch)."""

import subprocess

from absl import app

INSTALL = """
python3 -m venv peer
peer/bin/pip install torch==2.13.0 numpy pydantic scipy scikit-learn pandas nltk cloudpickle imageio tqdm matplotlib pillow
peer/bin/pip install --no-deps multivae==1.0.3 pythae==0.1.2
"""


def check(python):
    """Raise a usage error, with how to make one, unless --peer is the python of an environment that has MultiVae."""
    if not has_peer(python):
        raise app.UsageError(
            f"--peer must be the python of an environment that has MultiVae. Received: {python}. To make one, for "
            f"--peer=peer/bin/python:\n{INSTALL}"
        )


def has_peer(python):
    try:
        command = [python, "-I", "-c", "from importlib.metadata import version; version('multivae')"]
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False
