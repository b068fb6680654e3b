"""MNIST-SVHN-Text: a written digit, a house number's digit and the digit's name, paired by label."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from tf_mopoe.checks import check_choice, check_integer, check_path
from tf_mopoe.datasets import text
from tf_mopoe.datasets.download import find_or_fetch
from tf_mopoe.datasets.mnist import mnist
from tf_mopoe.datasets.pairing import pair_by_label
from tf_mopoe.datasets.rows import Rows
from tf_mopoe.reading import read, read_npz

LENGTH = 8  # characters of a text
GREY = "svhn_grey_digits.npz"
LAST_TRAIN_SOURCE = 10500  # of GREY: the digits of one house number are all in one split
MNIST = (
    "mnist.npz",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    "sha256",
)
SVHN = {
    "train": (
        "train_32x32.mat",
        "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
        "e26dedcc434d2e4c54c9b2d4a06d8373",
        "md5",
    ),
    "test": (
        "test_32x32.mat",
        "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
        "eb5a983be6a315427106f1b164d9cef3",
        "md5",
    ),
}


def mnist_svhn_text(
    data_dir: os.PathLike | str, split: str = "train", seed: int = 0, epoch: int = 0, download: bool = True
) -> tuple[Rows, np.ndarray]:
    """Load MNIST-SVHN-Text (Sutter et al. 2020, section 4.1; 2021, section 5.1): rows that share a digit, not a source.

    A row for every MNIST picture, with equally many rows of each digit; its SVHN picture and the offset of its text are
    drawn. The text is the digit's name in 8 characters, as one-hot over the 71 symbols of `datasets.text`. As in the
    official code the last character is always a blank.

    Args:
        data_dir: folder with MNIST (mnist.npz of Keras, or the four official idx files, gzipped or not) and cropped SVHN
            (train_32x32.mat and test_32x32.mat). What is absent is fetched into it (MNIST 11 MB, SVHN 182 and 64 MB).
            In place of the latter, svhn_grey_digits.npz (`images` uint8 [N, 32, 32], `labels`, `source_image`): grey
            digits cut from SVHN's test pictures, those up to number 10500 being the train split.
        split: "train" or "test".
        seed, epoch: integers. The same two give the same rows; another `epoch` pairs them differently.
        download: False: an absent file is an error.

    Returns:
        rows: `Rows` of {"mnist": [28, 28, 1] and "svhn": [32, 32, 3] in 0..1, "text": one-hot [8, 71]}, float32.
        labels: int64 [N], 0..9.

    Raises:
        ValueError: for an unknown split.
        FileNotFoundError: for a file that is absent and cannot be fetched; it gives the address.
    """
    check_choice("split", split, ("train", "test"))
    folder = pathlib.Path(check_path("data_dir", data_dir))
    seed, epoch = check_integer("seed", seed, low=0), check_integer("epoch", epoch, low=0)
    written, written_labels = read_mnist(folder, split, download)
    houses, house_labels = svhn(folder, split, download)
    # "test" is not "train" under another seed: the offsets of the texts would be the same ones.
    number = epoch if split == "train" else 10**6 + epoch
    index, labels = pair_by_label({"mnist": written_labels, "svhn": house_labels}, len(written), seed, number)
    names = texts(labels, np.random.default_rng([seed, number, 1]))
    # On the processor's memory as bytes, an eighth of what the rows as floats would take.
    written, houses, names = (tf.constant(array) for array in (written, houses, names))
    index = {name: tf.constant(rows) for name, rows in index.items()}

    def make(rows):
        picture = tf.gather(houses, tf.gather(index["svhn"], rows))
        if houses.shape[-1] == 1:
            picture = tf.repeat(picture, 3, axis=-1)
        return {
            "mnist": as_floats(tf.gather(written, tf.gather(index["mnist"], rows))),
            "svhn": as_floats(picture),
            "text": tf.one_hot(tf.gather(names, rows), len(text.ALPHABET)),
        }

    return Rows(len(labels), make), labels


def read_mnist(folder, split, download):
    """Load MNIST: uint8 [N, 28, 28, 1], int64 [N]."""
    try:
        images, labels = mnist(folder, split)
    except FileNotFoundError:
        find_or_fetch(folder, *MNIST, download)
        images, labels = mnist(folder, split)
    return images[..., None], labels


def svhn(folder: pathlib.Path, split: str, download: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Load the cropped digits of SVHN: uint8 [N, 32, 32, 3] (1 channel from `GREY`), int64 [N]."""
    if (folder / GREY).exists() and not (folder / SVHN[split][0]).exists():
        data = read_npz(folder / GREY, ("source_image", "images", "labels"))
        rows = (data["source_image"] <= LAST_TRAIN_SOURCE) == (split == "train")
        return data["images"][rows][..., None], data["labels"][rows].astype(np.int64)
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError("Reading SVHN needs SciPy (pip install tf_mopoe[datasets]).") from error
    data = read(find_or_fetch(folder, *SVHN[split], download), loadmat)
    # SVHN's class 10 is the digit 0; its pictures are [H, W, C, N].
    return np.ascontiguousarray(np.transpose(data["X"], (3, 0, 1, 2))), data["y"].ravel().astype(np.int64) % 10


def texts(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return names of digits at random offsets, as symbol numbers: int64 [N, 8]."""
    starts = [rng.integers(LENGTH - len(text.DIGITS[label])) for label in labels]
    return text.symbols([" " * start + text.DIGITS[label] for label, start in zip(labels, starts)], LENGTH)


def nearest_digit(characters: np.ndarray, expected: bool = False) -> np.ndarray:
    """Find the digit whose name is nearest to a text, [N, 8, 71] -> int64 [N]; see `text.nearest_word`."""
    return text.nearest_word(characters, text.DIGITS, expected=expected)


def as_floats(pictures):
    """Convert bytes to float32 in 0..1."""
    return tf.cast(pictures, tf.float32) / 255.0
