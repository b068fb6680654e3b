"""MNIST-SVHN-Text: its files, pairing and text, and the paper's networks."""

import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pytest
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe.datasets import download, text
from tf_mopoe.datasets.mnist_svhn_text import nearest_digit, svhn, texts
from tf_mopoe.networks import mnist_svhn_text as networks


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def folder(tmp_path):
    """40 train and 20 test rows of each of MNIST and SVHN, in the official forms; a picture's pixels tell its label."""
    scipy_io = pytest.importorskip("scipy.io", reason="reading .mat needs SciPy, of the extra [datasets]")
    for official, split, count in (("train", "train", 40), ("t10k", "test", 20)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        write_idx(
            tmp_path / f"{official}-images-idx3-ubyte.gz",
            np.full((count, 28, 28), 20, np.uint8) * labels[:, None, None],
        )
        write_idx(tmp_path / f"{official}-labels-idx1-ubyte.gz", labels)
        pictures = np.zeros((32, 32, 3, count), np.uint8)
        pictures[:, :, 1] = 20 * labels  # only green
        pictures[0, :, 0] = 255  # and a red line on top
        classes = np.where(labels == 0, 10, labels)[:, None]
        scipy_io.savemat(tmp_path / f"{split}_32x32.mat", {"X": pictures, "y": classes})
    return tmp_path


def test_rows_share_their_digit(folder):
    for split, count in (("train", 40), ("test", 20)):
        rows, labels = mopoe.datasets.mnist_svhn_text(folder, split, download=False)
        inputs = rows[:]
        assert {name: x.shape[1:] for name, x in inputs.items()} == {
            "mnist": (28, 28, 1),
            "svhn": (32, 32, 3),
            "text": (8, 71),
        }
        np.testing.assert_array_equal(np.bincount(labels), count // 10)
        np.testing.assert_allclose(inputs["mnist"][:, 14, 14, 0], labels * 20 / 255, atol=1e-6)
        np.testing.assert_allclose(inputs["svhn"][:, 9, 9, 1], labels * 20 / 255, atol=1e-6)
        np.testing.assert_array_equal(inputs["svhn"][:, 0, 5, 0], 1.0)  # the line is still on top, and red
        assert inputs["svhn"][:, 1:, :, 0].max() == 0.0
        assert [word.strip() for word in text.read_text(inputs["text"])] == [text.DIGITS[label] for label in labels]
        np.testing.assert_array_equal(nearest_digit(inputs["text"]), labels)


def test_the_same_seed_and_epoch_give_the_same_rows(folder):
    def read(**kwargs):
        rows, labels = mopoe.datasets.mnist_svhn_text(folder, **kwargs)
        return labels, text.read_text(rows[:]["text"])

    assert read(seed=3, epoch=1)[1] == read(seed=3, epoch=1)[1]
    for other in ({"seed": 3}, {"seed": 4, "epoch": 1}):
        assert read(seed=3, epoch=1)[0].tolist() != read(**other)[0].tolist()


def test_texts_are_where_the_official_code_puts_them():
    labels = np.repeat(np.arange(10), 200)
    read = [
        text.ALPHABET[0].join("".join(text.ALPHABET[s] for s in row).split(" "))
        for row in texts(labels, np.random.default_rng(0))
    ]
    for digit, name in enumerate(text.DIGITS):
        starts = {word.index(name) for word, label in zip(read, labels) if label == digit}
        assert starts == set(range(8 - len(name)))  # randint(0, 8 - 1 - length), both ends included


def test_nearest_digit_reads_noisy_words():
    words = text.one_hot(["  seben ", "thrxe", "sax", "zero    "], 8)
    assert nearest_digit(words * 0.6 + 0.01).tolist() == [7, 3, 6, 0]


def test_text_round_trip_and_errors():
    assert len(text.ALPHABET) == len(set(text.ALPHABET)) == 71
    words = ["a,b|c", "", "~[]"]
    assert [word.strip() for word in text.read_text(text.one_hot(words, 6))] == words
    np.testing.assert_array_equal(text.one_hot(words, 6).sum(axis=-1), 1.0)
    for bad in ("UPPER", "too long"):
        with pytest.raises(ValueError, match=f"Received: '{bad}'"):
            text.symbols([bad], 6)


def test_grey_svhn_is_split_by_house(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "mnist.npz",
        **{
            f"{x}_{split}": rng.integers(256, size=(30, 28, 28), dtype=np.uint8) if x == "x" else np.arange(30) % 10
            for x in "xy"
            for split in ("train", "test")
        },
    )
    source = np.repeat([1, 10500, 10501, 13000], 10).astype(np.uint16)
    images = np.broadcast_to((source // 53)[:, None, None], (40, 32, 32)).astype(np.uint8)
    np.savez(tmp_path / "svhn_grey_digits.npz", images=images, labels=np.arange(40) % 10, source_image=source)
    for split, values in (("train", {0, 198}), ("test", {198, 245})):
        pictures = mopoe.datasets.mnist_svhn_text(tmp_path, split)[0][:]["svhn"]
        assert pictures.shape == (30, 32, 32, 3)
        assert set(np.round(pictures * 255).astype(int).ravel()) == values
        np.testing.assert_array_equal(pictures[..., 0], pictures[..., 2])


def test_absent_files_are_named_with_their_addresses(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mnist\.npz from https://.*Received"):
        mopoe.datasets.mnist_svhn_text(tmp_path, download=False)
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros((10, 28, 28), np.uint8), y_train=np.arange(10))
    with pytest.raises(FileNotFoundError, match=r"train_32x32\.mat from http://.*housenumbers"):
        mopoe.datasets.mnist_svhn_text(tmp_path, download=False)
    with pytest.raises(ValueError, match="`split` must be"):
        mopoe.datasets.mnist_svhn_text(tmp_path, "validation")


def test_files_are_fetched_once_and_their_checksum_is_held(tmp_path, capsys):
    """From a server of our own."""
    content = bytes(range(256)) * 100
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file.bin").write_bytes(content)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "served"))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/file.bin"
        folder = tmp_path / "data"
        with pytest.raises(FileNotFoundError, match=r"file\.bin from http://127"):
            download.find_or_fetch(folder, "file.bin", address, "0" * 32, "md5")
        assert not (folder / "file.bin").exists()
        digest = hashlib.md5(content).hexdigest()
        path = download.find_or_fetch(folder, "file.bin", address, digest, "md5")
        assert path.read_bytes() == content and [x.name for x in folder.iterdir()] == ["file.bin"]
        server.shutdown()
    assert download.find_or_fetch(folder, "file.bin", address, digest, "md5") == path  # no server is left to ask


def test_the_networks_have_the_papers_number_of_parameters():
    D = 20
    likelihoods = mopoe.likelihoods
    model = mopoe.MultimodalVAE(
        {name: mopoe.GaussianEncoder(getattr(networks, f"{name}_encoder")(), D) for name in ("mnist", "svhn", "text")},
        {
            "mnist": mopoe.Decoder(networks.mnist_decoder(D), likelihoods.Laplace(0.75)),
            "svhn": mopoe.Decoder(networks.svhn_decoder(D), likelihoods.Laplace(0.75)),
            "text": mopoe.Decoder(networks.text_decoder(D), likelihoods.Categorical()),
        },
        reconstruction_weights="dimension",
    )
    assert model.count_params() == 1_411_826
    parts = {layer.name: layer.count_params() for layer in (*model.encoders.values(), *model.decoders.values())}
    assert parts == {
        "mnist_encoder": 330_040,
        "svhn_encoder": 236_360,
        "text_encoder": 145_704,
        "mnist_decoder": 322_784,
        "svhn_decoder": 233_763,
        "text_decoder": 143_175,
    }
    assert {name: round(weight, 3) for name, weight in model.term_weights.items()} == {
        "mnist": 3.918,
        "svhn": 1.0,
        "text": 384.0,
    }


def test_same_padding_is_the_published_padding():
    """A kernel of 4 at stride 2: PyTorch's padding of 1 before and after, in both directions."""
    rng = np.random.default_rng(0)
    layer = networks.svhn_encoder().layers[0]
    x = rng.standard_normal((1, 32, 32, 3)).astype(np.float32)
    kernel, bias = (v.numpy() for v in layer.weights)
    padded = np.pad(x[0], ((1, 1), (1, 1), (0, 0)))
    expected = np.zeros((16, 16, 32))
    for i in range(16):
        for j in range(16):
            expected[i, j] = np.einsum("abc,abcf->f", padded[2 * i : 2 * i + 4, 2 * j : 2 * j + 4], kernel) + bias
    np.testing.assert_allclose(layer(tf.constant(x))[0], np.maximum(expected, 0.0), atol=1e-5)
    layer = networks.svhn_decoder(20).layers[-1]
    x = rng.standard_normal((1, 16, 16, 32)).astype(np.float32)
    kernel, bias = (v.numpy() for v in layer.weights)  # [4, 4, out, in]
    whole = np.zeros((34, 34, 3))
    for i in range(16):
        for j in range(16):
            whole[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum("c,aboc->abo", x[0, i, j], kernel)
    np.testing.assert_allclose(layer(tf.constant(x))[0], whole[1:-1, 1:-1] + bias, atol=1e-5)


def test_real_svhn_pictures_survive_the_official_form(tmp_path, real_data):
    scipy_io = pytest.importorskip("scipy.io", reason="reading .mat needs SciPy, of the extra [datasets]")
    with np.load(real_data("svhn_color_train1083.npz")) as data:
        images, labels = data["images"], data["labels"]
    classes = np.where(labels == 0, 10, labels)[:, None]
    scipy_io.savemat(tmp_path / "train_32x32.mat", {"X": np.transpose(images, (1, 2, 3, 0)), "y": classes})
    read, read_labels = svhn(tmp_path, "train")
    np.testing.assert_array_equal(read, images)
    np.testing.assert_array_equal(read_labels, labels)
