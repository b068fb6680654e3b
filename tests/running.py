"""Runs the trainers as a user does: in a process of its own where that is part of the claim, else in this one."""

import contextlib
import importlib
import io
import os
import pathlib
import subprocess
import sys
from unittest import mock

import tensorflow as tf
from absl import flags
from absl import logging as absl_logging

ROOT = pathlib.Path(__file__).parents[1]
SMALL = ("--latent_dim=4", "--train_rows=192")


def command(out, *flags):
    return [sys.executable, "-m", "trainers.train", f"--out={out}", *SMALL, *flags]


def start(args, **environment):
    # One thread: the machine of a test has few cores, and the sums are the same every time.
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(
        args, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process):
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def main(name, *words):
    """What `python -m trainers.<name> <words>` prints, in this process; its errors are raised as they are.

    The module is imported and its flags are parsed afresh; the working folder is the project's. `--deterministic` sets
    modes that TensorFlow cannot leave again: it has no effect here.
    """
    levels, output = (absl_logging.get_verbosity(), tf.get_logger().level), io.StringIO()
    with (
        no_flags(),
        fresh(f"trainers.{name}") as module,
        mock.patch.object(tf.config.experimental, "enable_op_determinism"),
        mock.patch.object(tf.config.optimizer, "set_experimental_options"),
        contextlib.chdir(ROOT),
        contextlib.redirect_stdout(output),
    ):
        try:
            module.main(module.FLAGS([module.__name__, *words]))
        finally:
            absl_logging.set_verbosity(levels[0])
            tf.get_logger().setLevel(levels[1])
    return output.getvalue()


@contextlib.contextmanager
def fresh(name):
    """A scope in which the module is imported anew; what others have imported stays theirs."""
    package, _, attribute = name.rpartition(".")
    before = sys.modules.pop(name, None)
    try:
        yield importlib.import_module(name)
    finally:
        del sys.modules[name]
        delattr(sys.modules[package], attribute)
        if before is not None:
            sys.modules[name] = before
            setattr(sys.modules[package], attribute, before)


@contextlib.contextmanager
def no_flags():
    """A scope in which absl has its own flags alone, as in a new process: its state is all in the object's `__dict__`."""
    before, fresh = dict(vars(flags.FLAGS)), flags.FlagValues()
    for name, own in flags.FLAGS.flags_by_module_dict().items():
        for flag in own if name.startswith("absl") else ():
            fresh[flag.name] = flag
    vars(flags.FLAGS).clear()
    vars(flags.FLAGS).update(vars(fresh))
    try:
        yield
    finally:
        vars(flags.FLAGS).clear()
        vars(flags.FLAGS).update(before)
