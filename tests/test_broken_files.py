"""A run's file that is torn, foreign or has a flipped bit is an error that names it, and never another model."""

import gzip
import json
import zipfile

import keras
import numpy as np
import pytest
import small

from tf_mopoe import datasets
from tf_mopoe.datasets.mnist import mnist
from trainers import checkpoints, reading


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with one file of each kind; for reading only."""
    folder = tmp_path_factory.mktemp("run")
    model = small.compiled(("sensor", "word"))
    model.fit(small.rows(4, ("sensor", "word")), verbose=0)
    checkpoints.save(model, folder, 3)
    model.save(folder / "model.keras")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(folder / "classifier.keras")
    (folder / "flags.json").write_text(json.dumps({"dataset": "digits", "seed": 0}))
    (folder / "metrics.csv").write_text("epoch,step,loss,seconds\n1,10,2.5,1.0\n2,20,2.25,1.9\n")
    return folder


KINDS = {
    "model.keras": reading.load_model,
    "classifier.keras": reading.load_classifier,
    "flags.json": reading.read_json,
    "metrics.csv": reading.read_metrics,
}
FOREIGN = {
    "model.keras": lambda run: (run / "classifier.keras").read_bytes(),
    "classifier.keras": lambda run: (run / "flags.json").read_bytes(),
    "flags.json": lambda run: b"[1, 2]",
    "metrics.csv": lambda run: b"name,place\na,b\n",
}


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_file_is_read_and_a_broken_one_is_named(name, run, tmp_path):
    path, whole = tmp_path / name, (run / name).read_bytes()
    path.write_bytes(whole)
    assert KINDS[name](path)
    broken = {"truncated": whole[:-4], "half": whole[: len(whole) // 2], "foreign": FOREIGN[name](run)}
    if name.endswith("csv"):
        del broken["truncated"]  # a last line that lacks digits is a line
        broken["half"] = whole[:-12]
    for content in broken.values():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read: it is torn, or of another kind.*Received: "):
            KINDS[name](path)


def test_a_flipped_bit_of_a_checkpoint_is_an_error_or_changes_nothing(run, tmp_path):
    path = checkpoints.path_of(run, 3)
    weights, whole = checkpoints.load(run, 3).get_weights(), path.read_bytes()
    rng, errors = np.random.default_rng(0), 0
    copy = checkpoints.path_of(tmp_path, 3)
    copy.parent.mkdir()
    for position in rng.integers(len(whole), size=12):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << rng.integers(8)
        copy.write_bytes(flipped)
        try:
            model = checkpoints.load(tmp_path, 3)
        except ValueError as error:
            assert "step_00000003.keras cannot be read" in str(error)
            errors += 1
        else:  # a bit of a date, say
            for ours, theirs in zip(model.get_weights(), weights, strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert errors >= 6


def test_a_checkpoint_without_its_metrics_is_an_error(run, tmp_path):
    copy = checkpoints.path_of(tmp_path, 3)
    copy.parent.mkdir()
    with zipfile.ZipFile(checkpoints.path_of(run, 3)) as whole, zipfile.ZipFile(copy, "w") as part:
        for name in set(whole.namelist()) - {checkpoints.METRICS}:
            part.writestr(name, whole.read(name))
    with pytest.raises(
        ValueError, match="step_00000003.keras cannot be read.*Delete it to resume from the checkpoint before"
    ):
        checkpoints.load(tmp_path, 3)


def test_data_that_is_broken_is_named(tmp_path):
    """Archives and idx files, torn, empty and foreign; NumPy's advice to trust a file is not passed on."""
    np.savez(tmp_path / "mnist.npz", x_test=np.zeros((3, 28, 28), np.uint8), y_test=np.zeros(3, np.uint8))
    whole = (tmp_path / "mnist.npz").read_bytes()
    np.savez(tmp_path / "pickled.npz", x_test=np.array([{}], dtype=object))
    pickled = (tmp_path / "pickled.npz").read_bytes()
    idx = gzip.compress((2049).to_bytes(4, "big") + (3).to_bytes(4, "big") + bytes(3))
    contents = {"mnist.npz": [whole[: len(whole) // 2], b"", pickled, b"foreign"]}
    contents |= {"t10k-labels-idx1-ubyte.gz": [idx[:-6], b"", gzip.compress(b"foreign"), gzip.compress(bytes(2))]}
    pictures = (2051).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in (3, 28, 28)) + bytes(3 * 784)
    for name, broken in contents.items():
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        (folder / "t10k-images-idx3-ubyte").write_bytes(pictures)
        for content in broken:
            (folder / name).write_bytes(content)
            message = f"{name} cannot be read: it is torn, or of another kind.*Received: "
            with pytest.raises(ValueError, match=message) as error:
                mnist(folder, "test")
            assert "unsafely" not in str(error.value)
    speech = tmp_path / "speech.npz"
    np.savez(speech, images=np.zeros((3, 32, 64), np.uint8))
    with pytest.raises(
        ValueError, match=r"speech.npz cannot be read.*arrays \['images'\], without \['index', 'labels'\]"
    ):
        datasets.free_spoken_digits(speech)
