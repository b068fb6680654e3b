"""The cost of a run's encoders on a device, and the effect of their quantization on the task, as Markdown.

    python -m trainers.edge_table --run=saved_models/digits

The .tflite files' sizes, and the median time of one run of 1 and of 32 rows (LiteRT, one thread of this machine); then the
measures of `tf_mopoe.evaluation` with every encoder run as its .tflite file in place of the model's own.
"""

import pathlib
import tempfile
import time

import numpy as np
from absl import app, flags

from tf_mopoe import evaluation, export
from trainers import commands, experiments, reading, report

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "The run's folder, or a record of one.", required=True)
flags.DEFINE_string("out", None, "Folder to keep the files in: <out>/<quantization>/. Default: they are not kept.")
NUMBERS = ("float32", "float16", "dynamic", "int8")
flags.DEFINE_list("numbers", list(NUMBERS), "Which of these.")
flags.DEFINE_integer("representative_rows", 300, "Training rows for the ranges of int8.", lower_bound=1)
flags.DEFINE_integer("probe_rows", 500, "Training rows of the linear probe.", lower_bound=1)
flags.DEFINE_integer("repeats", 200, "Runs of which the median is taken.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of the pairing and of the draws.")


def main(_):
    run = pathlib.Path(FLAGS.run)
    if not (run / "model.keras").exists():
        raise app.UsageError(f"--run needs the folder of a finished training. Received: {run}, without model.keras")
    unknown = [title for title in FLAGS.numbers if title not in NUMBERS]
    if unknown:
        raise app.UsageError(f"--numbers must be of {', '.join(NUMBERS)}. Received: {', '.join(unknown)}")
    experiment = experiments.make(reading.read_json(run / "flags.json"))
    model = reading.load_model(run / "model.keras")
    classifiers = {
        path.stem: reading.load_classifier(path) for path in sorted((run / "classifiers").glob("[!.]*.keras"))
    }
    splits = [rows_of(experiment, split) for split in ("train", "test")]
    some = {name: x[: FLAGS.representative_rows] for name, x in splits[0][0].items()}
    costs, harms = [], []
    with tempfile.TemporaryDirectory() as aside:
        for title in FLAGS.numbers:
            quantization = None if title == "float32" else title
            files = export.tflite_encoders(model, pathlib.Path(FLAGS.out or aside) / title, quantization, some)
            for name, file in files.items():
                times = [1e3 * seconds(file, name, splits[1][0][name][:rows]) for rows in (1, 32)]
                cells = [f"{file.stat().st_size / 1e3:.0f}", *(f"{milliseconds:.3f}" for milliseconds in times)]
                costs.append([name, title, *cells])
            harms.append([title, *harm(model, files, splits, classifiers | experiment.label_functions)])
    lines = ["", *report.header("encoder", ["numbers", "size, kB", "1 row, ms", "32 rows, ms"])]
    lines += [report.line(name, cells) for name, *cells in costs]
    pairs = [f"{given} to {target}" for given, target in single_pairs(model, classifiers | experiment.label_functions)]
    lines += ["", *report.header("numbers", [*(f"linear accuracy, {name}" for name in model.modalities), *pairs])]
    lines += [report.line(title, cells) for title, *cells in harms]
    print("\n".join(lines))


def rows_of(experiment, split):
    rows, labels = experiments.load(experiment, split, seed=FLAGS.seed)
    return rows[:], labels


class OnDevice:
    """An encoder without private latent variables, by its .tflite file, as far as `MultimodalVAE.encode` uses one."""

    private_dim, cells, trainable_weights, losses = 0, False, (), ()

    def __init__(self, file, name):
        self.encode, self.name = runner(file), name

    def network_input(self, x, stream=None):
        """Return x: the file itself computes the network's input."""
        return x

    def posteriors(self, x, training=False):
        made = self.encode(**{self.name: np.asarray(x)})
        return (made["loc"], made["scale"]), ()

    def _clear_losses(self):
        """No-op: there are none."""


def runner(file):
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_path=str(file), num_threads=1).get_signature_runner("encode")


def seconds(file, name, x):
    """Measure the median time of encoding x [B, E], seconds."""
    encode = runner(file)
    times = []
    for _ in range(FLAGS.repeats + 5):
        began = time.perf_counter()
        encode(**{name: x})
        times.append(time.perf_counter() - began)
    return float(np.median(times[5:]))  # the first ones set the shapes


def harm(model, files, splits, label_functions):
    """Measure linear accuracy of each modality's latent, and coherence of each pair, with the encoders on a device."""
    (train, train_labels), (test, labels) = splits
    own = dict(model.encoders)
    model.encoders.update({name: OnDevice(file, name) for name, file in files.items()})
    try:
        accuracy = evaluation.linear_accuracy(
            model, train, train_labels, test, labels, FLAGS.probe_rows, seed=FLAGS.seed
        )
        coherence = evaluation.conditional_coherence(model, test, labels, label_functions, sizes=[1], seed=FLAGS.seed)
    finally:
        model.encoders.update(own)
    values = [accuracy[(name,)] for name in model.modalities]
    values += [coherence[(given,), target] for given, target in single_pairs(model, label_functions)]
    return [f"{value:.3f}" for value in values]


def single_pairs(model, label_functions):
    return [
        (given, to) for given in model.modalities for to in model.modalities if to != given and to in label_functions
    ]


if __name__ == "__main__":
    commands.run(main)
