"""Runs the trainers as a user does, each in a process of its own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def command(out, *flags):
    return [sys.executable, "-m", "trainers.train", f"--out={out}", "--latent_dim=4", "--train_rows=192", *flags]


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
