"""PolyMNIST: the rows against a slow recipe, the networks against PyTorch's definition of their layers."""

import sys
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe.datasets.polymnist import as_background, draw, polymnist, read_backgrounds
from tf_mopoe.networks import polymnist as networks

N = 60


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A file of 60 random "digits" of three labels for train and as many for test, and its arrays."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "test"):
        arrays[f"x_{split}"] = rng.integers(256, size=(N, 28, 28)).astype(np.uint8)
        arrays[f"x_{split}"][:, 0, :2] = 128, 129  # either side of the threshold
        arrays[f"y_{split}"] = rng.integers(3, size=N).astype(np.uint8)
    path = tmp_path_factory.mktemp("mnist") / "mnist.npz"
    np.savez(path, **arrays)
    return path, arrays


@pytest.fixture(scope="module")
def backgrounds():
    rng = np.random.default_rng(1)
    return [rng.integers(256, size=(*size, 3)).astype(np.uint8) for size in ((28, 28), (29, 40), (50, 31))]


def digits_and_corners(labels, background, split, number, seed=0):
    return draw(labels, background, np.random.default_rng([seed, ("train", "test").index(split), number]))


@pytest.mark.parametrize("split", ["train", "test"])
def test_rows_are_what_the_recipe_makes(digits, backgrounds, split):
    path, arrays = digits
    rows, labels = polymnist(path, backgrounds, split)
    assert len(rows) == N and labels.dtype == np.int64
    np.testing.assert_array_equal(labels, arrays[f"y_{split}"])
    views = rows[:]
    assert list(views) == ["m0", "m1", "m2"]
    for number, background in enumerate(backgrounds):
        digit, corner = digits_and_corners(labels, background, split, number)
        assert views[f"m{number}"].dtype == np.float32
        for row in range(N):
            (top, left), picture = corner[row], arrays[f"x_{split}"][digit[row]]
            expected = np.empty((28, 28, 3))
            for y in range(28):
                for x in range(28):
                    c = background[top + y, left + x].astype(int)
                    expected[y, x] = 255 - c if picture[y, x] > 128 else c
            np.testing.assert_allclose(views[f"m{number}"][row], expected / 255, rtol=0, atol=1e-7)


def test_every_view_uses_every_digit_once_and_its_label_is_the_rows(digits, backgrounds):
    path, arrays = digits
    # On a white ground of 28x28 pixels a picture says which digit it is: black where its pixels are above 128.
    white = [np.full((28, 28), 255, np.uint8)] * 3
    rows, labels = polymnist(path, white)
    number_of = {(picture > 128).tobytes(): number for number, picture in enumerate(arrays["x_train"])}
    assert len(number_of) == N
    used = np.array([[number_of[(x[..., 0] == 0).tobytes()] for x in view] for view in rows[:].values()])
    for view in used:
        assert sorted(view) == list(range(N))
        np.testing.assert_array_equal(arrays["y_train"][view], labels)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.mean(used[one] == used[other]) < 0.25  # three labels of 20: 0.05 expected


def test_crops_reach_every_corner_of_the_background(digits):
    """A background of 30x33 pixels, each of a colour of its own: 3 x 6 corners, all of them used about equally."""
    colours = np.arange(30 * 33).reshape(30, 33)
    background = np.stack([colours // 256, colours % 256, colours * 0], axis=-1).astype(np.uint8)
    labels = np.zeros(18_000, np.int64)
    _, corner = draw(labels, background, np.random.default_rng(0))
    count = np.zeros((3, 6))
    np.add.at(count, tuple(corner.T), 1)
    assert np.abs(count - 1000).max() < 5 * np.sqrt(1000)

    rows, labels = polymnist(digits[0], [background] * 2)
    _, corner = digits_and_corners(labels, background, "train", 1)
    assert corner.min() == 0 and corner.max(axis=0).tolist() == [2, 5]
    # The last pixel of a row's crop, inverted or not, is the one 27 pixels after its corner.
    last = np.round(rows[:]["m1"][:, -1, -1] * 255).astype(int)
    original = np.where(last[:, 2:] > 128, 255 - last, last)
    np.testing.assert_array_equal(original[:, 0] * 256 + original[:, 1], (corner + 27) @ [33, 1])


def test_a_row_is_the_same_in_every_batch_order_and_construction(digits, backgrounds):
    rows, _ = polymnist(digits[0], backgrounds)
    again, _ = polymnist(digits[0], backgrounds)
    whole = rows[:]
    for chosen in ([7], [59, 0, 7, 7], np.random.default_rng(0).permutation(N)):
        for name, x in again[chosen].items():
            np.testing.assert_array_equal(x, whole[name][chosen])
    batches = list(again.dataset(16))
    for name, x in whole.items():
        np.testing.assert_array_equal(np.concatenate([batch[name] for batch in batches]), x)


def test_a_row_is_the_same_in_another_process(digits):
    ground = np.arange(40 * 40 * 3).reshape(40, 40, 3).astype(np.uint8)
    rows, _ = polymnist(digits[0], [ground] * 2, seed=3)
    assert zlib.crc32(rows[5:9]["m1"].tobytes()) == 3021533208  # as one process found it


def test_seeds_splits_and_views_are_drawn_apart(digits):
    ground = np.random.default_rng(2).integers(256, size=(200, 200, 3)).astype(np.uint8)
    draws = {
        (seed, split, number): digits_and_corners(np.zeros(N, int), ground, split, number, seed)
        for seed in (0, 1)
        for split in ("train", "test")
        for number in (0, 1)
    }
    keys = list(draws)
    for place, one in enumerate(keys):
        for other in keys[place + 1 :]:
            for a, b in zip(draws[one], draws[other]):
                assert np.mean(a == b) < 0.1
    views = [polymnist(digits[0], [ground] * 2, seed=seed)[0][:] for seed in (0, 1)]
    assert not np.any(np.all(views[0]["m0"] == views[1]["m0"], axis=(1, 2, 3)))
    assert not np.any(np.all(views[0]["m0"] == views[0]["m1"], axis=(1, 2, 3)))


def test_backgrounds_of_a_folder_are_read_in_the_order_of_their_names(tmp_path, digits):
    rng = np.random.default_rng(3)
    grey, colour, alpha = (rng.integers(256, size=(30, 34, c)).astype(np.uint8) for c in (1, 3, 4))
    (tmp_path / "c.PNG").write_bytes(tf.io.encode_png(alpha).numpy())
    (tmp_path / "a.png").write_bytes(tf.io.encode_png(grey).numpy())
    (tmp_path / "b.jpg").write_bytes(tf.io.encode_jpeg(colour, quality=100).numpy())
    (tmp_path / "notes.txt").write_text("not a picture")
    of_folder, _ = polymnist(digits[0], tmp_path)
    of_text, _ = polymnist(digits[0], str(tmp_path))
    of_list, _ = polymnist(digits[0], [tmp_path / name for name in ("a.png", "b.jpg", "c.PNG")])
    decoded = tf.io.decode_image((tmp_path / "b.jpg").read_bytes()).numpy()
    of_arrays, _ = polymnist(digits[0], [grey[..., 0], decoded, alpha[..., :3]])
    for rows in (of_text, of_list, of_arrays):
        for name, x in rows[:].items():
            np.testing.assert_array_equal(x, of_folder[:][name])
    m0 = of_folder[:]["m0"]
    assert np.all(m0 == m0[..., :1])
    with_alpha = as_background(np.concatenate([grey, grey // 2], axis=-1))
    np.testing.assert_array_equal(with_alpha, np.repeat(grey, 3, axis=-1))


def test_bad_backgrounds_are_named(tmp_path, digits, backgrounds, monkeypatch):
    path = digits[0]
    with pytest.raises(ValueError, match='`split` must be "train" or "test". Received: split=\'valid\''):
        polymnist(path, backgrounds, split="valid")
    for wrong in (backgrounds[:1], backgrounds * 3, tmp_path):
        with pytest.raises(ValueError, match=r"`backgrounds` must be 2 to 8 pictures. Received: [190] pictures"):
            polymnist(path, wrong)
    with pytest.raises(FileNotFoundError, match="`backgrounds` must be a folder or a list. Received: .*nowhere"):
        polymnist(path, tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere.png"):
        polymnist(path, ["nowhere.png", "nowhere.png"])
    ground = backgrounds[1]
    for wrong, shape in (
        (ground[:27], r"uint8 \(27, 40, 3\)"),
        (ground[:, :27], r"uint8 \(29, 27, 3\)"),
        (ground[:27, :, 0], r"uint8 \(27, 40, 1\)"),
        (ground / 255, r"float64 \(29, 40, 3\)"),
        (ground[None], r"uint8 \(1, 29, 40, 3\)"),
        (np.tile(ground, 2), r"uint8 \(29, 40, 6\)"),
    ):
        with pytest.raises(ValueError, match=f"of 28x28 pixels or more, .* Received: an array, {shape}"):
            polymnist(path, [ground, wrong])
    (tmp_path / "small.png").write_bytes(tf.io.encode_png(ground[:20]).numpy())
    with pytest.raises(ValueError, match=r"Received: '.*small.png', uint8 \(20, 40, 3\)"):
        polymnist(path, [ground, tmp_path / "small.png"])
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match=r"pip install tf_mopoe\[datasets\]"):
        polymnist(path)


def test_the_default_backgrounds_are_five_photographs(digits):
    pytest.importorskip("skimage", exc_type=ImportError)
    pictures = read_backgrounds(None)
    assert [picture.shape[:2] for picture in pictures] == [(512, 512), (300, 451), (400, 600), (872, 1000), (427, 640)]
    assert all(np.ptp(picture, axis=-1).max() > 100 for picture in pictures)  # none is grey
    rows, _ = polymnist(digits[0])
    assert {name: x.shape for name, x in rows[:3].items()} == {f"m{number}": (3, 28, 28, 3) for number in range(5)}


def test_real_digits_on_the_published_kind_of_backgrounds(real_data):
    """Pictures of a label are alike in shape, whatever their ground: the inverted pixels overlap more within a label."""
    digits, folder = real_data("mnist.npz"), real_data("polymnist_backgrounds")
    rows, labels = polymnist(digits, folder, "test")
    assert len(rows) == 10_000 and list(rows[:1]) == [f"m{number}" for number in range(8)]
    assert mopoe.datasets.polymnist is polymnist
    white = [np.full((28, 28), 255, np.uint8)] * 2
    plain = polymnist(digits, white, "test")[0][:1000]
    ink = {name: 1 - x[..., 0].reshape(1000, -1) for name, x in plain.items()}
    overlap = ink["m0"] @ ink["m1"].T / np.outer(ink["m0"].sum(1), ink["m1"].sum(1)) ** 0.5
    same = labels[:1000, None] == labels[None, :1000]
    assert overlap[same].mean() > 1.3 * overlap[~same].mean()
    # The digits of a row are the same by name, not by hand.
    assert np.mean(np.all(ink["m0"] == ink["m1"], axis=1)) < 0.01
    # Their colours are the backgrounds': inverted on 10 to 20 per cent of the pixels.
    assert 0.08 < ink["m0"].mean() < 0.2


def convolution(x, kernel, bias):
    """PyTorch's Conv2d with kernel 3, stride 2, padding 1, by its definition, on [B, H, W, C]."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    size = (x.shape[1] + 2 - 3) // 2 + 1
    result = np.zeros((len(x), size, size, kernel.shape[-1])) + bias
    for y in range(size):
        for x_ in range(size):
            patch = padded[:, 2 * y : 2 * y + 3, 2 * x_ : 2 * x_ + 3]
            result[:, y, x_] += np.einsum("bijc,ijcd->bd", patch, kernel)
    return result


def transposed_convolution(x, kernel, bias, output_padding):
    """PyTorch's ConvTranspose2d with kernel 3, stride 2, padding 1: pixel y adds to pixels 2 y - 1 .. 2 y + 1."""
    size = (x.shape[1] - 1) * 2 - 2 + 3 + output_padding
    result = np.zeros((len(x), size, size, kernel.shape[2])) + bias
    for y in range(x.shape[1]):
        for x_ in range(x.shape[1]):
            for i in range(3):
                for j in range(3):
                    row, column = 2 * y - 1 + i, 2 * x_ - 1 + j
                    if 0 <= row < size and 0 <= column < size:
                        result[:, row, column] += np.einsum("bc,dc->bd", x[:, y, x_], kernel[i, j])
    return result


def relu(x):
    return np.maximum(x, 0)


def randomise(network):
    rng = np.random.default_rng(4)
    for weight in network.weights:  # biases too: zeros would hide one that is not added
        fan_in = np.prod(weight.shape[:-1]) if len(weight.shape) > 1 else 100
        weight.assign(rng.standard_normal(weight.shape) / np.sqrt(fan_in))
    return [weight.numpy().astype(np.float64) for weight in network.weights]


def test_the_encoder_is_the_published_arithmetic():
    network = networks.encoder()
    weights = randomise(network)
    x = np.random.default_rng(5).random((3, 28, 28, 3)).astype(np.float32)
    h = x.astype(np.float64)
    sizes = []
    for kernel, bias in zip(weights[:6:2], weights[1:6:2]):
        h = relu(convolution(h, kernel, bias))
        sizes.append(h.shape[1:])
    assert sizes == [(14, 14, 32), (7, 7, 64), (4, 4, 128)]
    expected = relu(h.reshape(3, -1) @ weights[6] + weights[7])
    np.testing.assert_allclose(network(x).numpy(), expected, rtol=0, atol=1e-5)


def test_the_decoder_is_the_published_arithmetic():
    network = networks.decoder(6)
    weights = randomise(network)
    z = np.random.default_rng(6).standard_normal((3, 6)).astype(np.float32)
    h = relu(z @ weights[0] + weights[1]).reshape(3, 4, 4, 128)
    h = relu(transposed_convolution(h, weights[2], weights[3], output_padding=0))
    assert h.shape[1:] == (7, 7, 64)
    h = relu(transposed_convolution(h, weights[4], weights[5], output_padding=1))
    assert h.shape[1:] == (14, 14, 32)
    expected = transposed_convolution(h, weights[6], weights[7], output_padding=1)
    assert expected.min() < 0 < expected.std()  # no activation at the end
    np.testing.assert_allclose(network(z).numpy(), expected, rtol=0, atol=1e-5)


def test_the_model_has_the_published_number_of_parameters():
    names = [f"m{number}" for number in range(5)]
    model = mopoe.MultimodalVAE(
        {name: mopoe.GaussianEncoder(networks.encoder(), 512) for name in names},
        {name: mopoe.Decoder(networks.decoder(512), mopoe.likelihoods.Laplace(0.75)) for name in names},
    )
    views = {name: np.zeros((2, *networks.VIEW), np.float32) for name in names}
    assert all(x.shape == (2, 28, 28, 3) for x in model.predict(views, verbose=0).values())
    assert model.encoders["m0"].count_params() == 1_667_648
    assert model.decoders["m0"].count_params() == 1_143_747
    assert model.count_params() == 14_056_975


@pytest.mark.parametrize("make", [networks.encoder, lambda: networks.decoder(6)])
def test_networks_come_back_from_a_file(tmp_path, make):
    network = make()
    randomise(network)
    network.save(tmp_path / "network.keras")
    back = keras.models.load_model(tmp_path / "network.keras")
    x = np.random.default_rng(7).random((2, *network.input_shape[1:])).astype(np.float32)
    np.testing.assert_array_equal(back(x), network(x))
