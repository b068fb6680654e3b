"""Export to TF Serving (a SavedModel) and LiteRT (.tflite encoders for devices), and the fusion of devices' experts."""

from tf_mopoe.export.fusion import fuse, usable_rows
from tf_mopoe.export.saved_model import saved_model
from tf_mopoe.export.tflite import tflite_encoders

__all__ = ["fuse", "saved_model", "tflite_encoders", "usable_rows"]
