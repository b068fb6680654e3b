"""Short mains: train, evaluate, make the embedded data. `python -m trainers.train --helpfull`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported: no notes on drivers and kernels
