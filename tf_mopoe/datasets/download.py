"""Files of public data sets: found in a folder, or fetched into it."""

import os
import tempfile

import keras

from tf_mopoe.files import PART, held


def find_or_fetch(folder, name, address, digest, algorithm, download=True):
    """Return the path of `name` in `folder`; if absent, fetch it from `address` with a progress bar and check its checksum.

    Args:
        folder: `pathlib.Path`.
        name: of the file.
        address: its URL.
        digest, algorithm: of the whole file; "md5" or "sha256".
        download: False: an absent file is an error.

    Raises:
        FileNotFoundError: if the file is absent and cannot be fetched; it names the address.
    """
    path = folder / name
    if path.exists():
        return path
    message = f"Put {name} from {address} into the folder. Received: {str(folder)!r}, without it"
    if not download:
        raise FileNotFoundError(message)
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder, shared=True), tempfile.TemporaryDirectory(prefix=PART, dir=folder) as aside:
        try:
            fetched = keras.utils.get_file(
                name, address, cache_dir=aside, cache_subdir="", file_hash=digest, hash_algorithm=algorithm
            )
        except Exception as error:  # Keras raises bare Exception for an address that does not answer
            raise FileNotFoundError(f"{message}, and it could not be fetched: {error}") from error
        os.replace(fetched, path)
    return path
