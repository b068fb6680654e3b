"""Measures a trained run: does what it makes show the class of what it was given?

    python -m trainers.evaluate --run=runs/digits

Trains the classifiers that read the pictures (kept in the run's folder), prints their accuracy on real test rows and the
conditional coherence of the model on the test split, and writes both to evaluation.json in the run's folder.
"""

import json
import pathlib

import keras
from absl import app, flags

from tf_mopoe import evaluation
from trainers.experiments import EXPERIMENTS
from trainers.run_folder import write_aside, write_json

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "The run's folder, as trainers.train left it.", required=True)
flags.DEFINE_string("speech", None, "Real recordings to evaluate with: a folder of .wav, or an .npz.")
flags.DEFINE_string("classifiers", None, "Folder of the trained classifiers. Default: <run>/classifiers.")
flags.DEFINE_string("out", None, "The file of the figures. Default: <run>/evaluation.json.")
flags.DEFINE_integer("seed", 0, "Seed of the draws and of the classifiers.")


def main(_):
    run = pathlib.Path(FLAGS.run)
    if not (run / "model.keras").exists():
        raise app.UsageError(f"--run needs the folder of a finished training. Received: {run}, without model.keras")
    settings = json.loads((run / "flags.json").read_text())
    experiment = EXPERIMENTS[settings["dataset"]](speech=FLAGS.speech or settings["speech"])
    model = keras.models.load_model(run / "model.keras")
    inputs, labels = experiment.load("test", seed=FLAGS.seed)
    classifiers = load_classifiers(experiment, pathlib.Path(FLAGS.classifiers or run / "classifiers"))
    accuracy = evaluation.classifier_accuracy(inputs, labels, classifiers)
    coherence = evaluation.conditional_coherence(model, inputs, labels, classifiers, seed=FLAGS.seed)
    joint = evaluation.joint_coherence(model, classifiers, num_samples=len(labels), seed=FLAGS.seed)
    print(table(model.modalities, accuracy, coherence) + "\n")
    other = evaluation.conditional_coherence(model, inputs, labels, experiment.other_readers, seed=FLAGS.seed)
    for (given, target), value in other.items():
        print(f"{', '.join(given)} to {target}, by expected matches: {value:.2f}")
    print(f"\nFrom the prior, all classifiers agree on {joint:.2f} of the rows.")
    result = {
        "rows": len(labels),
        "speech": FLAGS.speech or settings["speech"] or "synthetic",
        "classifier_accuracy": accuracy,
        "conditional_coherence": as_rows(coherence),
        "conditional_coherence_expected_matches": as_rows(other),
        "joint_coherence": joint,
    }
    write_json(pathlib.Path(FLAGS.out or run / "evaluation.json"), result)


def as_rows(coherence):
    return [{"given": given, "target": target, "value": value} for (given, target), value in coherence.items()]


def load_classifiers(experiment, folder):
    """Those that an earlier evaluation left in `folder`; else they are trained, and left there."""
    files = sorted(folder.glob("*.keras"))
    if files:
        trained = {file.stem: keras.models.load_model(file) for file in files}
        return trained | {name: c for name, c in experiment.readers.items() if name not in trained}
    print("Training the classifiers ...", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    trained = experiment.train_classifiers(seed=FLAGS.seed)
    for name, classifier in trained.items():
        write_aside(folder / f"{name}.keras", classifier.save)
    return trained | experiment.readers


def table(modalities, accuracy, coherence):
    """Conditional coherence as a Markdown table: a row for what is given, a column for each target."""
    lines = ["| given | " + " | ".join(modalities) + " |", "|---|" + "---|" * len(modalities)]
    for given in sorted({given for given, _ in coherence}, key=lambda g: (len(g), [modalities.index(n) for n in g])):
        cells = [f"{coherence[given, name]:.2f}" if (given, name) in coherence else "" for name in modalities]
        lines.append(f"| {', '.join(given)} | " + " | ".join(cells) + " |")
    lines.append("| (test rows) | " + " | ".join(f"{accuracy[name]:.2f}" for name in modalities) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    app.run(main)
