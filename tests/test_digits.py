"""The embedded data set and real recordings in the same form."""

import wave

import numpy as np
import pytest

import tf_mopoe as mopoe
from tf_mopoe.datasets import digits, logmel


def test_rows_agree_in_their_label():
    inputs, labels = mopoe.datasets.load_digits("test")
    assert {name: (x.shape, x.dtype) for name, x in inputs.items()} == {
        "image": ((2000, 28, 28, 1), np.float32),
        "speech": ((2000, 32, 64, 1), np.float32),
        "word": ((2000, 8, 27), np.float32),
    }
    assert np.bincount(labels).tolist() == [200] * 10
    for name in ("image", "speech"):
        assert inputs[name].min() == 0.0 and inputs[name].max() == 1.0
    texts = digits.read_words(inputs["word"])
    assert [digits.NAMES[label] for label in labels] == [text.strip() for text in texts]
    assert len(set(texts)) == sum(9 - len(name) for name in digits.NAMES)  # every name at every offset
    # every row's picture and recording is one of its label
    for name in ("image", "speech"):
        pool = digits.arrays()[f"test_{name}"]
        pool_labels = digits.arrays()[f"test_{name}_label"]
        by_content = {picture.tobytes(): label for picture, label in zip(pool, pool_labels)}
        stored = np.round(inputs[name][..., 0] * 255).astype(np.uint8)
        assert [by_content[picture.tobytes()] for picture in stored] == labels.tolist()


def test_train_and_test_share_no_picture_no_recording_and_no_voice():
    data = digits.arrays()
    for name in ("image", "speech"):
        train = {picture.tobytes() for picture in data[f"train_{name}"]}
        assert not train & {picture.tobytes() for picture in data[f"test_{name}"]}
    assert not set(data["train_speech_voice"]) & set(data["test_speech_voice"])
    assert len(data["train_speech"]) + len(data["test_speech"]) == 2970
    for split in ("train", "test"):
        count = np.bincount(data[f"{split}_speech_label"])
        assert count.min() == count.max()


def test_the_seed_and_epoch_decide_the_pairing():
    load = mopoe.datasets.load_digits
    first, _labels = load("train", seed=1)
    again, _ = load("train", seed=1)
    anew, _other = load("train", seed=1, epoch=1)
    np.testing.assert_array_equal(first["speech"], again["speech"])
    assert np.mean(np.all(first["speech"] == anew["speech"], axis=(1, 2, 3))) < 0.01
    # every picture is there once, in either
    assert len({x.tobytes() for x in first["image"]}) == len({x.tobytes() for x in anew["image"]}) > 9990
    with pytest.raises(ValueError, match='`split` must be "train" or "test". Received: split=\'valid\''):
        load("valid")


def test_pairing_uses_items_equally_often():
    labels = {"a": np.repeat([0, 1], [5, 3]), "b": np.repeat([0, 1], 2)}
    index, label = mopoe.datasets.pair_by_label(labels, 24, seed=0)
    assert np.bincount(label).tolist() == [12, 12]
    for name in labels:
        np.testing.assert_array_equal(labels[name][index[name]], label)
    assert np.bincount(index["b"]).tolist() == [6] * 4
    assert np.bincount(index["a"])[:5].max() - np.bincount(index["a"])[:5].min() <= 1
    with pytest.raises(ValueError, match="same classes. Received: "):
        mopoe.datasets.pair_by_label({"a": np.array([0, 1]), "b": np.array([0])}, 4)


def test_words_are_read_by_matching_characters():
    labels = np.repeat(np.arange(10), 20)
    words = digits.words(labels, np.random.default_rng(0))
    np.testing.assert_array_equal(digits.nearest_digit(words), labels)
    np.testing.assert_array_equal(digits.nearest_digit(words, expected=True), labels)
    six = words[labels == 6].mean(axis=0, keepdims=True)  # six at every offset at once: blank, as it is read
    assert digits.read_words(six) == [" " * 8] and digits.nearest_digit(six, expected=True) == [6]
    spoiled = words.copy()
    spoiled[:, 7] = spoiled[:, 0] = 0.1  # two of eight characters unreadable
    assert np.mean(digits.nearest_digit(spoiled) == labels) > 0.8


def test_log_mel_of_a_tone():
    """1 kHz for half a second: loudest in the band around 1 kHz, silent in the second half."""
    time = np.arange(logmel.RATE // 2) / logmel.RATE
    picture = logmel.log_mel(np.sin(2 * np.pi * 1000.0 * time))
    assert picture.shape == (32, 64) and picture.dtype == np.uint8 and picture.max() == 255
    centres = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 34)[1:-1] / 2595) - 1)
    assert abs(centres[picture[:, 10].argmax()] - 1000) < 100
    assert np.all(picture[:, 34:] == 0)
    np.testing.assert_array_equal(
        logmel.log_mel(0.01 * np.sin(2 * np.pi * 1000.0 * time)), picture
    )  # loudness is left out
    assert np.all(logmel.log_mel(np.zeros(100)) == 255)  # of silence, all is as loud as the loudest


def test_resampling_keeps_a_tone():
    time = np.arange(22050) / 22050
    tone = logmel.resample(np.sin(2 * np.pi * 440.0 * time), 22050)
    np.testing.assert_allclose(tone, np.sin(2 * np.pi * 440.0 * np.arange(8000) / 8000), atol=1e-3)


def write_wav(path, samples, rate=8000, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def test_real_recordings_from_wav_files(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("3_anna_0", "3_anna_5", "7_bob_12"):
        write_wav(tmp_path / f"{name}.wav", rng.uniform(-1, 1, 5000))
    train, labels = mopoe.datasets.free_spoken_digits(tmp_path, "train")
    assert train.shape == (2, 32, 64, 1) and labels.tolist() == [3, 7]
    test, labels = mopoe.datasets.free_spoken_digits(tmp_path, "test")
    assert test.shape == (1, 32, 64, 1) and labels.tolist() == [3]
    inputs, labels = mopoe.datasets.load_digits("test", speech=(np.tile(test, (10, 1, 1, 1)), np.arange(10)))
    assert inputs["speech"].shape == (2000, 32, 64, 1)
    write_wav(tmp_path / "nine.wav", rng.uniform(-1, 1, 100))
    with pytest.raises(ValueError, match="named <digit>_<speaker>_<index>.wav.*4 .wav files, 3 of them so named"):
        mopoe.datasets.free_spoken_digits(tmp_path)
    (tmp_path / "nine.wav").unlink()
    write_wav(tmp_path / "1_eve_0.wav", rng.uniform(-1, 1, 100), channels=2)
    with pytest.raises(ValueError, match="mono with 16 bits. Received: "):
        mopoe.datasets.free_spoken_digits(tmp_path)


def test_real_recordings_from_log_mels(real_data):
    path = real_data("fsdd_logmel32x64.npz")
    train, _train_labels = mopoe.datasets.free_spoken_digits(path, "train")
    test, test_labels = mopoe.datasets.free_spoken_digits(path, "test")
    assert (len(train), len(test)) == (2700, 300)
    assert np.bincount(test_labels).tolist() == [30] * 10
    # The synthetic speech is as bright as the real one, to within 5 %, and as often silent, to within 5 points.
    synthetic = mopoe.datasets.load_digits("train")[0]["speech"]
    assert abs(synthetic.mean() / train.mean() - 1) < 0.05
    assert abs(np.mean(synthetic == 0) - np.mean(train == 0)) < 0.05
