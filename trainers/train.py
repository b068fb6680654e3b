"""Trains a multimodal VAE and leaves a run folder with its model, measures, pictures and export.

    python -m trainers.train --dataset=digits --method=mopoe --epochs=20 --out=runs/digits

The folder: flags.json, model.keras, metrics.csv (one row per epoch), metrics.json, checkpoints/, tensorboard/,
pictures/*.png, saved_model/1/. Interrupted, the same command with --resume goes on from the newest checkpoint.

Several GPUs: --strategy=mirrored. Several machines: TF_CONFIG on each (see TensorFlow's MultiWorkerMirroredStrategy), the
same command on each, a folder --out that all of them read; the chief alone writes.
"""

import contextlib
import dataclasses
import math
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from tf_mopoe import methods
from trainers import checkpoints, commands, experiments, loop, reading
from trainers.experiments import EXPERIMENTS
from trainers.methods import METHODS
from trainers.run_folder import RunFolder, device, write_json

FLAGS = flags.FLAGS
flags.DEFINE_enum("dataset", "digits", sorted(EXPERIMENTS), "What to learn.")
flags.DEFINE_enum("method", "mopoe_plus", sorted(METHODS), "Joint posterior and objective: trainers/methods.py.")
flags.DEFINE_list("method_settings", [], "Fields of the method other than its defaults: num_components=10,weight=80.")
flags.DEFINE_integer("latent_dim", None, "Number of latent variables. Default: the data set's own.", lower_bound=1)
flags.DEFINE_integer(
    "private_dim",
    None,
    "Latent variables of each modality's own, besides the shared ones. Default: 0, but the data set's number for a method "
    "that is about them.",
    lower_bound=0,
)
flags.DEFINE_float("private_beta", None, "Weight of their KL. Default: beta.", lower_bound=0.0)
flags.DEFINE_float("beta", None, "Weight of the KL. Default: the data set's own.", lower_bound=0.0)
flags.DEFINE_integer("warm_up_epochs", None, "Epochs with --warm_up_beta. Default: the data set's own.", lower_bound=0)
flags.DEFINE_float("warm_up_beta", None, "Beta in the first epochs. Default: the data set's own.", lower_bound=0.0)
flags.DEFINE_enum(
    "reconstruction_weights",
    "own",
    ["own", "ones", "dimension", "impartial"],
    "Balance of the modalities: that of the data set, or another of MultimodalVAE's; ones: all 1.",
)
flags.DEFINE_bool("learned_scales", False, "Whether each Laplace likelihood learns its scale. Default: it is 0.75.")
flags.DEFINE_float("learning_rate", None, "Of Adam. Default: the data set's own.", lower_bound=0.0)
flags.DEFINE_integer("epochs", None, "Passes over the training rows. Default: the data set's own.", lower_bound=1)
flags.DEFINE_integer(
    "batch_size", None, "Rows in a step, of all replicas together. Default: the data set's own.", lower_bound=1
)
flags.DEFINE_integer("seed", 0, "Seed of weights, order, pairing and draws.")
flags.DEFINE_enum("precision", "float32", ["float32", "mixed_float16", "mixed_bfloat16"], "Keras' dtype policy.")
flags.DEFINE_float("missing_rate", 0.0, "Share of the modality entries that is hidden in training, below 1.")
flags.DEFINE_integer("train_rows", 0, "Use only this many training rows. Default: all.", lower_bound=0)
flags.DEFINE_string("data_dir", None, "Where the data is (or is to be put), for all data sets but digits.")
flags.DEFINE_string("backgrounds", None, "polymnist: folder of pictures. Default: five that scikit-image ships.")
flags.DEFINE_string("speech", None, "digits: real recordings in place of the synthetic ones, folder of .wav, or .npz.")
flags.DEFINE_enum("strategy", "auto", ["auto", "mirrored", "multiworker", "none"], "How to use several devices.")
flags.DEFINE_integer("replicas", 0, "Virtual CPU devices, to try --strategy=mirrored without GPUs.", lower_bound=0)
flags.DEFINE_bool("deterministic", False, "Deterministic ops only: the same flags give the same weights, bit by bit.")
flags.DEFINE_integer("steps_per_call", 10, "Steps between two looks at the progress.", lower_bound=1)
flags.DEFINE_integer(
    "checkpoint_steps", 0, "Steps between checkpoints, besides those at the end of epochs.", lower_bound=0
)
flags.DEFINE_string("out", None, "The run's folder.", required=True)
flags.DEFINE_bool("resume", False, "Go on from the newest checkpoint in --out, if there is one.")

flags.register_validator("missing_rate", lambda rate: 0.0 <= rate < 1.0, "must be 0 or more, and less than 1")
for name in ("beta", "private_beta", "warm_up_beta", "learning_rate"):  # absl's bounds let NaN pass
    flags.register_validator(name, lambda value: value is None or math.isfinite(value), "must be a finite number")

# What a run can be resumed with another value of: where it runs and how long.
FREE = ("strategy", "replicas", "steps_per_call", "checkpoint_steps", "out", "resume", "epochs")


def main(_):
    experiments.check_sources(FLAGS.dataset)
    if FLAGS.replicas and FLAGS.strategy not in ("auto", "mirrored"):
        raise app.UsageError(f"--replicas needs --strategy=mirrored. Received: --strategy={FLAGS.strategy}")
    strategy = loop.make_strategy(FLAGS.strategy, FLAGS.replicas)
    keras.utils.set_random_seed(FLAGS.seed)
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
        # It orders sums by the operations' names, which are others in a model that comes from a checkpoint.
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    keras.config.set_dtype_policy(FLAGS.precision)
    settings = resolved_flags(EXPERIMENTS[FLAGS.dataset])
    if not settings["private_dim"]:
        commands.refuse(["private_beta"], "without --private_dim")
    if not settings["warm_up_epochs"]:
        commands.refuse(["warm_up_beta"], "without --warm_up_epochs")
    out, chief = pathlib.Path(FLAGS.out), loop.is_chief(strategy)
    held = commands.output_folder(out, inside=("checkpoints", "pictures"))
    with held if chief else contextlib.nullcontext():
        run(out, settings, strategy, chief)


def run(out, settings, strategy, chief):
    experiment = experiments.make(settings)
    first_step = prepare(out, settings, chief)
    with strategy.scope():
        model = checkpoints.load(out, first_step) if first_step else new_model(experiment, settings)
    folder = RunFolder(out, experiment, settings) if chief else None

    def on_progress(step, epoch, values, done):
        metrics = checkpoints.metrics_state(model)  # of all machines
        if chief and done:
            folder.epoch(model, step, epoch, values, metrics)
        if chief and not done:
            folder.checkpoint(model, step, metrics)

    if chief:
        print(f"Training on {device()}.")
    loop.train(
        model,
        strategy,
        lambda epoch: training_inputs(experiment, epoch),
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        seed=FLAGS.seed,
        first_step=first_step,
        steps_per_call=FLAGS.steps_per_call,
        callback_every=FLAGS.checkpoint_steps,
        on_progress=on_progress,
    )
    if chief:
        folder.finish(model)


def resolved_flags(experiment):
    """Return all flags that affect the run, with the data set's defaults filled in."""
    settings = {flag.name: flag.value for flag in FLAGS.get_key_flags_for_module(sys.modules[__name__])}
    for name in experiment.defaults:
        if settings[name] is None:
            settings[name] = experiment.defaults[name]
    usual = experiments.private_dim(experiment, settings["method"])
    if settings["private_dim"] is None:
        settings["private_dim"] = usual
    if usual and not settings["private_dim"]:
        raise app.UsageError(f"--private_dim must be 1 or more with --method={settings['method']}. Received: 0")
    if settings["private_beta"] is None:
        settings["private_beta"] = settings["beta"]
    return settings


def prepare(out, settings, chief):
    """Write the flags, or check that the folder is of the same run; return the step to resume from (0: the start)."""
    steps = checkpoints.steps(out)
    if steps and not FLAGS.resume:
        raise app.UsageError(f"--out={out} holds a run already, at step {steps[-1]}: give --resume, or another folder.")
    if steps:
        before = reading.read_json(out / "flags.json")
        other = {n: (before.get(n), v) for n, v in settings.items() if n not in FREE and before.get(n) != v}
        if other:
            changes = ", ".join(f"--{name} was {old!r}, is {new!r}" for name, (old, new) in other.items())
            raise app.UsageError(f"--resume needs the flags that {out} was started with. {changes}.")
        trained = last_epoch(out)
        if settings["epochs"] < trained:
            raise app.UsageError(f"--epochs must be {trained} or more, which {out} has. Received: {settings['epochs']}")
        if chief:
            print(f"Going on from step {steps[-1]}.")
    if chief:
        write_json(out / "flags.json", settings)
    return steps[-1] if steps else 0


def last_epoch(out):
    """Return the last epoch in a run's metrics, 0 if there is none."""
    return max((row["epoch"] for row in reading.read_metrics(out / "metrics.csv")), default=0)


def new_model(experiment, settings):
    weights = settings["reconstruction_weights"]
    balance = {} if weights == "own" else {"reconstruction_weights": None if weights == "ones" else weights}
    model = experiment.model(
        settings["latent_dim"],
        settings["private_dim"],
        method=method(experiment, settings),
        private_beta=settings["private_beta"],
        learned_scales=settings["learned_scales"],
        seed=settings["seed"],
        **balance,
    )
    model.compile(optimizer=keras.optimizers.Adam(settings["learning_rate"]))
    model.optimizer.build(model.trainable_variables)  # its slots cannot be made inside a replica's step
    return model


def method(experiment, settings):
    """Return the `Method` of a run's flags."""
    preset = METHODS[settings["method"]](beta(experiment, settings))
    numbers, changes = numbers_of(preset), {}
    for setting in settings["method_settings"]:
        name, _, text = setting.partition("=")
        try:
            changes[name] = type(numbers[name])(text)
        except (KeyError, ValueError):
            known = ", ".join(f"{name}={value}" for name, value in numbers.items()) or "none"
            raise app.UsageError(
                f"--method_settings must be name=number, of --method={settings['method']}: {known}. Received: {setting}"
            ) from None
    return changed(preset, changes)


def numbers_of(preset):
    """Return the numbers among the fields of a `Method`, but for beta, and of one that it is on top of: {name: value}."""
    fields = [(f.name, getattr(preset, f.name)) for f in dataclasses.fields(preset) if f.name != "beta"]
    inner = [numbers_of(value) for _, value in fields if isinstance(value, methods.Method)]
    return dict(field for field in fields if type(field[1]) in (int, float)) | dict(*inner)


def changed(preset, changes):
    """Return the `Method` with other numbers, {name: value}, its own or of one that it is on top of."""
    fields = {f.name: getattr(preset, f.name) for f in dataclasses.fields(preset)}
    inner = {name: changed(value, changes) for name, value in fields.items() if isinstance(value, methods.Method)}
    own = {name: value for name, value in changes.items() if name in fields}
    return dataclasses.replace(preset, **inner, **own)


def beta(experiment, settings):
    """Return the number, or a schedule of the step if there is a warm-up."""
    if not settings["warm_up_epochs"]:
        return settings["beta"]
    steps = settings["warm_up_epochs"] * (len(training_inputs(experiment, 0)) // settings["batch_size"])
    return keras.optimizers.schedules.PiecewiseConstantDecay([steps - 1], [settings["warm_up_beta"], settings["beta"]])


def training_inputs(experiment, epoch):
    """Return this epoch's rows, paired again; --missing_rate of all modality entries are flagged as missing, at random."""
    rows, _ = experiments.load(experiment, "train", seed=FLAGS.seed, epoch=epoch)
    if FLAGS.train_rows:
        rows = rows.take(FLAGS.train_rows)
    if FLAGS.missing_rate:
        rng = np.random.default_rng([FLAGS.seed, epoch, 2])
        present = {f"has_{name}": rng.random(len(rows)) >= FLAGS.missing_rate for name in rows[:1]}
        rows = rows.join(present)
    return rows


if __name__ == "__main__":
    commands.run(main)
