"""Ways out of Python: a SavedModel for TF Serving."""

from tf_mopoe.export.saved_model import saved_model

__all__ = ["saved_model"]
