"""Trains a method here and by MultiVae (PyTorch), on the same rows in the same order, and compares.

    python -m trainers.against_peer --peer=peer/bin/python --method=mopoe --own_epochs=40
    python -m trainers.against_peer --peer=peer/bin/python --dataset=small_polymnist --data_dir=DIR --epochs=12

Both have the same networks (each with its framework's first weights), likelihoods, weights of the modalities, latent sizes
and optimizer; w comes from its prior at temperature 1. Prints, for each, the coherence of what is made from one and two
modalities (or more) and from the prior, by the same classifiers, and the seconds of training: for ours also after
--own_epochs.
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
flags.DEFINE_enum("dataset", "digits", ["digits", "small_polymnist"], "What to learn.")
flags.DEFINE_string("data_dir", None, "small_polymnist: where MNIST is or is to be put.")
flags.DEFINE_enum("method", "mopoe", ["mopoe", "mmvae_plus"], "What both train.")
flags.DEFINE_integer("epochs", 20, "Of both.", lower_bound=1)
flags.DEFINE_integer("own_epochs", 0, "Of ours once more, in another training; 0: none.", lower_bound=0)
flags.DEFINE_list("seeds", ["0"], "Of the rows, the weights and the draws.")
flags.DEFINE_integer("test_rows", 1000, "Test rows to measure on.", lower_bound=1)
flags.DEFINE_string(
    "classifiers", None, "Folder of the trained classifiers. Default: saved_models/<dataset>/classifiers."
)


def main(_):
    peers.check(FLAGS.peer)
    seeds = commands.integers("seeds")
    experiments.check_sources(FLAGS.dataset)
    sources = {"data_dir": FLAGS.data_dir, "backgrounds": None, "speech": None}
    experiment = experiments.make({"dataset": FLAGS.dataset} | sources)
    test, labels = experiments.load(experiment, "test")
    test, labels = test.take(FLAGS.test_rows)[:], labels[: FLAGS.test_rows]
    folder = FLAGS.classifiers or f"saved_models/{FLAGS.dataset}/classifiers"
    classifiers = load_classifiers(experiment, list(test), pathlib.Path(folder))
    given = [f"{number} given" for number in range(1, len(test))]
    print(f"Commit {commit()}, {device()}.\n\n{line('', 'epochs', *given, 'prior', 'seconds')}")
    print("|---" * (len(given) + 4) + "|")
    for seed in seeds:
        for epochs in filter(None, (FLAGS.epochs, FLAGS.own_epochs)):
            measures = ours(experiment, classifiers, test, labels, seed, epochs)
            print(line(f"{FLAGS.method}, seed {seed}", epochs, *measures), flush=True)
        measures = theirs(experiment, classifiers, test, labels, seed)
        print(line(f"MultiVae's, seed {seed}", FLAGS.epochs, *measures), flush=True)


def line(*cells):
    cells = [f"{cell:.3f}" if isinstance(cell, float) and cell < 1.0 else cell for cell in cells]
    return "| " + " | ".join(str(round(cell) if isinstance(cell, float) else cell) for cell in cells) + " |"


def ours(experiment, classifiers, test, labels, seed, epochs):
    """Train the library's; return its coherence by number given, from the prior, and the seconds."""
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
        lambda epoch: experiments.load(experiment, "train", seed=seed, epoch=epoch)[0],
        epochs=epochs,
        batch_size=settings["batch_size"],
        seed=seed,
    )
    seconds = time.perf_counter() - began
    conditional = evaluation.conditional_coherence(model, test, labels, classifiers, seed=seed)
    joint = evaluation.joint_coherence(model, classifiers, num_samples=len(labels), seed=seed)
    return *evaluation.mean_by_number_given(conditional).values(), joint, seconds


def theirs(experiment, classifiers, test, labels, seed):
    """Train the peer's in another process; return the same measures."""
    settings = dict(experiment.defaults) | {"dataset": FLAGS.dataset, "epochs": FLAGS.epochs, "seed": seed}
    settings["weights"] = getattr(experiment, "weights", dict.fromkeys(test, 1.0))  # 1: of views of one size
    settings["private_dim"] = experiments.private_dim(experiment, FLAGS.method)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_rows(experiment, settings, folder)
        np.savez(folder / "test.npz", **as_bytes(test))
        script = pathlib.Path(__file__).with_name("peer_training.py")
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
    """Write the rows of each epoch, but those that are the epoch's before, and their order and number in our batches."""
    size, before = settings["batch_size"], None
    for epoch in range(settings["epochs"]):
        rows, _ = experiments.load(experiment, "train", seed=settings["seed"], epoch=epoch)
        order = np.random.default_rng([settings["seed"], epoch]).permutation(len(rows))
        np.save(folder / f"order_{epoch:03d}.npy", order[: len(order) // size * size])
        first = rows[:size]
        if before is None or any(not np.array_equal(x, before[name]) for name, x in first.items()):
            np.savez(folder / f"train_{epoch:03d}.npz", **as_bytes(rows[:]))
        before = first
    kept = ("dataset", "latent_dim", "private_dim", "beta", "learning_rate", "batch_size", "epochs", "seed", "weights")
    (folder / "settings.json").write_text(json.dumps({name: settings[name] for name in kept}))


def as_bytes(rows):
    """Return what rows were before they were divided by 255, so that a file of them is small."""
    return {name: np.round(x * 255.0).astype(np.uint8) for name, x in rows.items()}


if __name__ == "__main__":
    commands.run(main)
