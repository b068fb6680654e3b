"""MNIST read from each of its usual files is the same MNIST."""

import gzip

import numpy as np
import pytest

from tf_mopoe.datasets.mnist import mnist

COUNTS = {"train": 7, "test": 4}


@pytest.fixture(scope="module")
def digits():
    rng = np.random.default_rng(0)
    return {
        split: (rng.integers(256, size=(count, 28, 28)).astype(np.uint8), rng.integers(10, size=count).astype(np.uint8))
        for split, count in COUNTS.items()
    }


def write_idx(folder, digits, compress=False):
    """By hand: two zero bytes, 8 for uint8, the number of axes; the sizes; the bytes."""
    for split, (images, labels) in digits.items():
        name = "train" if split == "train" else "t10k"
        for stem, array in ((f"{name}-images-idx3-ubyte", images), (f"{name}-labels-idx1-ubyte", labels)):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            content = head + array.tobytes()
            (folder / (stem + ".gz" if compress else stem)).write_bytes(gzip.compress(content) if compress else content)


def assert_read(path, digits):
    for split, (images, labels) in digits.items():
        read, read_labels = mnist(path, split)
        assert read.dtype == np.uint8 and read_labels.dtype == np.int64
        np.testing.assert_array_equal(read, images)
        np.testing.assert_array_equal(read_labels, labels)


@pytest.mark.parametrize("compress", [False, True])
def test_idx_files(tmp_path, digits, compress):
    write_idx(tmp_path, digits, compress)
    assert_read(tmp_path, digits)
    assert_read(str(tmp_path), digits)


@pytest.mark.parametrize("names", [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
def test_npz_files_by_name_or_in_their_folder(tmp_path, digits, names):
    arrays = {name.format(split): array for split, pair in digits.items() for name, array in zip(names, pair)}
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert_read(tmp_path / "mnist.npz", digits)
    assert_read(tmp_path, digits)


def test_what_is_not_mnist_is_an_error(tmp_path, digits):
    with pytest.raises(ValueError, match='`split` must be "train" or "test". Received: split=\'valid\''):
        mnist(tmp_path, "valid")
    looked_for = "`path` must be an .npz file, or a folder with mnist.npz or train-images-idx3-ubyte"
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=looked_for):
            mnist(path)

    write_idx(tmp_path, digits)
    labels = tmp_path / "train-labels-idx1-ubyte"
    content = labels.read_bytes()
    labels.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="bytes for the shape"):
        mnist(tmp_path)
    labels.write_bytes((tmp_path / "t10k-labels-idx1-ubyte").read_bytes())
    with pytest.raises(ValueError, match=r"as many labels. Received: .* uint8 \(7, 28, 28\) and \(4,\)"):
        mnist(tmp_path)
    labels.write_bytes((tmp_path / "train-images-idx3-ubyte").read_bytes())
    with pytest.raises(ValueError, match="train-labels-idx1-ubyte cannot be read.*begins with 2049, not 2051"):
        mnist(tmp_path)

    np.savez(tmp_path / "mnist.npz", x_train=digits["train"][0])
    with pytest.raises(ValueError, match=r"arrays x_train and y_train, or .* with \['x_train'\]"):
        mnist(tmp_path)
    np.savez(tmp_path / "mnist.npz", x_train=digits["train"][0] / 255, y_train=digits["train"][1])
    with pytest.raises(ValueError, match=r"must hold uint8 pictures .* with float64 \(7, 28, 28\)"):
        mnist(tmp_path)


def test_the_real_one(real_data):
    path = real_data("mnist.npz")
    images, labels = mnist(path.parent)
    assert images.shape == (60000, 28, 28)
    # The published class counts.
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    _, labels = mnist(path, "test")
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
