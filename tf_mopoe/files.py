"""Files that appear whole, and folders that one process at a time writes: the leftovers of a killed process are removed."""

import contextlib
import os
import pathlib
import shutil
import uuid

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

PART = ".part-"  # begins the names of what is not whole yet


def write_aside(path, write):
    """Call `write` with another path of the same ending, then rename: `path` is never half written.

    Raises:
        OSError: with the name `path`, if it cannot be written; what had that name before is still there.
    """
    path = pathlib.Path(path)
    aside = path.with_name(f"{PART}{uuid.uuid4().hex}{path.suffix}")  # no other process has this name
    try:
        write(aside)
        os.replace(aside, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


@contextlib.contextmanager
def held(folder, shared=False, inside=()):
    """Hold an existing folder for this process, and remove what killed processes left half written in it.

    The system ends the hold with the process, however that ends. Where folders cannot be locked (Windows, some network file
    systems) nothing is held, and nothing removed.

    Args:
        folder: path.
        shared: other processes that say so too may hold it at the same time; nothing is removed while they do.
        inside: names of its folders that are cleaned likewise.

    Raises:
        BlockingIOError: if another process holds it; never if both share it.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if lock(handle, shared, folder):
            for name in ("", *inside):
                remove_parts(pathlib.Path(folder) / name)
            if shared:
                fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def lock(handle, shared, folder):
    """Lock an open folder; return whether this process alone has it now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError as error:
        if not shared:
            raise BlockingIOError(error.errno, "in use by another process", str(folder)) from error
        fcntl.flock(handle, fcntl.LOCK_SH)  # waits while another removes what was left
    except OSError:  # a file system without locks
        pass
    return False


def remove_parts(folder):
    """Remove files and folders that were not finished."""
    for part in folder.glob(f"{PART}*"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
