"""Data sets: functions that return (inputs, labels), and what pairs them."""

from tf_mopoe.datasets.digits import free_spoken_digits, load_digits
from tf_mopoe.datasets.pairing import pair_by_label

__all__ = ["free_spoken_digits", "load_digits", "pair_by_label"]
