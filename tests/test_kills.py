"""Kills at random moments: whatever is repeated ends as if nothing had been, and nothing half written is ever visible.

    .venv/bin/python -m pytest tests/test_kills.py --slow               # 100 kills (signal 9)
    .venv/bin/python -m pytest tests/test_kills.py --slow --kills=25

Half of the kills come at a random moment, half as soon as a file or folder is being written. Seven of ten are of the
training, one of ten each of evaluation, export and record.
"""

import io
import itertools
import json
import os
import shutil
import time
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf
from forks import Forks

from trainers import checkpoints

pytestmark = pytest.mark.slow
TRAIN = (
    "trainers.train",
    "--dataset=tiny",
    "--deterministic",
    "--checkpoint_steps=3",
    "--steps_per_call=1",
    "--resume",
)
EVALUATE = ("trainers.evaluate", "--likelihood_rows=20", "--num_samples=4")


@pytest.fixture(scope="module")
def forks():
    with Forks() as server:
        yield server


class Killer:
    """Repeats a command until it has survived, killing it on the way.

    Args:
        start: function that starts it.
        folder: where it writes.
        whole_seconds: what it uses of the processor when it is left alone: moments do not depend on other processes then.
    """

    def __init__(self, start, folder, whole_seconds, rng):
        self.start, self.folder, self.whole_seconds, self.rng = start, folder, whole_seconds, rng
        self.kills, self.in_a_write = 0, 0

    def until_it_survives(self, kills):
        """Runs it to its end, with `kills` kills at most on the way."""
        limit = self.kills + kills
        while self.kills < limit:
            run = self.start()
            self.wait_and_kill(run)
            code, output = run.wait()
            if code == 0:
                return
            assert code == -9, output
            self.kills += 1
            self.in_a_write += bool(parts(self.folder))
            assert_whole(self.folder)
        self.start().finish()

    def wait_and_kill(self, run):
        """At a random moment, or when the n-th file or folder of the run is being written."""
        end = self.rng.uniform(0.0, self.whole_seconds)
        at_a_write = self.rng.random() < 0.5
        writes, seen = self.rng.integers(1, 12), parts(self.folder)
        left = len(seen)
        while not run.ended():
            seen |= parts(self.folder) if at_a_write else set()
            if len(seen) - left >= writes or (not at_a_write and run.cpu_seconds() > end):
                run.kill()
                return
            time.sleep(0.001)


def parts(folder):
    """What is being written, or was left so."""
    found = set()
    for place in (
        folder,
        *(folder / name for name in ("checkpoints", "pictures", "classifiers", "saved_model", "edge")),
    ):
        if place.exists():
            found |= {entry.name for entry in os.scandir(place) if entry.name.startswith(".part-")}
    return found


def assert_whole(folder):
    """Every visible file is whole. (TensorBoard's logs grow event by event, and are no files of this kind.)"""
    for path in folder.rglob("*"):
        names = path.relative_to(folder).parts
        if any(name.startswith(".part-") for name in names) or "tensorboard" in names:
            continue
        if path.suffix in (".keras", ".npz"):
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None and archive.namelist(), path
        elif path.suffix == ".json":
            assert json.loads(path.read_text()), path
        elif path.suffix == ".csv":
            lines = path.read_text().splitlines()
            assert len({line.count(",") for line in lines}) == 1 and path.read_text().endswith("\n"), path
        elif path.suffix == ".png":
            assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), path
        elif path.suffix == ".tflite":
            assert path.read_bytes()[4:8] == b"TFL3", path
        elif path.is_dir() and path.name.isdecimal():
            for file in ("saved_model.pb", "variables/variables.index", "assets.extra/tf_serving_warmup_requests"):
                assert (path / file).stat().st_size, path


def arrays(path):
    """{name: array} of all variables in a .keras file, and the metrics of a checkpoint.

    Not the configuration: Keras writes that of a loaded model in other words.
    """
    values = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
        weights.visititems(lambda name, x: values.update({name: x[()]} if isinstance(x, h5py.Dataset) else {}))
        if checkpoints.METRICS in archive.namelist():
            values[checkpoints.METRICS] = np.frombuffer(archive.read(checkpoints.METRICS), np.uint8)
    assert len(values) > 3
    return values


def assert_same_bits(path, other):
    ours, theirs = arrays(path), arrays(other)
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        assert value.tobytes() == theirs[name].tobytes(), f"{path}: {name}"


def record_of(path):
    """What it holds but the time and the state of the checkout, which may change while this test runs."""
    return {name: value for name, value in json.loads(path.read_text()).items() if name not in ("seconds", "commit")}


def assert_same_run(out, whole):
    assert not parts(out)
    assert_same_bits(out / "model.keras", whole / "model.keras")
    steps = checkpoints.steps(whole)
    assert checkpoints.steps(out)[-1] == steps[-1]
    assert_same_bits(checkpoints.path_of(out, steps[-1]), checkpoints.path_of(whole, steps[-1]))
    tables = [(folder / "metrics.csv").read_text().splitlines() for folder in (out, whole)]
    assert [row.rpartition(",")[0] for row in tables[0]] == [row.rpartition(",")[0] for row in tables[1]]
    assert record_of(out / "metrics.json") == record_of(whole / "metrics.json")
    assert {path.name for path in (out / "pictures").iterdir()} == {"translations.png", "prior.png"}
    for version in (path for path in (out / "saved_model").iterdir() if path.is_dir()):
        assert variables(version) == variables(whole / "saved_model" / "1")


def variables(version):
    """The bytes of an export's variables; their names and order depend on how the model was made, or loaded."""
    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    values = [reader.get_tensor(name) for name in reader.get_variable_to_shape_map()]
    return sorted(value.tobytes() for value in values if isinstance(value, np.ndarray))


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """An unbroken run, and what it used of the processor."""
    out = tmp_path_factory.mktemp("whole") / "run"
    seconds = forks.start(*TRAIN, f"--out={out}", log=out.parent / "log").finish()
    assert_same_run(out, out)
    return out, seconds


@pytest.fixture(scope="module")
def evaluated(forks, whole, tmp_path_factory):
    """A copy of it with its evaluation, and what the evaluation used of the processor."""
    run = shutil.copytree(whole[0], tmp_path_factory.mktemp("evaluated") / "run")
    return run, forks.start(*EVALUATE, f"--run={run}", log=run.parent / "log").finish()


@pytest.fixture
def say(capsys):
    """Function that prints what a test has done."""
    began = time.monotonic()

    def line(text):
        with capsys.disabled():
            print(f"\n{text} in {time.monotonic() - began:.0f} s")

    return line


def test_a_killed_training_resumes_to_the_same_bits(forks, whole, tmp_path, pytestconfig, say):
    rng, kills, in_a_write = np.random.default_rng(0), 0, 0
    wanted = pytestconfig.getoption("--kills") - 3 * (pytestconfig.getoption("--kills") // 10)
    for chain in itertools.count():
        out = tmp_path / f"run{chain}"
        log = tmp_path / f"log{chain}"
        killer = Killer(lambda: forks.start(*TRAIN, f"--out={out}", log=log), out, whole[1], rng)  # noqa: B023
        killer.until_it_survives(wanted - kills)
        assert_same_run(out, whole[0])
        kills, in_a_write = kills + killer.kills, in_a_write + killer.in_a_write
        say(f"{kills} kills of the training, {in_a_write} of them in the middle of a write, {chain + 1} runs")
        if kills >= wanted:
            break
        shutil.rmtree(out)


def test_a_killed_evaluation_ends_with_the_same_figures(forks, whole, evaluated, tmp_path, pytestconfig, say):
    run, log = shutil.copytree(whole[0], tmp_path / "run"), tmp_path / "log"
    (run / "evaluation").mkdir()
    killer = Killer(
        lambda: forks.start(*EVALUATE, f"--run={run}", log=log),
        run / "evaluation",
        evaluated[1],
        np.random.default_rng(1),
    )
    repeat(killer, lambda: same_evaluation(run, evaluated[0]), pytestconfig)
    say(f"{killer.kills} kills of the evaluation, {killer.in_a_write} of them in the middle of a write")


def same_evaluation(run, whole):
    assert not parts(run) | parts(run / "evaluation")
    for folder in (run, run / "evaluation"):
        assert_whole(folder)
    metrics = [record_of(folder / "evaluation" / "metrics.json") for folder in (run, whole)]
    assert metrics[0] == metrics[1]
    assert {path.name for path in (run / "evaluation").iterdir()} == {
        path.name for path in (whole / "evaluation").iterdir()
    }
    assert_same_bits(run / "classifiers" / "image.keras", whole / "classifiers" / "image.keras")


def test_a_killed_export_is_repeated(forks, whole, tmp_path, pytestconfig, say):
    run = shutil.copytree(whole[0], tmp_path / "run")
    command = ("trainers.export", f"--run={run}", f"--edge={run / 'edge'}")
    seconds = forks.start(*command, log=tmp_path / "log").finish()
    killer = Killer(lambda: forks.start(*command, log=tmp_path / "log"), run, seconds, np.random.default_rng(2))
    files = {path.name: path.read_bytes() for path in (run / "edge").iterdir()}

    def same():
        assert not parts(run)
        for version in (path for path in (run / "saved_model").iterdir() if path.is_dir()):
            assert variables(version) == variables(whole[0] / "saved_model" / "1")
        assert {path.name: path.read_bytes() for path in (run / "edge").iterdir()} == files
        shutil.rmtree(run / "edge")

    repeat(killer, same, pytestconfig)
    say(f"{killer.kills} kills of the export, {killer.in_a_write} of them in the middle of a write")


def test_a_killed_record_is_repeated(forks, evaluated, tmp_path, pytestconfig, say):
    command = ("trainers.publish", f"--run={evaluated[0]}", "--name=rec", f"--out={tmp_path}")
    seconds = forks.start(*command, log=tmp_path / "log").finish()
    whole = shutil.move(tmp_path / "rec", tmp_path / "whole")
    killer = Killer(
        lambda: forks.start(*command, log=tmp_path / "log"), tmp_path / "rec", seconds, np.random.default_rng(3)
    )

    def same():
        assert not parts(tmp_path / "rec")
        assert {path.name for path in whole.iterdir()} == {path.name for path in (tmp_path / "rec").iterdir()}
        assert (tmp_path / "rec" / "README.md").read_text() == (whole / "README.md").read_text()
        assert_same_bits(tmp_path / "rec" / "model.keras", whole / "model.keras")
        shutil.rmtree(tmp_path / "rec")

    repeat(killer, same, pytestconfig)
    say(f"{killer.kills} kills of the record, {killer.in_a_write} of them in the middle of a write")


def repeat(killer, check, pytestconfig):
    """Until a tenth of the kills are done."""
    wanted = pytestconfig.getoption("--kills") // 10
    while killer.kills < wanted:
        killer.until_it_survives(wanted - killer.kills)
        check()
