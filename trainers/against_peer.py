"""Trains a method on the digits here and by MultiVae (PyTorch), on the same rows in the same order, and compares.

    python -m trainers.against_peer --peer=peer/bin/python --method=mopoe --own_epochs=40

Both have the same networks (each with its framework's first weights), likelihoods, weights of the modalities, latent sizes
and optimizer; w comes from its prior at temperature 1. Prints, for each, the coherence of what is made from one and two
modalities and from the prior, by the same classifiers, and the seconds of training: for ours also after --own_epochs.
How to make the peer's environment: trainers/peers.py.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from tf_mopoe import evaluation
from trainers import commands, experiments, loop, peers
from trainers.classifiers import load_classifiers
from trainers.methods import METHODS
from trainers.run_folder import commit, device

FLAGS = flags.FLAGS
flags.DEFINE_string("peer", None, "The python of an environment that has MultiVae.", required=True)
flags.DEFINE_enum("method", "mopoe", ["mopoe", "mmvae_plus"], "What both train.")
flags.DEFINE_integer("epochs", 20, "Of both.", lower_bound=1)
flags.DEFINE_integer("own_epochs", 0, "Of ours once more, in another training; 0: none.", lower_bound=0)
flags.DEFINE_list("seeds", ["0"], "Of the rows, the weights and the draws.")
flags.DEFINE_integer("test_rows", 1000, "Test rows to measure on.", lower_bound=1)
flags.DEFINE_string("classifiers", "saved_models/digits/classifiers", "Folder of the trained classifiers.")


def main(_):
    peers.check(FLAGS.peer)
    seeds = commands.integers("seeds")
    experiment = experiments.Digits()
    names = list(experiment.plotters)
    classifiers = load_classifiers(experiment, names, pathlib.Path(FLAGS.classifiers))
    print(f"Commit {commit()}, {device()}.\n\n{line('', 'epochs', '1 given', '2 given', 'prior', 'seconds')}")
    print("|---" * 6 + "|")
    for seed in seeds:
        for epochs in filter(None, (FLAGS.epochs, FLAGS.own_epochs)):
            measures = ours(experiment, classifiers, seed, epochs)
            print(line(f"{FLAGS.method}, seed {seed}", epochs, *measures), flush=True)
        measures = theirs(experiment, classifiers, seed)
        print(line(f"MultiVae's, seed {seed}", FLAGS.epochs, *measures), flush=True)


def line(*cells):
    cells = [f"{cell:.3f}" if isinstance(cell, float) and cell < 1.0 else cell for cell in cells]
    return "| " + " | ".join(str(round(cell) if isinstance(cell, float) else cell) for cell in cells) + " |"


def ours(experiment, classifiers, seed, epochs):
    """Train the library's; return its coherence from one, from two, from the prior, and the seconds."""
    keras.utils.set_random_seed(seed)
    settings = experiment.defaults
    private_dim = experiments.private_dim(experiment, FLAGS.method)
    method = METHODS[FLAGS.method](settings["beta"])
    model = experiment.model(settings["latent_dim"], private_dim, method=method, seed=seed)
    if private_dim:
        model.private_temperature = dict.fromkeys(model.modalities, 1.0)
    model.compile(optimizer=keras.optimizers.Adam(settings["learning_rate"]))
    model.optimizer.build(model.trainable_variables)
    began = time.perf_counter()
    loop.train(
        model,
        tf.distribute.get_strategy(),
        lambda epoch: experiment.load("train", seed=seed, epoch=epoch)[0],
        epochs=epochs,
        batch_size=settings["batch_size"],
        seed=seed,
    )
    seconds = time.perf_counter() - began
    inputs, labels = experiment.load("test")
    inputs = {name: x[: FLAGS.test_rows] for name, x in inputs.items()}
    count = len(labels[: FLAGS.test_rows])
    conditional = evaluation.conditional_coherence(model, inputs, labels[:count], classifiers, seed=seed)
    joint = evaluation.joint_coherence(model, classifiers, num_samples=count, seed=seed)
    return *evaluation.mean_by_number_given(conditional).values(), joint, seconds


def theirs(experiment, classifiers, seed):
    """Train the peer's in another process; return the same measures."""
    settings = dict(experiment.defaults) | {"epochs": FLAGS.epochs, "seed": seed, "weights": experiment.weights}
    settings["private_dim"] = experiments.private_dim(experiment, FLAGS.method)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        labels = write_rows(experiment, settings, folder)
        script = pathlib.Path(__file__).with_name("peer_digits.py")
        command = [FLAGS.peer, "-I", str(script), f"--method={FLAGS.method}", f"--folder={folder}"]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if answer.returncode:
            sys.exit("The peer failed: see above.")
        with np.load(folder / "made.npz") as file:
            made = {tuple(key.split(">")): file[key] for key in file.files}  # (given, target), given "" for the prior
    found = {key: evaluation.predict_labels(classifiers[key[1]], x) for key, x in made.items()}
    conditional = {(tuple(given.split("+")), to): np.mean(found[given, to] == labels) for given, to in found if given}
    drawn = np.stack([found[given, to] for given, to in found if not given])
    joint = float(np.mean(np.all(drawn == drawn[0], axis=0)))
    seconds = json.loads(answer.stdout.splitlines()[-1])["seconds"]
    return *evaluation.mean_by_number_given(conditional).values(), joint, seconds


def write_rows(experiment, settings, folder):
    """Write the rows of each epoch, in the order and number of our batches, and the test rows; return their labels."""
    size = settings["batch_size"]
    for epoch in range(settings["epochs"]):
        rows, _ = experiment.load("train", seed=settings["seed"], epoch=epoch)
        order = np.random.default_rng([settings["seed"], epoch]).permutation(len(rows["image"]))
        order = order[: len(order) // size * size]
        np.savez(folder / f"train_{epoch:03d}.npz", **as_bytes({name: x[order] for name, x in rows.items()}))
    test, labels = experiment.load("test")
    np.savez(folder / "test.npz", **as_bytes({name: x[: FLAGS.test_rows] for name, x in test.items()}))
    kept = ("latent_dim", "private_dim", "beta", "learning_rate", "batch_size", "epochs", "seed", "weights")
    (folder / "settings.json").write_text(json.dumps({name: settings[name] for name in kept}))
    return labels[: FLAGS.test_rows]


def as_bytes(rows):
    """Return what rows were before they were divided by 255, so that a file of them is small."""
    return {name: np.round(x * 255.0).astype(np.uint8) for name, x in rows.items()}


if __name__ == "__main__":
    commands.run(main)
