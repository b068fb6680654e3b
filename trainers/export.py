"""Exports a trained run for serving: a SavedModel for TF Serving, and the encoders for devices if asked for.

    python -m trainers.export --run=runs/digits
    python -m trainers.export --run=runs/digits --edge=runs/digits/edge --quantization=float16
    python -m trainers.export --run=saved_models/digits --edge=saved_models/digits/edge --quantization=int8

Leaves the next version in <run>/saved_model/, and beside it how to serve and call it, by the run's name; prints the sizes.
The third line is that of the record, whose card mentions it (trainers.publish).
"""

import pathlib

from absl import app, flags

from tf_mopoe import export
from trainers import commands, experiments, reading

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "The run's folder, as trainers.train left it, or a record of one.", required=True)
flags.DEFINE_string("out", None, "Folder of the SavedModel's versions. Default: <run>/saved_model.")
flags.DEFINE_integer("version", None, "Version. Default: the next free one.", lower_bound=1)
flags.DEFINE_integer("num_samples", 64, "Importance samples of the signature log_likelihood.", lower_bound=1)
flags.DEFINE_string("edge", None, "Folder of the encoders for devices (.tflite). Default: none are exported.")
flags.DEFINE_enum("quantization", None, ["float16", "dynamic", "int8"], "Of the encoders. Default: float32.")

REPRESENTATIVE = 300  # training rows that set the ranges of 8 bits


def main(_):
    run = pathlib.Path(FLAGS.run)
    if not (run / "model.keras").exists():
        raise app.UsageError(f"--run needs the folder of a finished training. Received: {run}, without model.keras")
    if not FLAGS.edge:
        commands.refuse(["quantization"], "without --edge")
    out = pathlib.Path(FLAGS.out or run / "saved_model")
    if FLAGS.version and (out / str(FLAGS.version)).exists():
        raise app.UsageError(f"--version must be a new one. Received: {FLAGS.version}, which {out} has")
    model = reading.load_model(run / "model.keras")
    version = export.saved_model(model, out, FLAGS.version, FLAGS.num_samples, name=run.resolve().name)
    print(f"SavedModel: {version}, {megabytes(*version.rglob('*'))}, to be served as in {out}")
    if FLAGS.edge:
        files = export.tflite_encoders(model, FLAGS.edge, FLAGS.quantization, representative(run)).values()
        print(f"Encoders: {', '.join(map(str, files))}, {megabytes(*files)} together")


def megabytes(*paths):
    return f"{sum(path.stat().st_size for path in paths if path.is_file()) / 1e6:.2f} MB"


def representative(run):
    """Return the rows whose values set the ranges of 8 bits; None if that is not asked for."""
    if FLAGS.quantization != "int8":
        return None
    experiment = experiments.make(reading.read_json(run / "flags.json"))
    rows, _ = experiments.load(experiment, "train")
    return rows[:REPRESENTATIVE]


if __name__ == "__main__":
    commands.run(main)
