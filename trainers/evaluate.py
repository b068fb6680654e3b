"""Measures a trained run with all that `tf_mopoe.evaluation` has.

    python -m trainers.evaluate --run=runs/digits

Trains the classifiers of the generated data (kept in the run's folder), and leaves in <run>/evaluation/:
metrics.json, table.md (which it prints too), coherence.png, by_number_given.png, latent.png, translations.png and
prior.png. Each measure is defined, with its source, in the docstring of its function in `tf_mopoe.evaluation`.
"""

import os
import pathlib
import time

import keras
import numpy as np
from absl import app, flags

from tf_mopoe import evaluation, figures, plots
from tf_mopoe.files import write_aside
from trainers import commands, experiments, reading, report
from trainers.classifiers import load_classifiers
from trainers.progress import bar
from trainers.run_folder import commit, write_json

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "The run's folder, as trainers.train left it.", required=True)
flags.DEFINE_string("speech", None, "digits: real recordings to evaluate with, a folder of .wav or an .npz.")
flags.DEFINE_string("classifiers", None, "Folder of the trained classifiers. Default: <run>/classifiers.")
flags.DEFINE_float(
    "private_temperature",
    None,
    "Of the spread of the private latent variables that are drawn. Default: the model's.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_string("out", None, "Folder of the measures. Default: <run>/evaluation.")
flags.DEFINE_integer("seed", 0, "Seed of the draws and of the classifiers.")
flags.DEFINE_integer("test_rows", 10000, "Test rows to measure on, at most.", lower_bound=1)
flags.DEFINE_integer("probe_rows", 0, "Training rows of the larger linear probe. Default: all.", lower_bound=0)
flags.register_validator("probe_rows", lambda rows: rows == 0 or rows >= SMALL_PROBE, "must be 0, or 500 or more")
flags.DEFINE_integer("likelihood_rows", 500, "Test rows of the log-likelihoods, at most.", lower_bound=1)
flags.DEFINE_integer("num_samples", 64, "Importance samples of a row.", lower_bound=1)
flags.DEFINE_bool("inception", False, "Frechet distance in InceptionV3's features too (downloads its weights).")

SMALL_PROBE = 500  # training rows of the paper's linear probe


def main(_):
    run = pathlib.Path(FLAGS.run)
    if not (run / "model.keras").exists():
        raise app.UsageError(f"--run needs the folder of a finished training. Received: {run}, without model.keras")
    settings = reading.read_json(run / "flags.json")
    experiments.check_sources(settings["dataset"])
    settings["speech"] = FLAGS.speech or settings["speech"]
    out = pathlib.Path(FLAGS.out or run / "evaluation")
    with commands.output_folder(out):
        evaluate(run, settings, out)


def evaluate(run, settings, out):
    experiment = experiments.make(settings)
    model = reading.load_model(run / "model.keras")
    if FLAGS.private_temperature is not None:
        if not model.private_dims:
            raise app.UsageError(f"--private_temperature needs private latent variables. Received: {run}, without any")
        model.private_temperature = dict.fromkeys(model.private_dims, FLAGS.private_temperature)
    test, labels = experiments.load(experiment, "test", seed=FLAGS.seed)
    labels = labels[: FLAGS.test_rows]
    inputs = test.take(FLAGS.test_rows)[:]
    folder = pathlib.Path(FLAGS.classifiers or run / "classifiers")
    classifiers = load_classifiers(experiment, model.modalities, folder, FLAGS.seed)

    began = time.monotonic()
    sizes = ("test_rows", "probe_rows", "likelihood_rows", "num_samples", "private_temperature")
    given = [f"--{name}={FLAGS[name].value}" for name in sizes if not FLAGS[name].using_default_value]
    if FLAGS.classifiers:  # the measures depend on them; do not publish local paths
        given.append("--classifiers=" + ("..." if os.path.isabs(FLAGS.classifiers) else FLAGS.classifiers))
    metrics = {
        "rows": len(labels),
        "seed": FLAGS.seed,
        "flags": given,
        "commit": commit(),
        "data": {name: settings[name] for name in experiment.sources},
    }
    metrics |= coherence(model, inputs, labels, experiment, classifiers)
    metrics |= latent_space(model, inputs, labels, experiment, classifiers)
    metrics |= likelihoods(model, {name: x[: FLAGS.likelihood_rows] for name, x in inputs.items()})
    metrics |= distances(model, inputs, classifiers)
    metrics["seconds"] = round(time.monotonic() - began, 1)

    table = report.table(model.modalities, metrics)
    draw(model, inputs, labels, experiment, metrics, out)
    write_aside(out / "table.md", lambda path: path.write_text(table))
    write_json(out / "metrics.json", report.as_json(metrics))
    print(f"\n{table}\nMeasured in {metrics['seconds']:.0f} s: {out}")


def coherence(model, inputs, labels, experiment, classifiers):
    """Measure the coherence of generated data by classifiers."""
    conditional = evaluation.conditional_coherence(
        model, inputs, labels, classifiers, seed=FLAGS.seed, progress=bar("conditional coherence")
    )
    others, expected = experiment.other_label_functions, {}
    if others:
        expected = evaluation.conditional_coherence(model, inputs, labels, others, seed=FLAGS.seed)
    return {
        "classifier_accuracy": evaluation.classifier_accuracy(inputs, labels, classifiers),
        "conditional_coherence": conditional,
        "conditional_coherence_by_number_given": evaluation.mean_by_number_given(conditional),
        "conditional_coherence_expected_matches": expected,
        "joint_coherence": evaluation.joint_coherence(model, classifiers, num_samples=len(labels), seed=FLAGS.seed),
    }


def latent_space(model, inputs, labels, experiment, classifiers):
    """Measure the latent space by a linear probe and a Gaussian mixture."""
    rows, train_labels = experiments.load(experiment, "train", seed=FLAGS.seed)
    rows = rows.take(FLAGS.probe_rows) if FLAGS.probe_rows else rows
    train, train_labels = rows[:], train_labels[: len(rows)]
    measures = {}
    for key, count in (("linear_accuracy_500_rows", SMALL_PROBE), ("linear_accuracy", None)):
        accuracy = evaluation.linear_accuracy(
            model, train, train_labels, inputs, labels, count, seed=FLAGS.seed, progress=bar(key.replace("_", " "))
        )
        measures |= {key: accuracy, f"{key}_by_number_given": evaluation.mean_by_number_given(accuracy)}
    mixture = evaluation.latent_mixture(model, train, seed=FLAGS.seed)
    joint = evaluation.joint_coherence(model, classifiers, num_samples=len(labels), seed=FLAGS.seed, latent=mixture)
    return measures | {"probe_rows": len(train_labels), "joint_coherence_latent_mixture": joint}


def likelihoods(model, inputs):
    """Estimate the log-likelihoods of test rows."""
    settings = {"num_samples": FLAGS.num_samples, "seed": FLAGS.seed}
    joint = evaluation.joint_log_likelihoods(model, inputs, progress=bar("joint log-likelihoods"), **settings)
    conditional = evaluation.conditional_log_likelihoods(
        model, inputs, progress=bar("conditional log-likelihoods"), **settings
    )
    return {
        "likelihood_rows": len(next(iter(inputs.values()))),
        "num_samples": FLAGS.num_samples,
        "joint_log_likelihood": joint,
        "conditional_log_likelihood": conditional,
        "expert_calibration": evaluation.expert_calibration(joint) if len(model.modalities) > 1 else None,
    }


def distances(model, inputs, classifiers):
    """Measure distances of generated to real rows, for the modalities that have a trained classifier."""
    trained = {name: classifier for name, classifier in classifiers.items() if isinstance(classifier, keras.Model)}
    features = {"classifier": {name: evaluation.classifier_features(c) for name, c in trained.items()}}
    if FLAGS.inception:
        features["inception"] = dict.fromkeys(trained, evaluation.inception_features())
    return {
        f"frechet_distance_{kind}_features": evaluation.frechet_distances(
            model, inputs, functions, seed=FLAGS.seed, progress=bar(f"Frechet distance, {kind}")
        )
        for kind, functions in features.items()
    }


def draw(model, inputs, labels, experiment, metrics, out):
    figures.coherence_map(metrics["conditional_coherence"], model.modalities, out / "coherence.png")
    lines = {
        "conditional coherence": metrics["conditional_coherence_by_number_given"],
        f"linear accuracy, {SMALL_PROBE} rows": metrics["linear_accuracy_500_rows_by_number_given"],
        f"linear accuracy, {metrics['probe_rows']} rows": metrics["linear_accuracy_by_number_given"],
    }
    figures.by_number_given(lines, out / "by_number_given.png")
    some = {name: x[:1500] for name, x in inputs.items()}
    means = model.encode(some).mean()
    figures.latent(means.numpy(), labels[:1500], out / "latent.png", seed=FLAGS.seed)
    columns = [np.flatnonzero(labels == label)[0] for label in np.unique(labels)]  # a row of each class
    shown = {name: x[columns] for name, x in inputs.items()}
    plots.translations(model, shown, out / "translations.png", experiment.plotters, seed=FLAGS.seed)
    plots.prior_samples(model, out / "prior.png", experiment.plotters, seed=FLAGS.seed)


if __name__ == "__main__":
    commands.run(main)
