"""The benchmark: its works are those it tells of, and its ratios those of its times. No test holds a time."""

import re
import subprocess
import sys

import pytest
from absl import app
from running import ROOT, main
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from trainers import interleave, op_profile, statistics, workloads

pytestmark = pytest.mark.integration

PUBLISHED = {"polymnist": 14_056_975, "mst": 1_411_826}


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


def work(name, *seconds, **facts):
    return {"name": name, "seconds": list(seconds), "batch_size": 10, "parameters": 1, "peak_mb": 100.0} | facts


@pytest.mark.parametrize("workload", PUBLISHED)
def test_ours_and_the_floor_have_the_published_networks(workload):
    modalities = workloads.MODALITIES[workload]
    for make in (workloads.model, workloads.floor):
        assert make(workload, modalities).count_params() == PUBLISHED[workload]


def test_the_floor_is_one_product():
    inputs = workloads.rows(workloads.model("mlp", 3), batch_size=4)
    counts = [len(make("mlp", 3).joint_posterior(inputs).components) for make in (workloads.model, workloads.floor)]
    assert counts == [7, 1]


def test_rows_fit_the_likelihoods():
    text = workloads.rows(workloads.model("mst", 3), batch_size=4)["text"].numpy()
    assert text.shape == (4, 8, 71) and (text.sum(axis=-1) == 1.0).all() and text.max() == 1.0


def test_a_worker_answers_with_the_seconds_of_each_step():
    command = [sys.executable, "-m", "trainers.cases", "--modalities=2", "--mode=translate", "--batch_size=4"]
    with interleave.Worker(command, {"PYTHONPATH": str(ROOT)}) as worker:
        assert worker.works == ["translate", "encoder + decoder", "encoder + draw + decoder"]
        assert worker.parameters == 2 * 4_240
        for name in worker.works:
            assert [seconds > 0.0 for seconds in worker.work(name)(3)] == [True] * 3
        assert worker.peak_mb > 50.0


def script(lines):
    return [sys.executable, "-c", lines]


def test_a_worker_that_runs_out_of_memory_fails_alone():
    lines = 'print(\'{"works": ["big"], "parameters": 1}\', flush=True); input(); print(\'{"failed": "memory"}\')'
    with interleave.Worker(script(lines)) as big:
        times = interleave.alternate({"small": lambda steps: [0.5] * steps, "big": big.work("big")}, 2, seconds=1.5)
    assert times == {"small": [[0.5] * 3] * 2, "big": None}
    case = {"workload": "mlp", "mode": "train", "works": [work("train", [1.0]), work("MultiVae") | {"seconds": None}]}
    assert "| mlp | train | 10.0 | MultiVae | fails | 100 |  |" in statistics.tables([case])


def test_a_worker_that_is_wrong_is_an_error():
    with pytest.raises(RuntimeError, match=r"ended with code 1[\s\S]*NameError"), interleave.Worker(script("wrong")):
        pass


def test_works_take_turns():
    turns = []

    def named(name, seconds):
        def take(steps):
            turns.append((name, steps))
            return [seconds] * steps

        return take

    times = interleave.alternate({"a": named("a", 1.0), "b": named("b", 4.0)}, rounds=2, seconds=4.0)
    assert turns[4:] == [("a", 4), ("b", 1)] * 2  # after what compiles
    assert times == {"a": [[1.0] * 4] * 2, "b": [[4.0]] * 2}


def test_ratios_are_those_of_the_rounds_medians_by_row():
    ours = work("train", [1.0, 2.0, 9.0], [2.0, 2.0, 3.0], [2.0])
    other = work("floor", [1.0], [4.0], [2.5])
    assert statistics.ratio(ours, other) == (2.0 / 2.5, 2.0 / 4.0, 2.0 / 1.0)
    half = work("MultiVae", [2.0], [2.0], [2.0], batch_size=5)
    assert statistics.ratio(half, ours) == (2.0, 2.0, 2.0)
    case = {"workload": "mlp, M = 2", "mode": "train", "works": [ours, other, half]}
    first = "| mlp, M = 2 | train | 2,000 (1,000 to 9,000) | 5.00 |"
    lines = statistics.tables([case])
    assert f"{first} 100 | 1 |" in lines
    assert f"{first} floor | 2,500 (1,000 to 4,000) | 0.800 (0.500 to 2.00) |" in lines
    assert "| mlp, M = 2 | train | 5.00 | MultiVae, batch 5 | 2.50 | 100 | 2.00 (2.00 to 2.00) |" in lines


def test_without_the_peer_it_says_how_to_install_it():
    result = run("-m", "trainers.benchmark", f"--peer={sys.executable}")
    assert result.returncode == 1 and f"Received: {sys.executable}" in result.stdout + result.stderr
    assert "pip install --no-deps multivae==1.0.3 pythae==0.1.2" in result.stdout + result.stderr


@pytest.mark.parametrize(
    "given, expected",
    [
        (["--peer_batch_size=8"], "--peer_batch_size has no effect without --peer. Received: --peer_batch_size=8"),
        (
            ["--modes="],
            "--modes must be some of train, floor, missing, encode, joint, translate, fit, loop, data, import. Received",
        ),
        (["--modalities=0"], "--modalities must be positive integers. Received: 0"),
        (["--modes=fit", "--data_dir=nowhere"], "--modes=fit needs --data_dir, the folder of MNIST. Received: nowhere"),
        (
            ["--modes=fit", "--data_dir=.", "--workloads=mlp"],
            "--modes=fit needs --workloads=polymnist. Received: --workloads=mlp",
        ),
        (["--out=nowhere/times.json"], "--out must be a file in a folder that exists. Received: nowhere/times.json"),
    ],
)
def test_wrong_flags_are_reported_before_the_work(given, expected):
    with pytest.raises(app.UsageError, match=re.escape(expected)):
        main("benchmark", *given)


def test_words_that_are_no_flags_are_told_too():
    result = run("-m", "trainers.benchmark", "--modes=", "fit", "loop")
    assert result.returncode and "--name=true or --name=false. Received: fit loop" in result.stdout + result.stderr


def test_a_profile_adds_up_operations_by_their_kind():
    space = xplane_pb2.XSpace()
    plane = space.planes.add(name="/host:CPU")
    for number, name in enumerate(["a/x:MatMul", "b:MatMul", "c:_MklMul", "Executor::Run", ":call: step"]):
        plane.event_metadata[number].name = name
        plane.lines.add().events.add(metadata_id=number, duration_ps=10**12)
    space.planes.add(name="/host:metadata").lines.add()
    assert op_profile.by_kind(space) == {"MatMul": (2.0, 2), "_MklMul": (1.0, 1)}


def test_the_profile_names_operations():
    output = main("profile", "--modalities=2", "--batch_size=8", "--steps=2")
    rows = [line for line in output.splitlines() if "MatMul" in line]
    assert rows and all(float(row.split("|")[2]) > 0.0 for row in rows)
