"""Names for files that are written aside and then renamed, so that a file with the final name is always whole."""

import os
import pathlib
import secrets


def aside(path):
    """Returns a path in the same folder, with the same ending, that no other process or machine uses."""
    path = pathlib.Path(path)
    return path.with_name(f".part-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")


def write_aside(path, write):
    """Calls `write` with another path in the same folder, then renames it to `path`. An error leaves nothing behind."""
    part = aside(path)
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
