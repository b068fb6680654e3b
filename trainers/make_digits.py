"""Builds the embedded data set: MNIST pictures and digits spoken by the espeak-ng synthesiser.

    python -m trainers.make_digits --mnist=mnist.npz          # writes tf_mopoe/datasets/data/digits.npz, about a minute

Needs Debian's package espeak-ng and MNIST in keras' or this project's .npz layout. The same command with the same
versions writes the same arrays. A "voice" is one of espeak-ng's voice variants; those that differ by a number only
(steph, steph2, ...) count as one, and a voice is either in the train split or in the test split. Each voice says each
digit several times, every time with another accent of English, speed, pitch and level of background noise.
"""

import io
import pathlib
import re
import subprocess
import wave

import numpy as np
from absl import flags

from tf_mopoe.datasets import logmel
from tf_mopoe.files import write_aside
from trainers import commands

FLAGS = flags.FLAGS
flags.DEFINE_string("mnist", None, "MNIST as .npz (x_train/y_train/... as keras has it, or train_images/...).")
flags.DEFINE_string("out", "tf_mopoe/datasets/data/digits.npz", "The file to write.")
flags.DEFINE_integer("seed", 0, "Seed of everything that is drawn.")
flags.DEFINE_integer("takes", 3, "Recordings of each digit by each voice variant.")
flags.DEFINE_integer("train_images", 10000, "MNIST training pictures to keep, the first of each class alike.")
flags.DEFINE_integer("test_images", 2000, "MNIST test pictures to keep.")

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")
LEFT_OUT = {"fast", "Demonic"}  # a speed, not a voice; noise rather than speech
TEST_SHARE = 0.2


def voice_of(variant):
    """Return the voice a variant belongs to: `steph2` and `steph3` are steph; m1..m8 and f1..f5 are different people."""
    return variant if re.fullmatch(r"[mf]\d", variant) else re.sub(r"\d+$", "", variant).lower()


def variants():
    listing = subprocess.run(["espeak-ng", "--voices=variant"], check=True, capture_output=True, text=True).stdout
    names = re.findall(r"!v/(\S+)", listing)
    return sorted(set(names) - LEFT_OUT)


def speak(text, voice, speed, pitch):
    """Synthesize one recording, at 8 kHz, silence at its ends cut away: float64 [T] in -1..1."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(data)) as file:
        rate = file.getframerate()
        # espeak-ng cannot know the length when it writes the header of a pipe: read what there is.
        samples = np.frombuffer(file.readframes(2**24), "<i2") / 32768.0
    samples = logmel.resample(samples, rate)
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    return samples[max(loud[0] - 80, 0) : loud[-1] + 80]


def recordings(rng):
    """Return log-mels [N, 32, 64], labels [N], voices [N] (a number per variant), is_test [N]."""
    names = variants()
    voices = sorted({voice_of(name) for name in names})
    test_voices = set(rng.choice(voices, round(TEST_SHARE * len(voices)), replace=False))
    pictures, labels, numbers, is_test = [], [], [], []
    for number, name in enumerate(names):
        for digit, word in enumerate(NAMES):
            for _ in range(FLAGS.takes):
                accent = ACCENTS[rng.integers(len(ACCENTS))]
                samples = speak(word, f"{accent}+{name}", rng.integers(130, 211), rng.integers(25, 76))
                noise = 10.0 ** (rng.uniform(-75.0, -45.0) / 20.0)  # -75 to -45 dB of the loudest sample
                samples = np.pad(samples, (int(rng.integers(0, 400)), 0))  # begins within 50 ms
                # Noise as long as the recording, silence after it: recordings are cut to the word.
                samples = samples + noise * np.abs(samples).max() * rng.standard_normal(len(samples))
                samples = samples[: logmel.HOP * logmel.FRAMES]
                pictures.append(logmel.log_mel(samples))
                labels.append(digit)
                numbers.append(number)
                is_test.append(voice_of(name) in test_voices)
        print(f"\r{number + 1}/{len(names)} voices", end="", flush=True)
    print()
    return np.stack(pictures), np.uint8(labels), np.uint8(numbers), np.array(is_test)


def balanced(images, labels, count):
    """Return the first count / 10 pictures of every class, in the order of the source."""
    keep = np.sort(np.concatenate([np.flatnonzero(labels == c)[: count // 10] for c in range(10)]))
    return images[keep], labels[keep].astype(np.uint8)


def main(_):
    rng = np.random.default_rng(FLAGS.seed)
    with np.load(FLAGS.mnist) as source:
        keys = ("train_images", "train_labels", "test_images", "test_labels")
        if "x_train" in source:
            keys = ("x_train", "y_train", "x_test", "y_test")
        x_train, y_train, x_test, y_test = (source[key] for key in keys)
    speech, labels, voice, is_test = recordings(rng)
    arrays = {}
    arrays["train_image"], arrays["train_image_label"] = balanced(x_train, y_train, FLAGS.train_images)
    arrays["test_image"], arrays["test_image_label"] = balanced(x_test, y_test, FLAGS.test_images)
    for split, rows in (("train", ~is_test), ("test", is_test)):
        arrays[f"{split}_speech"] = speech[rows]
        arrays[f"{split}_speech_label"] = labels[rows]
        arrays[f"{split}_speech_voice"] = voice[rows]
    out = pathlib.Path(FLAGS.out)
    write_aside(out, lambda path: np.savez_compressed(path, **arrays))
    for key, array in arrays.items():
        print(f"{key:20s} {array.dtype} {array.shape}")
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    flags.mark_flag_as_required("mnist")
    commands.run(main)
