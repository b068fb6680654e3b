"""Short mains: train, evaluate, make the embedded data. `python -m trainers.train --helpfull`.

TensorFlow's notes on CUDA and oneDNN at its start are silenced; TF_CPP_MIN_LOG_LEVEL=0 shows them.
"""

import contextlib
import os


@contextlib.contextmanager
def silent_stderr():
    """Redirect what is written to file descriptor 2, by C++ too, to the null device."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") >= "2":  # before the import: later it is not read
    # Messages from TensorFlow's static initialisers and the search for GPUs ignore the level.
    with silent_stderr():
        import tensorflow

        tensorflow.config.list_physical_devices()
