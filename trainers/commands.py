"""How every command starts: flags only, and only those that have an effect."""

import contextlib
import errno
import os

import tensorflow as tf
from absl import app, flags, logging

from tf_mopoe import files

FLAGS = flags.FLAGS


def run(main):
    """Parse the flags and call `main`; a word that is not part of a flag is a usage error.

    Args:
        main: function of the command line's words that are left, always the program's name alone.
    """

    def checked(words):
        if words[1:]:
            # `--weights false` is the flag --weights, which is true, and the word "false".
            raise app.UsageError(
                "Flags must be written --name=value, lists with commas and booleans as --name=true or --name=false. "
                f"Received: {' '.join(words[1:])}"
            )
        warnings_only()
        main(words)

    app.run(checked)


def integers(name):
    """Return the integers, 0 or more, of a flag that lists them; a usage error for anything else."""
    values = FLAGS[name].value
    if not values or not all(value.isdigit() for value in values):
        raise app.UsageError(f"--{name} must be integers, 0 or more. Received: {','.join(values) or 'none'}")
    return [int(value) for value in values]


def refuse(names, why):
    """Raise a usage error if one of these flags has another value than its default.

    Args:
        names: of flags that have no effect.
        why: end of the sentence "--name has no effect ...".
    """
    given = [name for name in names if FLAGS[name].value != FLAGS[name].default]
    if given:
        raise app.UsageError(f"--{given[0]} has no effect {why}. Received: --{given[0]}={FLAGS[given[0]].value}")


@contextlib.contextmanager
def output_folder(path, inside=()):
    """Create the folder of --out if it is absent, and hold it: see `files.held`. A usage error if that is impossible."""
    with contextlib.ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not os.access(path, os.W_OK):
                raise OSError(errno.EROFS, "not writable")
            stack.enter_context(files.held(path, inside=inside))
        except OSError as error:
            received = f"Received: {path}, {error.strerror.lower()}"
            raise app.UsageError(f"--out must be a folder that this command alone can write. {received}") from error
        yield


def warnings_only():
    """Show warnings and errors alone, unless --verbosity asks for more: an export logs much."""
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
        tf.get_logger().setLevel("WARNING")
