"""Data sets: functions that return (inputs, labels), and the pairing of rows by label."""

from tf_mopoe.datasets.celeba import celeba
from tf_mopoe.datasets.digits import free_spoken_digits, load_digits
from tf_mopoe.datasets.mnist_svhn_text import mnist_svhn_text
from tf_mopoe.datasets.pairing import pair_by_label
from tf_mopoe.datasets.polymnist import polymnist
from tf_mopoe.datasets.rows import Rows

__all__ = ["Rows", "celeba", "free_spoken_digits", "load_digits", "mnist_svhn_text", "pair_by_label", "polymnist"]
