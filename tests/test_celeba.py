"""CelebA, on twelve made pictures in its layout: crop and resize, texts, splits, attributes; and its networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe.datasets import text
from tf_mopoe.datasets.celeba import ATTRIBUTES
from tf_mopoe.networks import celeba as networks

N, D = 12, 6
SPLITS = {"train": [0, 2, 3, 5, 7, 8, 9, 11], "validation": [1, 6], "test": [4, 10]}
HOME = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
LISTS = ("list_attr_celeba.txt", "list_eval_partition.txt")


def pictures():
    """uint8 [12, 218, 178, 3]: coarse blocks of random colours, but a ramp in the first."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(256, size=(N, 28, 23, 3)).astype(np.uint8)
    result = blocks.repeat(8, axis=1).repeat(8, axis=2)[:, :218, :178].copy()
    row, column = np.mgrid[:218, :178]
    result[0] = np.stack([column, row, np.full_like(row, 77)], axis=-1)
    return result


def attributes():
    """bool [12, 40]: all in row 7, none in row 8, and random ones in the others."""
    result = np.random.default_rng(1).random((N, 40)) < 0.2
    result[7], result[8] = True, False
    result[0] = [name in ("5_o_Clock_Shadow", "Male", "Young") for name in ATTRIBUTES]
    return result


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in CelebA's layout, flat."""
    folder = tmp_path_factory.mktemp("celeba")
    (folder / "img_align_celeba").mkdir()
    names = [f"{number + 1:06d}.jpg" for number in range(N)]
    for name, picture in zip(names, pictures()):
        jpeg = tf.io.encode_jpeg(picture, quality=100, chroma_downsampling=False).numpy()
        (folder / "img_align_celeba" / name).write_bytes(jpeg)
    values = [" ".join(f"{2 * value - 1:2d}" for value in row) for row in attributes().astype(int)]
    lines = [f"{name} {row}" for name, row in zip(names, values)]
    (folder / LISTS[0]).write_text("\n".join([str(N), " ".join(ATTRIBUTES) + " ", *lines, ""]))
    number_of = {row: number for number, split in enumerate(SPLITS) for row in SPLITS[split]}
    (folder / LISTS[1]).write_text("".join(f"{name} {number_of[row]}\n" for row, name in enumerate(names)))
    return folder


@pytest.fixture
def copied(made, tmp_path):
    """The lists of `made`, to be spoiled, beside its pictures."""
    for name in LISTS:
        (tmp_path / name).write_text((made / name).read_text())
    (tmp_path / "img_align_celeba").symlink_to(made / "img_align_celeba")
    return tmp_path


def bicubic(picture):
    """PIL's antialiased bicubic resizing [148, 148, 3] -> [64, 64, 3]: Keys' kernel with a = -1/2, rows before columns."""

    def kernel(x):
        x = abs(x)
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    matrix = np.zeros((64, 148))
    for out in range(64):
        for pixel in range(148):
            matrix[out, pixel] = kernel((pixel + 0.5) / (148 / 64) - (out + 0.5))
    matrix /= matrix.sum(axis=1, keepdims=True)
    rows = np.clip(np.round(np.einsum("jq,pqc->pjc", matrix, picture.astype(float))), 0, 255)
    return np.clip(np.einsum("ip,pjc->ijc", matrix, rows), 0, 255)


def decoded(made, row):
    file = made / "img_align_celeba" / f"{row + 1:06d}.jpg"
    return tf.io.decode_jpeg(file.read_bytes(), dct_method="INTEGER_ACCURATE").numpy()


def test_the_centre_is_resized_as_by_a_slow_reference(made):
    rows, _ = mopoe.datasets.celeba(made)
    images = rows[:]["image"]
    assert images.shape == (8, 64, 64, 3) and images.dtype == np.float32
    for image, row in zip(images, SPLITS["train"]):
        picture = decoded(made, row)
        assert np.abs(picture.astype(int) - pictures()[row]).mean() < 2  # the file is what was made
        levels = image * 255.0
        np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
        error = np.abs(levels - bicubic(picture[35:183, 15:163]))
        # Half a level of rounding; more only where float32 and float64 round a value of the first pass apart.
        assert np.mean(error > 0.5001) < 0.005 and error.max() < 2.0
    assert images.min() == 0.0 and images.max() == 1.0  # bicubic overshoot is cut


def test_a_ramp_has_the_values_of_the_crop(made):
    """Red is the column's number, green the row's: pixel i covers 148/64 of them, from 15 and from 35 on."""
    image = mopoe.datasets.celeba(made)[0][[0]]["image"][0] * 255.0
    centre = (np.arange(64) + 0.5) * 148 / 64 - 0.5
    inside = slice(2, 62)
    np.testing.assert_allclose(image[inside, inside, 0], np.tile(15 + centre[inside], (60, 1)), atol=2.0)
    np.testing.assert_allclose(image[inside, inside, 1], np.tile(35 + centre[inside], (60, 1)).T, atol=2.0)
    np.testing.assert_allclose(image[..., 2], 77.0, atol=2.0)
    assert (
        abs(np.mean(image[..., 0]) - 88.5) < 0.5 and abs(np.mean(image[..., 1]) - 108.5) < 0.5
    )  # mid of 15..162, 35..182


def test_pictures_are_those_of_the_official_steps(made):
    """The official code's: PIL decodes, crops and resizes."""
    image_module = pytest.importorskip("PIL.Image", reason="needs Pillow")
    rows, _ = mopoe.datasets.celeba(made)
    for image, row in zip(rows[:]["image"], SPLITS["train"]):
        with image_module.open(made / "img_align_celeba" / f"{row + 1:06d}.jpg") as picture:
            small = picture.crop((15, 35, 163, 183)).resize((64, 64), image_module.Resampling.BICUBIC)
        error = np.abs(image * 255.0 - np.asarray(small, float))
        assert (
            error.max() < 1.5 and np.mean(error > 0.5) < 0.005
        )  # the same level; PIL's fixed point may round to the next


def test_splits_and_attributes(made):
    for split, numbers in SPLITS.items():
        rows, labels = mopoe.datasets.celeba(made, split)
        assert len(rows) == len(numbers)
        np.testing.assert_array_equal(labels, attributes()[numbers])
        assert labels.dtype == bool
        mean = rows[:]["image"].mean(axis=(1, 2, 3))
        np.testing.assert_allclose(mean, [decoded(made, n)[35:183, 15:163].mean() / 255 for n in numbers], atol=0.004)
    assert sum(map(len, SPLITS.values())) == N
    assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) == 40
    assert (ATTRIBUTES[0], ATTRIBUTES[20], ATTRIBUTES[39]) == ("5_o_Clock_Shadow", "Male", "Young")


def test_texts_name_the_attributes(made):
    rows, labels = mopoe.datasets.celeba(made)
    one_hot = rows[:]["text"]
    assert one_hot.shape == (8, 256, 71) and one_hot.dtype == np.float32
    np.testing.assert_array_equal(one_hot.sum(axis=-1), 1.0)
    texts = text.read_text(one_hot)
    np.testing.assert_array_equal(text.one_hot(texts, 256), one_hot)
    assert texts[0].strip("*") == "5 o clock shadow, male, young"
    assert texts[SPLITS["train"].index(8)] == "*" * 256
    whole = ", ".join(ATTRIBUTES).replace("_", " ").lower()
    longest = texts[SPLITS["train"].index(7)].strip("*")
    assert whole.startswith(longest + ", ") and len(longest) <= 256  # whole names, as many as fit
    assert len(longest + ", " + whole[len(longest) + 2 :].split(", ")[0]) > 256
    for written, row in zip(texts, labels):
        names = [name for name, present in zip(ATTRIBUTES, row) if present]
        if row.sum() < 15:
            assert written.strip("*") == ", ".join(names).replace("_", " ").lower()
    again, other = (mopoe.datasets.celeba(made, seed=seed)[0][:]["text"] for seed in (0, 1))
    np.testing.assert_array_equal(again, one_hot)
    starts = [[len(t) - len(t.lstrip("*")) for t in text.read_text(x)] for x in (one_hot, other)]
    assert len(set(starts[0])) > 5 and starts[0] != starts[1]
    assert [t.strip("*") for t in text.read_text(other)] == [t.strip("*") for t in texts]


def test_rows_are_the_same_in_any_batch(made):
    rows, _ = mopoe.datasets.celeba(made)
    batches = list(rows.dataset(3))
    assert [len(batch["image"]) for batch in batches] == [3, 3, 2]
    for name, expected in rows[:].items():
        np.testing.assert_array_equal(np.concatenate([batch[name] for batch in batches]), expected)
        np.testing.assert_array_equal(rows[[5, 2]][name], expected[[5, 2]])
        assert rows[:0][name].shape == (0, *expected.shape[1:])
    assert rows.dataset(3).element_spec["image"].shape.as_list() == [None, 64, 64, 3]
    assert rows.dataset(3).element_spec["text"].shape.as_list() == [None, 256, 71]


def test_the_official_subfolders_do_as_well(made, tmp_path):
    for folder, name in (("Img", "img_align_celeba"), ("Anno", LISTS[0]), ("Eval", LISTS[1])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).symlink_to(made / name)
    rows, labels = mopoe.datasets.celeba(tmp_path, "test")
    expected, expected_labels = mopoe.datasets.celeba(str(made), "test")
    np.testing.assert_array_equal(labels, expected_labels)
    for name, x in expected[:].items():
        np.testing.assert_array_equal(rows[:][name], x)


def test_what_is_absent_is_told(copied):
    with pytest.raises(ValueError, match='`split` must be "train", "validation" or "test".*split=\'valid\''):
        mopoe.datasets.celeba(copied, "valid")
    for name, place in ((LISTS[1], "Eval"), (LISTS[0], "Anno"), ("img_align_celeba", "Img")):
        (copied / name).unlink()
        text = rf"`data_dir` must hold {name} .*non-commercial.*{HOME}.*no '.*/{name}' and no '.*/{place}/{name}'"
        with pytest.raises(FileNotFoundError, match=text):
            mopoe.datasets.celeba(copied)
    with pytest.raises(FileNotFoundError, match="img_align_celeba"):
        mopoe.datasets.celeba(copied / "nowhere")


def test_a_picture_that_is_absent_or_of_another_size_is_told(made, copied):
    (copied / "img_align_celeba").unlink()
    (copied / "img_align_celeba").mkdir()
    for row in SPLITS["test"]:
        name = f"{row + 1:06d}.jpg"
        (copied / "img_align_celeba" / name).symlink_to(made / "img_align_celeba" / name)
    assert len(mopoe.datasets.celeba(copied, "test")[0]) == 2  # the other splits' pictures are not asked for
    with pytest.raises(FileNotFoundError, match="train split.*8 of 8 absent, the first '000001.jpg'"):
        mopoe.datasets.celeba(copied)
    (copied / "img_align_celeba" / "000005.jpg").unlink()
    wrong = tf.io.encode_jpeg(np.zeros((178, 218, 3), np.uint8)).numpy()
    (copied / "img_align_celeba" / "000005.jpg").write_bytes(wrong)
    rows, _ = mopoe.datasets.celeba(copied, "test")
    with pytest.raises(tf.errors.InvalidArgumentError, match="178x218 pixels"):
        rows[:]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)178x218 pixels.*178 218 3.*000005\.jpg"):
        list(rows.dataset(2))


SPOILED = {
    "a value": (
        LISTS[0],
        4,
        lambda line: line.replace("-1", "0", 1),
        "Line 5 of .* 40 times 1 or -1. Received: '000003",
    ),
    "a value too few": (LISTS[0], 2, lambda line: line[:-3], "Line 3 of .* 40 times 1 or -1. Received: '000001"),
    "the count": (LISTS[0], 0, lambda line: "13", "Line 1 of .* number of pictures. Received: '13', and 12 lines"),
    "a name": (LISTS[0], 1, lambda line: line.replace("Male", "Man"), "Line 2 of .* names of the 40 attributes"),
    "no split": (LISTS[1], 3, lambda line: "000004.jpg 3", "Line 4 of .* and 0, 1 or 2. Received: '000004.jpg 3'"),
    "an empty line": (LISTS[1], 3, lambda line: "", "Line 4 of .* and 0, 1 or 2. Received: ''"),
    "another picture": (LISTS[1], 3, lambda line: "000099.jpg 1", "12 pictures.*each once.*12 lines, 11 of these"),
    "one twice": (LISTS[1], 3, lambda line: "000001.jpg 0\n" + line, "12 pictures.*each once.*13 lines, 12 of these"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_list_that_is_not_of_its_form(case, copied):
    name, number, spoil, message = SPOILED[case]
    lines = (copied / name).read_text().splitlines()
    lines[number] = spoil(lines[number])
    (copied / name).write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=message):
        mopoe.datasets.celeba(copied)


def test_the_networks_sizes():
    parts = (
        (networks.image_encoder(), (None, 4, 4, 512), 2_756_544),
        (networks.image_decoder(32), (None, 64, 64, 3), 3_026_371),
        (networks.text_encoder(), (None, 4, 256), 1_020_672),
        (networks.text_decoder(32), (None, 256, 71), 1_054_279),
    )
    for network, shape, count in parts:
        assert network.output_shape == shape and network.count_params() == count
    heads = 2 * (4 * 4 * 512 + 1) * 32 + 2 * (4 * 256 + 1) * 32
    assert sum(count for *_, count in parts) + heads == 8_447_818


def test_a_model_trains_and_is_loaded_again(made, tmp_path):
    rows, _ = mopoe.datasets.celeba(made)
    model = mopoe.MultimodalVAE(
        {
            "image": mopoe.GaussianEncoder(networks.image_encoder(), D),
            "text": mopoe.GaussianEncoder(networks.text_encoder(), D),
        },
        {
            "image": mopoe.Decoder(networks.image_decoder(D), mopoe.likelihoods.Laplace(0.75)),
            "text": mopoe.Decoder(networks.text_decoder(D), mopoe.likelihoods.Categorical()),
        },
        reconstruction_weights="dimension",
        seed=0,
    )
    assert model.term_weights == {"image": 1.0, "text": 48.0}  # 64 * 64 * 3 numbers against 256 characters
    model.compile(keras.optimizers.Lion(5e-4))
    before = [variable.numpy() for variable in model.trainable_variables]
    history = model.fit(rows.dataset(4), epochs=1, verbose=0).history
    assert model.optimizer.iterations == 2 and np.isfinite(history["loss"]).all()
    # By the gradient of two steps every variable has changed.
    assert all(np.any(variable.numpy() != old) for variable, old in zip(model.trainable_variables, before))
    model.save(tmp_path / "celeba.keras")
    loaded = keras.models.load_model(tmp_path / "celeba.keras")
    given = {"text": rows[:2]["text"]}
    for name, x in model.translate(given, seed=1).items():
        np.testing.assert_allclose(loaded.translate(given, seed=1)[name], x, atol=1e-6)
