"""CelebA: a face, and the names of its attributes as text."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from tf_mopoe.checks import check_choice, check_integer, check_path
from tf_mopoe.datasets import text
from tf_mopoe.datasets.rows import Rows

HOME = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
SPLITS = ("train", "validation", "test")  # 0, 1 and 2 in the list of the splits
HEIGHT, WIDTH, CROP, SIZE = 218, 178, 148, 64  # pixels
LENGTH = 256  # characters of a text
FILL = "*"
# fmt: off
ATTRIBUTES = (  # the names, in the order of the official list
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)
# fmt: on


def celeba(data_dir: os.PathLike | str, split: str = "train", seed: int = 0) -> tuple[Rows, np.ndarray]:
    """Load bimodal CelebA (Sutter et al. 2020 and 2021): a face, and its attributes as text.

    As in the official code: the centre of the picture, 148x148 pixels, is resized to 64x64 by antialiased bicubic
    interpolation, to whole levels of 255. The text joins the names of the attributes that are present by ", ", in the
    list's order, in lower case and with blanks for "_"; the last names are left out if it would be longer than 256
    characters. It begins at a place that is drawn once, among "*" on both sides. (Its texts are made by the script of the
    2020 paper, mmjsd/preprocessing, which leaves out the last two places; and it evaluates on the validation split.)

    CelebA is for non-commercial research, by terms to which its users agree: so nothing is fetched here.

    Args:
        data_dir: folder with img_align_celeba/ (000001.jpg, ..., 178x218 pixels), list_attr_celeba.txt and
            list_eval_partition.txt; or with these in the official folders Img/, Anno/ and Eval/.
        split: "train" (162,770 rows), "validation" (19,867) or "test" (19,962).
        seed: int >= 0, of the places where the texts begin.

    Returns:
        rows: `Rows` of {"image": [64, 64, 3] in 0..1, "text": one-hot [256, 71]}, float32. A picture is read when its
            row is made.
        labels: bool [N, 40], the attributes, in the order of `ATTRIBUTES`.

    Raises:
        ValueError: for an unknown split, or a list with a line that is not of its form.
        FileNotFoundError: for a list, folder or picture that is absent.
    """
    check_choice("split", split, SPLITS)
    seed = check_integer("seed", seed, low=0)
    folder = pathlib.Path(check_path("data_dir", data_dir))
    pictures = find(folder, "Img", "img_align_celeba")
    names, attributes = read_attributes(find(folder, "Anno", "list_attr_celeba.txt"))
    chosen = read_splits(find(folder, "Eval", "list_eval_partition.txt"), names) == SPLITS.index(split)
    names, attributes = names[chosen], attributes[chosen]
    absent = sorted(set(names) - {path.name for path in pictures.iterdir()})
    if absent:
        raise FileNotFoundError(
            f"All pictures of CelebA's {split} split must be in {str(pictures)!r} ({HOME}). "
            f"Received: {len(absent)} of {len(names)} absent, the first {str(absent[0])!r}"
        )
    # "test" is not "train" under another seed: the texts would begin at the same places.
    texts = describe(attributes, np.random.default_rng([seed, SPLITS.index(split)]))
    paths = tf.constant([str(pictures / name) for name in names], tf.string)
    symbols = tf.constant(text.symbols(texts, LENGTH).astype(np.int8))  # [N, 256]

    def make(rows):
        crops = tf.map_fn(
            read_crop, tf.gather(paths, rows), fn_output_signature=tf.TensorSpec([CROP, CROP, 3], tf.uint8)
        )
        one_hot = tf.one_hot(tf.cast(tf.gather(symbols, rows), tf.int32), len(text.ALPHABET))
        return {"image": shrink(crops), "text": one_hot}

    return Rows(len(names), make), attributes


def find(folder, official, name):
    """Return the path of `name` in `folder` or in its subfolder `official`."""
    places = [folder / name, folder / official / name]
    for path in places:
        if path.exists():
            return path
    raise FileNotFoundError(
        f"`data_dir` must hold {name} of CelebA (available for non-commercial research at {HOME}). "
        f"Received: no {' and no '.join(repr(str(path)) for path in places)}"
    )


def read_attributes(path):
    """Read list_attr_celeba.txt: names of the pictures, str [N]; attributes, bool [N, 40]."""
    lines = path.read_text().splitlines()
    if len(lines) < 2 or tuple(lines[1].split()) != ATTRIBUTES:
        raise ValueError(f"Line 2 of {str(path)!r} must be the names of the 40 attributes. Received: {lines[1:2]}")
    rows = lines[2:]
    if lines[0].strip() != str(len(rows)):
        raise ValueError(
            f"Line 1 of {str(path)!r} must be the number of pictures. Received: {lines[0]!r}, and {len(rows)} lines of them"
        )
    names, attributes = [], np.empty((len(rows), len(ATTRIBUTES)), bool)
    for number, row in enumerate(rows):
        name, *values = row.split() or [""]
        if len(values) != len(ATTRIBUTES) or not set(values) <= {"1", "-1"}:
            raise ValueError(
                f"Line {number + 3} of {str(path)!r} must be a picture's name and 40 times 1 or -1. Received: {row!r}"
            )
        names.append(name)
        attributes[number] = [value == "1" for value in values]
    return np.array(names, str), attributes


def read_splits(path, names):
    """Read list_eval_partition.txt: number of the split of each of `names`, int [N]."""
    lines = path.read_text().splitlines()
    numbers = {}
    for number, line in enumerate(lines):
        fields = line.split()
        if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
            raise ValueError(
                f"Line {number + 1} of {str(path)!r} must be a picture's name and 0, 1 or 2. Received: {line!r}"
            )
        numbers[fields[0]] = int(fields[1])
    if set(numbers) != set(names) or len(lines) != len(names):
        raise ValueError(
            f"{str(path)!r} must name the {len(names)} pictures of the attributes' list, each once. "
            f"Received: {len(lines)} lines, {len(set(names) & set(numbers))} of these pictures"
        )
    return np.array([numbers[name] for name in names], int)


def describe(attributes, rng):
    """Describe attributes, bool [N, 40], by N texts of 256 characters, each at a random place among stars."""
    readable = [name.replace("_", " ").lower() for name in ATTRIBUTES]
    texts = []
    for row in attributes:
        names = [readable[number] for number in np.flatnonzero(row)]
        while len(words := ", ".join(names)) > LENGTH:
            names.pop()
        start = rng.integers(LENGTH - len(words) + 1)
        texts.append((FILL * start + words).ljust(LENGTH, FILL))
    return texts


def read_crop(path):
    """Read the centre of a picture: uint8 [148, 148, 3]."""
    # The slower decoding is the one that PIL does.
    picture = tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")
    fits = tf.reduce_all(tf.shape(picture) == [HEIGHT, WIDTH, 3])
    message = ["Pictures must have 178x218 pixels. Received: [height, width, 3]", tf.shape(picture), path]
    with tf.control_dependencies([tf.debugging.Assert(fits, message)]):  # before the crop fails for the same reason
        picture = tf.identity(picture)
    top, left = (HEIGHT - CROP) // 2, (WIDTH - CROP) // 2
    return tf.ensure_shape(picture[top : top + CROP, left : left + CROP], [CROP, CROP, 3])


def shrink(crops):
    """Resize uint8 [B, 148, 148, 3] to float32 [B, 64, 64, 3] in 0..1."""
    for size in ([CROP, SIZE], [SIZE, SIZE]):  # as PIL does: first the rows, and what overshoots is cut after each pass
        crops = tf.image.resize(crops, size, "bicubic", antialias=True)
        crops = tf.round(tf.clip_by_value(crops, 0.0, 255.0))
    return crops / 255.0
