"""MNIST's pictures and labels, from whichever of its usual files there are."""

import gzip
import os
import pathlib

import numpy as np

from tf_mopoe.checks import check_choice, check_path
from tf_mopoe.reading import read, read_npz

IDX_NAMES = {"train": "train", "test": "t10k"}  # official file names by split
PICTURES, LABELS = 2051, 2049  # magic numbers of the idx format: uint8 with three axes, with one


def mnist(path: os.PathLike | str, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Load the 60,000 train or 10,000 test digits.

    Args:
        path: an .npz file with `x_train`, `y_train`, ... (Keras' mnist.npz) or `train_images`, `train_labels`, ...; or
            a folder with mnist.npz, or with the official idx files (train-images-idx3-ubyte, ...), gzipped or not.
        split: "train" or "test".

    Returns:
        images: uint8 [N, 28, 28]; labels: int64 [N], 0..9.

    Raises:
        ValueError: for an unknown split, or files that are not MNIST.
        FileNotFoundError: if there is nothing of the kind at `path`.
    """
    check_choice("split", split, tuple(IDX_NAMES))
    path = pathlib.Path(check_path("path", path))
    archive = path / "mnist.npz" if path.is_dir() else path
    if archive.is_file():
        images, labels = read_archive(archive, split)
    else:
        images = read_idx(find_idx(path, f"{IDX_NAMES[split]}-images-idx3-ubyte"), PICTURES)
        labels = read_idx(find_idx(path, f"{IDX_NAMES[split]}-labels-idx1-ubyte"), LABELS)
    if images.dtype != np.uint8 or images.shape != (len(labels), 28, 28):
        raise ValueError(
            "`path` must hold uint8 pictures [N, 28, 28] and as many labels. "
            f"Received: path={str(path)!r} with {images.dtype} {images.shape} and {labels.shape}"
        )
    return images, labels.astype(np.int64)


def read_archive(file, split):
    data = read_npz(file)
    for images, labels in ((f"x_{split}", f"y_{split}"), (f"{split}_images", f"{split}_labels")):
        if images in data and labels in data:
            return data[images], data[labels]
    raise ValueError(
        f"`path` must hold arrays x_{split} and y_{split}, or {split}_images and {split}_labels. "
        f"Received: path={str(file)!r} with {sorted(data)}"
    )


def find_idx(folder, name):
    for file in (folder / name, folder / f"{name}.gz"):
        if file.is_file():
            return file
    raise FileNotFoundError(
        f"`path` must be an .npz file, or a folder with mnist.npz or {name}[.gz]. Received: path={str(folder)!r}"
    )


def read_idx(file, magic):
    """Read the array of an idx file: magic number and sizes as big-endian int32, then the bytes."""

    def load(file):
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        received = int.from_bytes(content[:4], "big")
        if received != magic:
            raise ValueError(f"an idx file of this kind begins with {magic}, not {received}")
        axes = magic % 256
        shape = np.frombuffer(content, ">i4", axes, offset=4)
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
        if len(values) != np.prod(shape, dtype=np.int64):
            raise ValueError(f"{len(values)} bytes for the shape {shape}")
        return values.reshape(shape)

    return read(file, load)
