"""The commands' words and flags, what they print, and the commit that they report."""

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import pytest
from forks import Forks
from running import ROOT

from trainers import run_folder
from trainers.progress import Progress


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Function (module, *flags) -> exit code, output."""
    folder = tmp_path_factory.mktemp("logs")
    with Forks() as forks:
        yield lambda *words: forks.start(*words, log=folder / str(len(list(folder.iterdir())))).wait()


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--out=never", "--resume"],
        ["evaluate", "--run=never", "--inception"],
        ["publish", "--run=never", "--name=x", "--weights"],
        ["export", "--run=never"],
        ["compare", "--records=never", "--each"],
        ["edge_table", "--run=never"],
        ["benchmark", "--modes=train"],
        ["profile", "--floor"],
        ["cases"],
        ["tables"],
        ["counts"],
        ["integers"],
        ["against_peer", "--peer=never"],
        ["make_digits", "--mnist=never"],
    ],
    ids=lambda words: words[0],
)
def test_a_word_that_is_no_flag_is_a_usage_error(run, words):
    code, output = run(f"trainers.{words[0]}", *words[1:], "false")
    assert code == 1 and "booleans as --name=true or --name=false. Received: false" in output
    assert not os.path.exists(ROOT / "never")


@pytest.mark.parametrize(
    "words, text",
    [
        (["train", "--dataset=digits", "--data_dir=/x"], "--data_dir has no effect with --dataset=digits"),
        (["train", "--dataset=digits", "--backgrounds=/x"], "--backgrounds has no effect with --dataset=digits"),
        (["train", "--dataset=polymnist", "--speech=/x"], "--speech has no effect with --dataset=polymnist"),
        (["train", "--method=mopoe", "--private_beta=2"], "--private_beta has no effect without --private_dim"),
        (["train", "--method=cmvae", "--private_dim=0"], "--private_dim must be 1 or more with --method=cmvae"),
        (["train", "--warm_up_beta=2"], "--warm_up_beta has no effect without --warm_up_epochs"),
    ],
)
def test_a_flag_without_effect_is_a_usage_error(run, tmp_path, words, text):
    code, output = run(f"trainers.{words[0]}", *words[1:], f"--out={tmp_path / 'run'}")
    assert code == 1 and text in output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "words, text",
    [
        (["tables", "--data=hospital", "--rate=0.2"], "--rate has no effect with --data=hospital"),
        (["tables", "--likelihoods=normal"], "--likelihoods has no effect with --data=cells"),
        (["tables", "--seeds=x"], "--seeds must be integers, 0 or more. Received: x"),
        (["integers", "--work=tokens", "--epochs=3"], "--epochs has no effect with --work=tokens"),
        (["profile", "--workload=mst", "--modalities=3"], "--modalities has no effect with --workload=mst"),
        (["publish", "--run=x", "--name=y", "--weights=false", "--classifiers=z"], "--classifiers has no effect with"),
    ],
)
def test_flags_without_effect_of_other_commands(run, words, text):
    code, output = run(f"trainers.{words[0]}", *words[1:])
    assert code == 1 and text in output


def test_flags_without_effect_of_export_and_evaluate(run, tmp_path):
    (tmp_path / "model.keras").touch()
    (tmp_path / "flags.json").write_text('{"dataset": "polymnist", "speech": null}')
    code, output = run("trainers.export", f"--run={tmp_path}", "--quantization=int8")
    assert code == 1 and "--quantization has no effect without --edge" in output
    code, output = run("trainers.evaluate", f"--run={tmp_path}", "--speech=/x")
    assert code == 1 and "--speech has no effect with --dataset=polymnist" in output


def test_tensorflow_is_silent_at_its_start(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    command = [sys.executable, "-m", "trainers.export", f"--run={tmp_path}"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    output = result.stdout + result.stderr
    assert result.returncode == 1 and "--run needs the folder of a finished training" in output
    assert not re.search("cuda|oneDNN|InitializeLog|cpu_feature_guard", output, re.IGNORECASE)


def test_the_first_estimate_does_not_count_the_tracing(monkeypatch, capsys):
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    progress = Progress(101, "Training")
    now[0] += 100.0  # the first step traces
    progress.add(1, {"loss": 5.0})
    assert capsys.readouterr().out == "Training\n"
    now[0] += 20.0  # ten steps of 2 s, 90 steps are left
    progress.add(10, {"loss": 3.0, "reconstruction_image": 2.0})
    line = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
    assert "11/101 " in line and " 3:00 2s/step - loss: 3.0000 - image: 2.0000" in line


def test_an_installed_copy_does_not_report_the_commit_of_the_repository_around_it(tmp_path):
    def git(*words, cwd=tmp_path):
        user = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", *user, *words], cwd=cwd, check=True, capture_output=True, text=True
        ).stdout.strip()

    def copy_in(folder):
        folder.mkdir(parents=True)
        path = shutil.copy(run_folder.__file__, folder)
        spec = importlib.util.spec_from_file_location("copied", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "foreign")
    assert copy_in(tmp_path / "env" / "site-packages" / "trainers").commit() is None
    checkout = copy_in(tmp_path / "trainers")
    git("add", "trainers")
    git("commit", "-q", "-m", "own")
    assert checkout.commit() == git("rev-parse", "--short", "HEAD")


def test_the_lines_that_start_a_server_open_no_port_to_the_network(exported):
    records = pathlib.Path(ROOT, "saved_models").rglob("saved_model/README.md")
    for path in [exported[1].parent / "README.md", ROOT / "docs" / "serving.md", *records]:
        lines = [line for line in path.read_text().splitlines() if "docker run" in line]
        assert lines or path.name == "serving.md"
        for line in lines:
            assert re.findall(r"-p (\S+)", line) == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
            assert re.fullmatch(r'.* -v "\$PWD:/models/[^:"]+:ro" .*', line)
