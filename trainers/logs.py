"""What the trainers' commands print of the libraries below them."""

import tensorflow as tf
from absl import flags, logging


def warnings_only():
    """Warnings and errors alone, unless --verbosity asks for more: an export tells much."""
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
        tf.get_logger().setLevel("WARNING")
