"""Encoders as .tflite files, for devices that run LiteRT: they encode, a server fuses."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

import tf_mopoe
from tf_mopoe.checks import check_choice, check_path
from tf_mopoe.export import encoder_file, fusion
from tf_mopoe.families import Normal
from tf_mopoe.files import held, write_aside
from tf_mopoe.inputs import FLAG, check_values, dense, read_arrays
from tf_mopoe.model import MultimodalVAE
from tf_mopoe.names import plain_name
from tf_mopoe.not_finite import check_weights


def tflite_encoders(
    model: MultimodalVAE,
    path: os.PathLike | str,
    quantization: str | None = None,
    representative: Mapping[str, Any] | None = None,
) -> dict[str, pathlib.Path]:
    """Write `<path>/<name>.tflite` of every modality's encoder, x [B, E] -> loc and scale [B, D], float32 all.

    One with private latent variables gives `private_loc` and `private_scale` [B, P] too.

    <name> is the modality's plain name (`tf_mopoe.names`): RNA_seq for "RNA-seq". Each file has one signature, "encode",
    with that name as its input's, any number of rows B from 1, and only LiteRT's built-in operations. Beside it <name>.json
    describes its input and outputs; fusion.py is a copy of `fuse` and `usable_rows`, which need NumPy alone. (`fuse` does
    not serve a `JointEncoder`, which reads the data itself, nor Laplace experts, which have no product: there "fusion" in
    the .json is null.) All are converted, and run on a few rows against the
    encoder, before the first is written; each is written aside and renamed, and takes the place of one that is there.

    Args:
        model: `MultimodalVAE`.
        path: folder; created if missing.
        quantization: None (default: float32), "float16" (weights of half the size), "dynamic" (weights of 8 bits) or
            "int8" (weights and what runs through the network of 8 bits; the scale's exponential stays a float).
        representative: {name: [N, E]} of every modality, a few hundred rows such as the devices will see, and
            optionally flags `has_<name>`: needed for "int8", which takes the ranges of all values from them. Otherwise
            only the range of the data, for the .json.

    Returns:
        {name: `pathlib.Path`} of the .tflite files.

    Raises:
        ValueError: if `path` is a file, for an unknown `quantization`, `representative` rows that are missing or do not
            fit the model, a network that cannot be converted (or not so), or weights that are not finite.
        ImportError: without ai-edge-litert.
    """
    path = pathlib.Path(check_path("path", path))
    if path.exists() and not path.is_dir():
        raise ValueError(f"`path` must be a folder. Received: path={str(path)!r}, which is a file")
    check_choice("quantization", quantization, tuple(encoder_file.TOLERANCES))
    check_weights(model)
    rows = representative_rows(model, quantization, representative)
    files = {
        name: encoder_file.converted(encoder, name, model.event_shapes[name], quantization, rows.get(name))
        for name, encoder in model.encoders.items()
    }
    contents = {f"{plain_name(name)}.tflite": content for name, content in files.items()}
    for name in files:
        contents[f"{plain_name(name)}.json"] = json.dumps(
            card(model, name, quantization, rows.get(name)), indent=2
        ).encode()
    contents["fusion.py"] = pathlib.Path(fusion.__file__).read_bytes()
    path.mkdir(parents=True, exist_ok=True)
    with held(path, shared=True):
        for file, content in contents.items():
            write_aside(path / file, lambda aside, content=content: aside.write_bytes(content))
    return {name: path / f"{plain_name(name)}.tflite" for name in files}


def representative_rows(model, quantization, representative):
    """Return {name: float32 [N, E]}, of each modality the rows that have it."""
    if representative is None:
        if quantization == "int8":
            raise ValueError(
                '`representative` must hold rows of every modality for quantization="int8". Received: None'
            )
        return {}
    arrays = dense(read_arrays(representative, model.specs, argument="representative"))
    check_values(arrays, model.specs, every_row=False)
    rows = {}
    for name in (name for name in model.modalities if name in arrays):
        has = arrays.get(FLAG + name, np.ones(len(arrays[name]), bool))
        rows[name] = np.asarray(arrays[name], model.specs[name].dtype)[has if has.ndim == 1 else has.any(axis=1)]
    counts = {name: len(rows.get(name, ())) for name in model.modalities}
    if not all(counts.values()):
        raise ValueError(f"`representative` must hold rows of every modality. Received: {counts}")
    return rows


def card(model, name, quantization, rows):
    """Return the content of the .json; "fusion" is None where the product of the experts is not the model's posterior."""
    layer, private = model.mixture, model.private_dims.get(name, 0)
    sizes = {"loc": model.latent_dim, "scale": model.latent_dim}
    sizes |= {"private_loc": private, "private_scale": private} if private else {}
    fuses = layer.family is Normal and not layer.reads_inputs and not layer.experts_are_features
    return {
        "modality": name,
        "signature": "encode",
        "input": {
            "name": plain_name(name),
            "shape": [None, *model.event_shapes[name]],
            "dtype": "float32",
            "range": None if rows is None else [float(rows.min()), float(rows.max())],
        },
        "outputs": {key: [None, size] for key, size in sizes.items()},
        "density": layer.family.name,
        "latent_dim": model.latent_dim,
        "quantization": quantization,
        "fusion": {"modalities": list(model.modalities), **layer.pooling.fusion()} if fuses else None,
        "tf_mopoe": tf_mopoe.__version__,
    }
