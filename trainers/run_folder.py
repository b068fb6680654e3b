"""A run's folder: the files of a training, each written aside and renamed."""

import csv
import json
import os
import pathlib
import subprocess
import time

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tf_mopoe import export, plots
from tf_mopoe.files import write_aside
from trainers import checkpoints, experiments, reading

CHECKPOINT_SECONDS = 30.0  # at the end of an epoch, if the last checkpoint is this old
PICTURES = 5  # times in a run that pictures are drawn, besides the end


class RunFolder:
    """Writes metrics.csv, TensorBoard scalars and pictures, checkpoints, and the other files at the end.

    Args:
        out: `pathlib.Path` of the folder.
        experiment: see `trainers.experiments`.
        settings: {flag: value} of the run.
    """

    def __init__(self, out, experiment, settings):
        self.out, self.experiment, self.settings = out, experiment, settings
        self.test, labels = experiments.load(experiment, "test", seed=settings["seed"])
        self.shown = self.test[[np.flatnonzero(labels == label)[0] for label in np.unique(labels)]]  # one of each class
        self.rows = self.rows_until_checkpoint()
        self.writer = self.summary_writer()
        self.began = self.saved = time.monotonic()
        self.seconds_before = float(self.rows[-1]["seconds"]) if self.rows else 0.0  # of earlier sittings
        (out / "pictures").mkdir(exist_ok=True)
        for part in [*out.glob(".part-*"), *out.glob("*/.part-*.*")]:  # of a run that was killed
            if part.is_file():
                part.unlink()

    def rows_until_checkpoint(self):
        steps = checkpoints.steps(self.out)
        return [row for row in reading.read_metrics(self.out / "metrics.csv") if steps and row["step"] <= steps[-1]]

    def summary_writer(self):
        try:
            import tensorboard  # noqa: F401  tf.summary needs it
        except ImportError:
            logging.warning("No TensorBoard logs: tensorboard is not installed (pip install tf_mopoe[train]).")
            return tf.summary.create_noop_writer()
        return tf.summary.create_file_writer(str(self.out / "tensorboard"))

    def checkpoint(self, model, step, metrics):
        checkpoints.save(model, self.out, step, metrics)
        self.saved = time.monotonic()

    def epoch(self, model, step, epoch, values, metrics):
        """Record an epoch (from 0): `values` are the metrics' means over it, `metrics` their state."""
        seconds = round(self.seconds_before + time.monotonic() - self.began, 1)
        self.rows.append({"epoch": epoch + 1, "step": step, **values, "seconds": seconds})
        write_aside(self.out / "metrics.csv", lambda path: write_csv(path, self.rows))
        last = epoch + 1 == self.settings["epochs"]
        with self.writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
            if last or (epoch + 1) % max(1, self.settings["epochs"] // PICTURES) == 0:
                for path in self.draw(model):
                    tf.summary.image(path.stem, tf.io.decode_png(path.read_bytes(), 3)[None])
        self.writer.flush()
        if last or time.monotonic() - self.saved > CHECKPOINT_SECONDS:  # after all that a resumed run does not do again
            self.checkpoint(model, step, metrics)

    def draw(self, model):
        """Draw the pictures of the model as it is; return their paths, none (and a warning) where matplotlib is missing."""
        paths = [self.out / "pictures" / name for name in ("translations.png", "prior.png")]
        try:
            plots.translations(model, self.shown, paths[0], self.experiment.plotters)
            plots.prior_samples(model, paths[1], self.experiment.plotters)
        except ImportError:
            text = "No pictures: matplotlib is not installed (pip install tf_mopoe[train])."
            logging.log_first_n(logging.WARNING, text, 1)
            return []
        return paths

    def finish(self, model):
        """Write the files of a finished run; one that had been finished before stays as it is."""
        path = self.out / "metrics.json"  # the last file that is written
        if path.exists() and reading.read_json(path)["train"]["step"] == self.rows[-1]["step"]:
            print(f"Nothing was left to do: {self.out} has all {self.settings['epochs']} epochs.")
            return
        write_aside(self.out / "model.keras", model.save)
        # Read back: outside the strategy, whose other workers do not wait for what the chief does alone.
        model = keras.models.load_model(self.out / "model.keras")
        test = model.evaluate(self.test.dataset(self.settings["batch_size"]), verbose=0, return_dict=True)
        exported = export.saved_model(model, self.out / "saved_model", name=self.out.resolve().name)
        train = dict(self.rows[-1])
        seconds = train.pop("seconds")  # of all sittings
        record = {"test": test, "seconds": seconds, "train": train}
        write_json(path, record | {"commit": commit(), "device": device()})
        print("On the test split, in nats per row: " + ", ".join(f"{name} {value:.1f}" for name, value in test.items()))
        print(f"Trained for {seconds:.0f} s. Model: {self.out / 'model.keras'}, export: {exported}")


def commit():
    """Return git's short name of the checkout that this code is in, None outside one."""
    here = pathlib.Path(__file__)

    def git(*words):
        return subprocess.run(
            ["git", *words], cwd=here.parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # an installed copy may lie in another project's checkout
        return git("describe", "--always", "--dirty")
    except (OSError, subprocess.CalledProcessError):
        return None


def device():
    """Describe the device that trained: "4 GPUs", "2 CPU cores"."""
    gpus = len(tf.config.list_physical_devices("GPU"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count, kind = (gpus, "GPU") if gpus else (cores, "CPU core")
    return f"{count} {kind}{'s' * (count > 1)}"


def write_json(path, value):
    write_aside(path, lambda aside: aside.write_text(json.dumps(value, indent=2) + "\n"))


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
