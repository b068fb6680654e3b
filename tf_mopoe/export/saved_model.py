"""SavedModel with flat, named signatures, laid out as TF Serving reads it."""

import errno
import os
import pathlib
import re
import tempfile

import keras
import tensorflow as tf

from tf_mopoe.checks import check_count, check_path, is_integer
from tf_mopoe.export import pruning, serving_files, warm_up
from tf_mopoe.export.signatures import signatures
from tf_mopoe.files import PART, held
from tf_mopoe.model import MultimodalVAE
from tf_mopoe.not_finite import check_weights


def saved_model(
    model: MultimodalVAE,
    path: os.PathLike | str,
    version: int | None = None,
    num_samples: int = 64,
    name: str | None = None,
) -> pathlib.Path:
    """Write `<path>/<version>/`, a SavedModel with warm-up requests, and beside it TF Serving's configuration files.

    All is written aside first and then renamed: no half of it is ever under that name. What an export that was killed has
    left aside, the next one removes, unless another one is at work. Beside the versions:
    models.config, batching_parameters.txt and monitoring.config, each only if it is not there yet (they are the user's to
    edit), and README.md, which describes how to serve and call this export.

    A modality's name in inputs and outputs is its plain name (`tf_mopoe.names`): RNA_seq for "RNA-seq".

    Signatures. Every input and output has a leading batch axis, a row's outputs depend on that row alone, and every input
    has to be sent. A row's draws come from its `seed` (int32 [B, 2]); `[s, 0]` draws what the model's method of that name
    does for that row alone with `seed=s`.

    * `translate` (also `serving_default`): every modality, every `has_<name>` (bool [B]) and `seed` -> the mean of every
      modality given what each row has, through one sample, as `model.translate`.
    * `encode`: every modality and flag -> `loc` and `scale` [B, D] of `model.subset_posterior`.
    * `joint_posterior`: every modality and flag -> `weights` [B, S], `loc` and `scale` [B, S, D] of the components.
    * `generate`: `seed` -> the mean of every modality from the prior.
    * `fuse`: `loc_<name>` and `scale_<name>` [B, D] of every modality's encoder, `private_loc_<name>` and
      `private_scale_<name>` [B, P] of those with private latent variables, flags and `seed` -> `loc` and `scale` as `encode`
      has them, and every modality as `translate` has it. Not there with a `JointEncoder`, which reads the rows themselves.
    * `log_likelihood`: every modality and flag, and `seed` -> `log_likelihood` [B], nats, as `model.log_likelihood`.

    Laplace experts have no product: an export of several has no `encode`, and its `fuse` no `loc` and `scale`. Subsets that
    are drawn (`MixtureOfProducts`) are the same for every row in `joint_posterior`, of the row's seed in `log_likelihood`.

    What a row does not have may hold anything, NaN included. In `fuse` a modality is absent, whatever its flag says, in the
    rows where a loc is not finite or a scale is not positive and finite: other clients' rows may be in the batch.
    A row that has nothing has N(0, I) as its posterior, and log-likelihood 0.

    Args:
        model: `MultimodalVAE`.
        path: folder of the model's versions; created if missing.
        version: positive integer. Default: the next free one.
        num_samples: K of `log_likelihood`, default 64.
        name: the model's on the server; `_` takes the place of what is no letter, digit, `_`, `.` or `-`. Default: the
            folder's.

    Returns:
        `pathlib.Path` of the version's folder.

    Raises:
        ValueError: if `path` is a file, `version` or `num_samples` is no positive integer, or the model's weights are not
            finite.
        FileExistsError: if that version is there already.
    """
    path = pathlib.Path(check_path("path", path))
    if path.exists() and not path.is_dir():
        raise ValueError(f"`path` must be a folder. Received: path={str(path)!r}, which is a file")
    if version is not None and not (is_integer(version, low=1) and version < 2**63):  # the server's int64
        raise ValueError(f"`version` must be a positive integer or None. Received: version={version!r}")
    if name is not None and not isinstance(name, str):
        raise ValueError(f"`name` must be a string or None. Received: name={name!r}")
    num_samples = check_count("num_samples", num_samples)
    check_weights(model)
    endpoints = signatures(model, num_samples)
    path.mkdir(parents=True, exist_ok=True)
    check_free(path, version)
    # In this folder, so that renaming is possible wherever it is mounted; a server looks at numbers only.
    with held(path, shared=True), tempfile.TemporaryDirectory(prefix=PART, dir=path) as aside:
        aside = pathlib.Path(aside)
        name = server_name(name or path.resolve().name)
        write(model, endpoints, name, aside / "model")
        files = serving_files.write(aside, name, model, num_samples, endpoints)
        target = publish(aside / "model", path, version)
        for file in files:
            if file.name == "README.md" or not (path / file.name).exists():
                os.replace(file, path / file.name)
    return target


def write(model, endpoints, name, path):
    archive = keras.export.ExportArchive()
    # What endpoints use is saved without `track`, all but lookup tables. Were the model tracked as the Keras layer it is,
    # every weight would be saved twice.
    holder = tf.Module()
    holder.model = model
    archive.track(holder)
    for signature, (function, specs) in endpoints.items():
        archive.add_endpoint(signature, function, input_signature=specs)
    # Nobody takes gradients of an export, and theirs would hold on to what pruning takes out.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    archive.write_out(str(path), options=options, verbose=False)
    pruning.prune(path)
    # The server keeps an executor for each signature it has run, so the default is warmed up besides its namesake.
    inputs = {signature: specs for signature, (_, specs) in endpoints.items()}
    inputs["serving_default"] = inputs["translate"]
    (path / "assets.extra").mkdir()
    warm_up.write(path / "assets.extra" / "tf_serving_warmup_requests", name, inputs)


def publish(folder, path, version):
    """Rename `folder` to the version, or to the next free one if None, even if another process takes that just now."""
    while True:
        target = path / str(version or 1 + max(versions(path), default=0))
        try:
            os.rename(folder, target)
            return target
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            check_free(path, version)


def versions(path):
    return {int(child.name) for child in path.iterdir() if re.fullmatch("[0-9]+", child.name)}


def check_free(path, version):
    if version in versions(path):
        raise FileExistsError(f"`version` must not exist yet. Received: version={version}, which is in {path}")


def server_name(name):
    """Reduce the name to characters that are safe in URLs and shells."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name) or "model"
