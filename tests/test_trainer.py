"""The trainer as a user runs it: strategies, resume, flags, what a run leaves behind. Each in a process of its own."""

import csv
import json
import signal
import sys
import time

import keras
import numpy as np
import ports
import pytest
import small
from absl import app, flags
from running import SMALL, command, finish, main, start

from trainers import checkpoints, experiments, train

pytestmark = pytest.mark.integration


def weights(path):
    return keras.models.load_model(path).get_weights()


REPLICAS = """
import sys, json, tempfile
import tensorflow as tf
from trainers import checkpoints, loop
replicas = int(sys.argv[1])
strategy = loop.make_strategy("mirrored", replicas) if replicas > 1 else loop.make_strategy("none")
sys.path.insert(0, "tests")
import keras, small
from tf_mopoe.objectives.terms import bound_terms, negate

@keras.saving.register_keras_serializable("test")
def deterministic(q, p, stream):
    '''The bound at the mean of each row's mixture, without a draw.'''
    z = tf.reduce_sum(q.joint.weights[..., None] * q.joint.loc, axis=1)
    kl = q.joint.mean_kl_to_standard()
    return bound_terms(p, negate(p.log_prob(z)), kl, tf.zeros_like(kl), beta=1.0)

keras.utils.set_random_seed(3)
with strategy.scope():
    model = small.compiled(objective=deterministic)
    model.optimizer.build(model.trainable_variables)
inputs, losses, out = small.with_missing(small.rows(80)), {}, tempfile.mkdtemp()

def on_progress(step, epoch, values, done):
    assert abs(losses.setdefault(step, values["loss"]) / values["loss"] - 1.0) < 1e-4
    if step == 13:  # in the middle of the third epoch
        checkpoints.save(model, out, step)

def run(model, first_step=0):
    loop.train(model, strategy, lambda epoch: inputs, epochs=4, batch_size=16, seed=0, steps_per_call=1, callback_every=1,
               first_step=first_step, on_progress=on_progress)

run(model)
if replicas > 1:
    with strategy.scope():
        resumed = checkpoints.load(out, 13)
    run(resumed, first_step=13)  # with the same losses, the mean of the third epoch too
    # Keras' own fit under the same strategy
    model.fit(inputs, batch_size=16, epochs=1, verbose=0)
    assert model.optimizer.iterations.numpy() == 25
print(json.dumps(list(losses.values())))
"""


def test_two_replicas_have_the_losses_of_one_and_resume_in_the_middle_of_an_epoch():
    runs = [start([sys.executable, "-c", REPLICAS, str(replicas)]) for replicas in (1, 2)]
    one, two = (json.loads(finish(run).splitlines()[-1]) for run in runs)
    assert len(one) == 20 and one[-1] < one[0]
    np.testing.assert_allclose(one, two, rtol=1e-4)


WORKER = """
import sys, hashlib, json, os
import tensorflow as tf
from trainers import loop
strategy = loop.make_strategy("auto")
assert isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
sys.path.insert(0, "tests")
import keras, small
keras.utils.set_random_seed(3)
with strategy.scope():
    model = small.compiled(reconstruction_weights="dimension")
    model.optimizer.build(model.trainable_variables)
losses = []
loop.train(model, strategy, lambda epoch: small.rows(64), epochs=5, batch_size=16, seed=0,
           on_progress=lambda step, epoch, values, done: losses.append(values["loss"]))
weights = hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()
print(json.dumps([weights, losses, loop.is_chief(strategy)]))
"""


def two_workers(numbers):
    """What two workers at these ports print."""
    workers = [f"127.0.0.1:{number}" for number in numbers]
    configs = [json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}}) for i in (0, 1)]
    runs = [start([sys.executable, "-c", WORKER], TF_CONFIG=config) for config in configs]
    while all(run.poll() is None for run in runs):
        time.sleep(0.1)
    if any(run.poll() for run in runs):  # the other one would wait for it
        for run in runs:
            run.kill()
        ports.check("".join(run.communicate()[0] for run in runs))
    return [finish(run) for run in runs]


def test_two_workers_train_to_the_same_weights():
    first, second = (json.loads(output.splitlines()[-1]) for output in ports.attempt(2, two_workers))
    assert first[0] == second[0]
    np.testing.assert_allclose(first[1], second[1], rtol=1e-6)
    assert first[1][-1] < 0.95 * first[1][0]
    assert (first[2], second[2]) == (True, False)


def test_a_run_leaves_all_its_files(finished):
    out, output = finished
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [6, 12]
    assert set(rows[0]) == {
        "epoch",
        "step",
        "loss",
        "kl",
        "private_kl",
        "elbo",
        *(f"reconstruction_{n}" for n in ("image", "speech", "word")),
        "seconds",
    }
    recorded = json.loads((out / "metrics.json").read_text())["seconds"]
    assert 0.0 < float(rows[0]["seconds"]) < float(rows[1]["seconds"]) == recorded
    test = json.loads((out / "metrics.json").read_text())["test"]
    assert f"loss {test['loss']:.1f}" in output and "12/12" in output and "Training" in output
    for name in ("translations.png", "prior.png"):
        assert (out / "pictures" / name).stat().st_size > 10_000
    assert (out / "saved_model" / "1" / "saved_model.pb").exists()
    assert list((out / "tensorboard").glob("events*"))
    assert not list(out.rglob("*part*"))  # nothing is left half written
    assert json.loads((out / "flags.json").read_text())["missing_rate"] == 0.2


def test_killed_in_the_middle_and_resumed_the_weights_are_bit_identical(finished, tmp_path):
    out = tmp_path / "killed"
    flags = ("--epochs=2", "--batch_size=32", "--deterministic", "--missing_rate=0.2")
    every = ("--checkpoint_steps=1", "--steps_per_call=1")
    process = start(command(out, *flags, *every))
    until = time.monotonic() + 300
    while len(checkpoints.steps(out)) == 0 or checkpoints.steps(out)[-1] < 8:  # in the middle of the second epoch
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 8 <= checkpoints.steps(out)[-1] < 12 and not (out / "model.keras").exists()
    output = finish(start(command(out, *flags, "--resume")))
    assert "Going on from step" in output
    for a, b in zip(weights(finished[0] / "model.keras"), weights(out / "model.keras")):
        np.testing.assert_array_equal(a, b)


def test_a_run_is_not_overwritten_nor_resumed_with_other_flags(finished):
    out, _ = finished
    words = (f"--out={out}", *SMALL)
    again = start(command(out))
    assert "holds a run already, at step 12: give --resume" in again.communicate()[0] and again.returncode != 0
    words += ("--resume", "--batch_size=32", "--deterministic", "--missing_rate=0.2")
    with pytest.raises(app.UsageError, match="--beta was"):
        main("train", "--beta=9", *words)
    record = (out / "metrics.json").read_bytes()
    with pytest.raises(app.UsageError, match="--epochs must be 2 or more"):
        main("train", "--epochs=1", *words)
    assert "Nothing was left to do" in main("train", "--epochs=2", *words)
    assert (out / "metrics.json").read_bytes() == record
    assert [path.name for path in (out / "saved_model").iterdir() if path.is_dir()] == ["1"]


@pytest.mark.parametrize("flag", ["missing_rate=nan", "missing_rate=1", "beta=nan", "learning_rate=inf"])
def test_numbers_that_no_run_can_have(flag, tmp_path):
    with pytest.raises(flags.IllegalFlagValueError, match=flag.split("=")[0]):
        train.FLAGS(["train", f"--out={tmp_path}", f"--{flag}"])
    name = flag.split("=")[0]
    train.FLAGS(["train", f"--out={tmp_path}", f"--{name}={train.FLAGS[name].default or 0.5}"])
    if train.FLAGS[name].default is None:
        train.FLAGS[name].value = None


def test_data_that_is_nowhere():
    experiment = experiments.make({"dataset": "mnist_svhn_text", "data_dir": None})
    with pytest.raises(app.UsageError, match="--dataset needs --data_dir"):
        experiments.load(experiment, "train")


def test_a_torn_or_foreign_checkpoint_is_a_clear_error(tmp_path):
    model = small.compiled()
    model.fit(small.rows(4), verbose=0)
    checkpoints.save(model, tmp_path, 3)
    path = checkpoints.path_of(tmp_path, 3)
    assert checkpoints.load(tmp_path, 3).seed == model.seed
    whole = path.read_bytes()
    for torn in (whole[: len(whole) // 2], b"", b"not a checkpoint"):
        path.write_bytes(torn)
        with pytest.raises(ValueError, match="step_00000003.keras cannot be read: it is torn, or of another kind"):
            checkpoints.load(tmp_path, 3)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    with pytest.raises(ValueError, match="cannot be read.*Received: .*Sequential"):
        checkpoints.load(tmp_path, 3)


def test_the_newest_two_checkpoints_are_kept(tmp_path):
    model = small.compiled()
    for step in (1, 2, 10):
        checkpoints.save(model, tmp_path, step)
    assert checkpoints.steps(tmp_path) == [2, 10]
    assert checkpoints.steps(tmp_path / "none") == []


def test_prepare_tells_every_flag_that_differs(tmp_path):
    settings = {"beta": 1.0, "seed": 0, "epochs": 1, "out": "a"}
    train.FLAGS(["train", f"--out={tmp_path}", "--resume"])
    assert train.prepare(tmp_path, settings, chief=True) == 0
    checkpoints.save(small.compiled(), tmp_path, 4)
    assert train.prepare(tmp_path, {**settings, "out": "elsewhere"}, chief=True) == 4
    with pytest.raises(app.UsageError, match="--beta was 1.0, is 2.0, --seed was 0, is 1"):
        train.prepare(tmp_path, {"beta": 2.0, "seed": 1, "out": "a"}, chief=True)


def test_missing_rate_hides_that_share_of_the_entries_anew_each_epoch(tmp_path):
    class Stub:
        sources = ()

        def load(self, split, seed, epoch):
            return {name: np.zeros((5000, 2), np.float32) for name in ("a", "b")}, np.zeros(5000)

    train.FLAGS(["train", f"--out={tmp_path}", "--missing_rate=0.3", "--train_rows=4000"])
    first, again, other = (train.training_inputs(Stub(), epoch)[:] for epoch in (0, 0, 1))
    train.FLAGS(["train", f"--out={tmp_path}", "--missing_rate=0", "--train_rows=0"])
    for name in ("a", "b"):
        assert len(first[name]) == len(first["has_" + name]) == 4000
        assert abs(np.mean(~first["has_" + name]) - 0.3) < 5 * np.sqrt(0.21 / 4000)  # 5 standard errors
        np.testing.assert_array_equal(first["has_" + name], again["has_" + name])
        assert np.any(first["has_" + name] != other["has_" + name])
