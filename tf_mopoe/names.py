"""Names of modalities: the one rule for what a name may be, and the plain name for places that refuse most names.

Users give and get their own names: in dicts, flags has_<name> and metrics. Layers, inputs and outputs of exports, and
.tflite files have the plain name. A name of ASCII letters, digits and underscores that begins with a letter is its own
plain name, but for a few words.
"""

import keyword
import re

from tf_mopoe.inputs import FLAG

TAKEN = ("seed", "loc", "scale")  # other inputs and outputs of an export
MAX_LENGTH = 100  # of a plain name: files are named by it


def plain_name(name):
    """Reduce the name to ASCII letters, digits and underscores, a letter first; no word of Python or of an export.

    Every other character becomes an underscore, those beyond ASCII their code point: "RNA-seq" is RNA_seq, "cell type"
    cell_type, "größe" gr_xf6_xdfe, "class" m_class.
    """
    ascii = name.encode("ascii", "backslashreplace").decode()
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", ascii).lstrip("_")
    word = keyword.iskeyword(plain) or plain.lower() in (*TAKEN, "self")  # TensorFlow calls functions with `self=`
    return plain if plain[:1].isalpha() and not word else f"m_{plain}"


def plain_names(modalities):
    """Return {name: its plain name}.

    Raises:
        ValueError: for a name that Keras or the flags cannot take, or two whose plain names differ in case only, if at all.
    """
    bad = [name for name in modalities if not is_name(name)]
    if bad:
        raise ValueError(
            f"A modality's name must be a string of printable characters without '/', that does not begin with {FLAG!r} "
            f"and is not longer than about {MAX_LENGTH} characters. Received: {bad}"
        )
    owners = {}  # TensorFlow ignores case in the arguments of an exported function, and some disks do in file names
    for name in modalities:
        owners.setdefault(plain_name(name).lower(), []).append(name)
    for plain, names in owners.items():
        if len(names) > 1:
            raise ValueError(
                f"Modalities must differ by more than case and special characters. Received: {names}, which are both "
                f"{plain!r} in exported inputs and files"
            )
    return {name: plain_name(name) for name in modalities}


def is_name(name):
    if not isinstance(name, str) or not name or not name.isprintable() or "/" in name:
        return False
    plain = plain_name(name)
    return len(plain) <= MAX_LENGTH and not plain.lower().startswith(FLAG)
