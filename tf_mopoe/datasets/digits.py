"""Digits as pictures, spoken and written: the embedded data set, and real recordings in the same form."""

import functools
import os
import pathlib
import re
import wave

import numpy as np

from tf_mopoe.checks import check_choice, check_integer, check_path
from tf_mopoe.datasets import logmel, text
from tf_mopoe.datasets.pairing import pair_by_label
from tf_mopoe.reading import read_npz

NAMES = text.DIGITS
ALPHABET = " abcdefghijklmnopqrstuvwxyz"
LENGTH = 8  # characters of a word
DATA = pathlib.Path(__file__).parent / "data" / "digits.npz"


def load_digits(
    split: str = "train", seed: int = 0, epoch: int = 0, speech: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Load the embedded data set: MNIST pictures, synthetic speech (espeak-ng) and words, paired by label.

    10,000 train and 2,000 test pictures; 2,250 train and 720 test recordings. The splits share no picture and no voice.
    A row for every picture; its recording and the offset of its word are drawn. How it was made: data/README.md.

    Args:
        split: "train" or "test".
        seed, epoch: integers. The same two give the same rows; another `epoch` pairs them differently.
        speech: recordings to use in place of the embedded ones: (log-mels [N, 32, 64, 1], labels [N]), as of
            `free_spoken_digits`.

    Returns:
        inputs: {"image": [N, 28, 28, 1] and "speech": [N, 32, 64, 1] in 0..1, "word": one-hot [N, 8, 27]}, float32.
        labels: int64 [N], 0..9.

    Raises:
        ValueError: for an unknown split.
    """
    check_choice("split", split, ("train", "test"))
    seed, epoch = check_integer("seed", seed, low=0), check_integer("epoch", epoch, low=0)
    data = arrays()
    images, image_labels = data[f"{split}_image"], data[f"{split}_image_label"]
    if speech is None:
        speech = as_picture(data[f"{split}_speech"]), data[f"{split}_speech_label"]
    pair = isinstance(speech, tuple | list) and len(speech) == 2 and all(isinstance(x, np.ndarray) for x in speech)
    if not pair or speech[0].ndim != 4 or speech[1].shape != speech[0].shape[:1]:
        raise ValueError(
            "`speech` must be arrays (log-mels [N, 32, 64, 1], labels [N]) or None. Received: something else"
        )
    # "test" is not "train" under another seed: the words' offsets would be the same ones.
    offset = 0 if split == "train" else 10**6
    index, labels = pair_by_label(
        {"image": image_labels, "speech": np.asarray(speech[1])}, len(image_labels), seed, offset + epoch
    )
    inputs = {
        "image": as_picture(images[index["image"]]),
        "speech": speech[0][index["speech"]],
        "word": words(labels, np.random.default_rng([seed, offset + epoch, 1])),
    }
    return inputs, labels


def free_spoken_digits(path: os.PathLike | str, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Load real recordings of spoken digits, as log-mels: the Free Spoken Digit Dataset.

    Args:
        path: the folder with its recordings, `<digit>_<speaker>_<index>.wav`; or an .npz with `images` (uint8
            [N, 32, 64], as of `logmel.log_mel`), `labels` and `index`.
        split: "train" or "test". The official rule: recordings 0 to 4 of each speaker and digit are the test split.

    Returns:
        speech: float32 [N, 32, 64, 1] in 0..1; labels: int64 [N].

    Raises:
        ValueError: for an unknown split, a path with no recordings, or a file that is not one of them.
    """
    check_choice("split", split, ("train", "test"))
    path = pathlib.Path(check_path("path", path))
    if path.is_file():
        names = ("images", "labels", "index")
        images, labels, index = map(read_npz(path, names).get, names)
    else:
        files = sorted(path.glob("*.wav"))
        names = [re.fullmatch(r"(\d)_\w+_(\d+)", file.stem) for file in files]
        if not files or not all(names):
            raise ValueError(
                "`path` must be an .npz file, or a folder of recordings named <digit>_<speaker>_<index>.wav. "
                f"Received: path={str(path)!r}, {len(files)} .wav files, {sum(map(bool, names))} of them so named"
            )
        images = np.stack([logmel.log_mel(read_wav(file)) for file in files])
        labels = np.array([int(name[1]) for name in names])
        index = np.array([int(name[2]) for name in names])
    rows = (index < 5) == (split == "test")
    return as_picture(images[rows]), labels[rows].astype(np.int64)


def words(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return English names of digits at random offsets among blanks: one-hot float32 [N, 8, 27]."""
    names = [NAMES[label] for label in labels]
    starts = [rng.integers(LENGTH - len(name) + 1) for name in names]
    return text.one_hot([" " * start + name for start, name in zip(starts, names)], LENGTH, ALPHABET)


def read_words(characters: np.ndarray) -> list[str]:
    """Convert one-hot words or their probabilities to text, [N, 8, 27] -> list of N strings."""
    return text.read_text(characters, ALPHABET)


def nearest_digit(characters: np.ndarray, expected: bool = False) -> np.ndarray:
    """Find the digit whose name is nearest to a word, [N, 8, 27] -> int64 [N]; see `text.nearest_word`."""
    return text.nearest_word(characters, NAMES, ALPHABET, expected)


def as_picture(array: np.ndarray) -> np.ndarray:
    """Convert uint8 [N, H, W] to float32 [N, H, W, 1] in 0..1."""
    return (array[..., None] / np.float32(255.0)).astype(np.float32)


def read_wav(file):
    """Read samples [T] of a mono .wav of 16 bits, at 8 kHz."""
    with wave.open(str(file)) as recording:
        if recording.getnchannels() != 1 or recording.getsampwidth() != 2:
            raise ValueError(f"Recordings must be mono with 16 bits. Received: {str(file)!r}, {recording.getparams()}")
        samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2") / 32768.0
        return logmel.resample(samples, recording.getframerate())


@functools.cache
def arrays():
    return read_npz(DATA)
