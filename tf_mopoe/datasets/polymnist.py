"""PolyMNIST: the same digit, differently written, on several backgrounds; generated from MNIST and a few pictures."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mopoe.checks import check_integer, check_path
from tf_mopoe.datasets.mnist import mnist as read_mnist
from tf_mopoe.datasets.rows import Rows

SIZE = 28  # pixels
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "rocket.jpg")  # scikit-image's


def polymnist(
    mnist: os.PathLike | str,
    backgrounds: os.PathLike | str | Sequence[Any] | None = None,
    split: str = "train",
    seed: int = 0,
) -> tuple[Rows, np.ndarray]:
    """Load PolyMNIST, digits in M views: crops of M background pictures, their colours inverted where the digit is.

    The recipe of the published data (Sutter et al., 2021; their code's mmnist/MMNISTDataset.py): the views of a row share
    their label, not their digit. Each view uses every MNIST picture once, in a separate order within the label. A
    crop's corner is drawn uniformly over the whole background; its colours c become 255 - c where the digit's pixel
    is above 128.

    Args:
        mnist: path of MNIST's files, as of `mnist.mnist`.
        backgrounds: a folder of .jpg or .png pictures, all used, in the order of their names; or a list of paths or uint8
            arrays [H, W] or [H, W, C]. 2 to 8 pictures of at least 28x28 pixels. Default: five photographs
            bundled with scikit-image.
        split: "train" or "test".
        seed: int >= 0, of the pairing and the crops. The same row is the same pictures, in every batch and process.

    Returns:
        inputs: `Rows` {"m0": float32 [28, 28, 3] in 0..1, "m1": ..., ...}, as many as MNIST's.
        labels: int64 [N], in MNIST's order.

    Raises:
        ValueError: for an unknown split, or backgrounds of another number, size or type.
        FileNotFoundError: if MNIST or a background is not there.
        ImportError: if `backgrounds` is None and scikit-image is not installed.
    """
    seed = check_integer("seed", seed, low=0)
    images, labels = read_mnist(check_path("mnist", mnist), split)
    ink = tf.constant(np.uint8(255) * (images > 128)[..., None])  # [N, 28, 28, 1]
    views = {}
    for number, background in enumerate(read_backgrounds(backgrounds)):
        rng = np.random.default_rng([seed, ("train", "test").index(split), number])
        views[f"m{number}"] = view(background, ink, *draw(labels, background, rng))
    return Rows(len(labels), lambda rows: {name: make(rows) for name, make in views.items()}), labels


def draw(labels, background, rng):
    """Draw each row's digit, int64 [N], one of its label; and its crop's upper left corner, int64 [N, 2]."""
    digit = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        items = np.flatnonzero(labels == label)
        digit[items] = rng.permutation(items)
    # To the last place that fits. (The official code leaves out the last row and the last column.)
    corner = rng.integers(np.array(background.shape[:2]) - SIZE + 1, size=(len(labels), 2))
    return digit, corner


def view(background, ink, digit, corner):
    """Return the function of one view: row numbers [B] -> pictures [B, 28, 28, 3]."""
    width = background.shape[1]
    pixels = tf.constant(background.reshape(-1, 3))
    start = tf.constant(corner @ [width, 1])  # [N]
    steps = tf.constant(np.arange(SIZE)[:, None] * width + np.arange(SIZE))  # a crop's pixels, counted from its corner
    digit = tf.constant(digit)

    def make(rows):
        crop = tf.gather(pixels, tf.gather(start, rows)[:, None, None] + steps)  # [B, 28, 28, 3]
        inverted = tf.bitwise.bitwise_xor(crop, tf.gather(ink, tf.gather(digit, rows)))  # c ^ 255 = 255 - c
        return tf.cast(inverted, tf.float32) / 255.0

    return make


def read_backgrounds(backgrounds):
    """Read 2 to 8 pictures, list of uint8 [H, W, 3]; arguments and errors as of `polymnist`."""
    if backgrounds is None:
        try:
            import skimage
        except ImportError as error:
            raise ImportError("The default `backgrounds` need scikit-image (pip install tf_mopoe[datasets])") from error
        # Not by skimage.data's functions: with pooch installed these may ask the network.
        backgrounds = [pathlib.Path(skimage.__file__).parent / "data" / name for name in PHOTOGRAPHS]
    elif isinstance(backgrounds, str | pathlib.Path):
        folder = pathlib.Path(backgrounds)
        if not folder.is_dir():
            raise FileNotFoundError(f"`backgrounds` must be a folder or a list. Received: backgrounds={str(folder)!r}")
        backgrounds = sorted(x for x in folder.iterdir() if x.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not isinstance(backgrounds, list | tuple | np.ndarray):
        raise ValueError(f"`backgrounds` must be a folder, a list or None. Received: backgrounds={backgrounds!r}")
    if not 2 <= len(backgrounds) <= 8:
        raise ValueError(f"`backgrounds` must be 2 to 8 pictures. Received: {len(backgrounds)} pictures")
    return [as_background(background) for background in backgrounds]


def as_background(source):
    """Convert a path or array to uint8 [H, W, 3]: grey is repeated, alpha is dropped."""
    if isinstance(source, str | pathlib.Path):
        array = tf.io.decode_image(pathlib.Path(source).read_bytes(), expand_animations=False).numpy()
        name = repr(str(source))
    else:
        array = np.asarray(source)
        name = "an array"
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or min(array.shape[:2]) < SIZE:
        raise ValueError(
            "`backgrounds` must be uint8 pictures [H, W, C] of 28x28 pixels or more, with 1 to 4 channels. "
            f"Received: {name}, {array.dtype} {array.shape}"
        )
    return np.repeat(array[..., :1], 3, axis=2) if array.shape[2] < 3 else array[..., :3]
