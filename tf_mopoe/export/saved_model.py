"""SavedModel with flat, named signatures, laid out as TF Serving reads it."""

import pathlib
import shutil
import tempfile

import keras
import tensorflow as tf

from tf_mopoe import inputs as reading


def saved_model(model, path, version=None):
    """Writes `<path>/<version>/`, a SavedModel, aside first and then renamed: no half of it is ever under that name.

    Signatures (every input and output has a leading batch axis; equal rows in give equal rows out whatever the batch):

    * `translate` (also `serving_default`): every modality, every `has_<name>` (bool [B]) and `seed` (int32 [B, 2]) ->
      the mean of every modality given what each row has, through one sample of the subset posterior.
    * `encode`: every modality and flag -> `loc` and `scale` [B, D] of the subset posterior.
    * `generate`: `seed` (int32 [B, 2]) -> the mean of every modality from the prior.

    A modality that a row does not have may hold anything, NaN included.

    Args:
        model: `MultimodalVAE`.
        path: folder of the model's versions; made if need be.
        version: positive integer. Default: the next free one.

    Returns:
        `pathlib.Path` of the version's folder.

    Raises:
        ValueError: if `path` is a file, or `version` is no positive integer.
        FileExistsError: if that version is there already.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"`path` must be a folder. Received: path={str(path)!r}, which is a file")
    if version is not None and (not isinstance(version, int) or version < 1):
        raise ValueError(f"`version` must be a positive integer or None. Received: version={version!r}")
    path.mkdir(parents=True, exist_ok=True)
    if version is None:
        version = 1 + max((int(child.name) for child in path.iterdir() if child.name.isdigit()), default=0)
    target = path / str(version)
    if target.exists():
        raise FileExistsError(f"`version` must not exist yet. Received: version={version}, and {target} is there")
    aside = pathlib.Path(tempfile.mkdtemp(prefix=".part-", dir=path))
    try:
        write(model, aside / "model")
        (aside / "model").rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def write(model, path):
    modalities = [tf.TensorSpec([None, *shape], tf.float32, name=name) for name, shape in model.event_shapes.items()]
    flags = [tf.TensorSpec([None], tf.bool, name=reading.FLAG + name) for name in model.event_shapes]
    seed = tf.TensorSpec([None, 2], tf.int32, name="seed")
    names = [spec.name for spec in modalities + flags]

    def posterior(values):
        experts, available, _ = model.encode(dict(zip(names, values)))
        return model.mixture.product(experts, available)

    def translate(*values):
        q = posterior(values[:-1])
        return model.decode(q.loc + q.stddev() * noise(values[-1], model.latent_dim))

    def encode(*values):
        q = posterior(values)
        return {"loc": q.loc, "scale": q.stddev()}

    def generate(seed):
        return model.decode(noise(seed, model.latent_dim))

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("translate", translate, input_signature=[*modalities, *flags, seed])
    archive.add_endpoint("encode", encode, input_signature=[*modalities, *flags])
    archive.add_endpoint("generate", generate, input_signature=[seed])
    archive.write_out(str(path), verbose=False)


def noise(seed, latent_dim):
    """Standard normal [B, D], a row's draw from its own seed [B, 2] alone."""
    return tf.map_fn(
        lambda row: tf.random.stateless_normal([latent_dim], row),
        seed,
        fn_output_signature=tf.TensorSpec([latent_dim], tf.float32),
    )
