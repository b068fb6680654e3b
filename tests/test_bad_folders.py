"""A full disk, a folder that cannot be written or is in use, broken files: a clear error each, and nothing is lost.

    .venv/bin/python -m pytest tests/test_bad_folders.py --slow

The disk is a tmpfs of a few blocks, which root alone can mount: without that these tests skip.
"""

import os
import shutil
import subprocess
import time

import pytest
import test_kills
from forks import Forks
from test_kills import TRAIN, assert_same_run, assert_whole, parts

from trainers import checkpoints

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def forks():
    with Forks() as server:
        yield server


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """An unbroken run."""
    out = tmp_path_factory.mktemp("whole") / "run"
    code, output = forks.start(*TRAIN, f"--out={out}", log=out.parent / "log").wait()
    assert code == 0, output
    return out


@pytest.fixture
def disk(tmp_path):
    """Function of mount options that makes a small disk, or changes it."""
    path = tmp_path / "disk"
    path.mkdir()

    def mount(options):
        more = [] if not os.path.ismount(path) else ["remount,"]
        command = ["mount", "-t", "tmpfs", "-o", "".join([*more, options]), "tmpfs", str(path)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("needs the right to mount a tmpfs")
        return path

    yield mount
    subprocess.run(["umount", "-l", str(path)], capture_output=True)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_a_full_disk_is_an_error_and_more_space_is_all_that_is_needed(forks, whole, disk, tmp_path, share):
    """The disk is full after this share of what a run writes, so that each kind of file meets it."""
    size = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    path = disk(f"size={4 * int(share * size / 4096)}k")
    code, output = forks.start(*TRAIN, f"--out={path / 'run'}", log=tmp_path / "log").wait()
    assert code == 1 and "No space left on device" in output.splitlines()[-1], output[-2000:]
    if (path / "run").exists():
        assert_whole(path / "run")
    disk("size=64m")
    code, output = forks.start(*TRAIN, f"--out={path / 'run'}", log=tmp_path / "log2").wait()
    assert code == 0, output
    assert_same_run(path / "run", whole)


COMMANDS = {
    "evaluation": lambda run, out: (*test_kills.EVALUATE, f"--run={run}"),
    "export": lambda run, out: ("trainers.export", f"--run={run}", f"--out={out / 'served'}", f"--edge={out / 'edge'}"),
    "record": lambda run, out: ("trainers.publish", f"--run={run}", "--name=record", f"--out={out}"),
}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("case", COMMANDS)
def test_a_disk_that_is_full_in_another_command_is_an_error_and_leaves_nothing_half_written(
    forks, whole, disk, tmp_path, case, share
):
    """The space left is a share of what the command writes beside a run, or into it."""
    run = shutil.copytree(whole, tmp_path / "run")
    if case == "record":
        forks.start(*test_kills.EVALUATE, f"--run={run}", log=tmp_path / "log").finish()
    before, beside = size_of(run), tmp_path / "beside"
    forks.start(*COMMANDS[case](shutil.copytree(run, beside / "run"), beside), log=tmp_path / "log").finish()
    written = size_of(beside) - before

    path = disk("size=64m")
    shutil.copytree(run, path / "run")
    full = 4 * int((blocks_of(path) + share * written) / 4096)
    disk(f"size={full}k")
    files = {file: file.read_bytes() for file in (path / "run").rglob("*") if file.is_file()}
    code, output = forks.start(*COMMANDS[case](path / "run", path), log=tmp_path / "log1").wait()
    assert code == 1 and "No space left on device" in output.splitlines()[-1], output[-2000:]
    assert_whole(path)
    assert all(file.read_bytes() == content for file, content in files.items())
    disk("size=64m")
    forks.start(*COMMANDS[case](path / "run", path), log=tmp_path / "log2").finish()
    assert names(path) >= names(beside) and not [name for name in names(path) if ".part-" in name]


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def blocks_of(disk):
    """What is used of a disk, in bytes."""
    usage = os.statvfs(disk)
    return (usage.f_blocks - usage.f_bfree) * usage.f_frsize


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "tensorboard" not in str(path)}


def test_a_read_only_folder_is_a_usage_error_of_every_command(forks, whole, disk, tmp_path):
    path = disk("size=16m")
    run = shutil.copytree(whole, path / "run")
    shutil.rmtree(run / "tensorboard")
    disk("ro")
    for words in (
        [*TRAIN, f"--out={path / 'run'}"],
        [*TRAIN, f"--out={path / 'new'}"],
        [*test_kills.EVALUATE, f"--run={run}"],
        ["trainers.export", f"--run={run}"],
        ["trainers.export", f"--run={whole}", f"--out={path / 'served'}"],
    ):
        code, output = forks.start(*words, log=tmp_path / f"log{len(os.listdir(tmp_path))}").wait()
        last = output.lower().splitlines()[-1]
        assert code == 1 and ("read-only file system" in last or "not writable" in last), output[-2000:]


def test_of_two_trainers_in_one_folder_the_second_is_refused_and_the_first_not_disturbed(forks, whole, tmp_path):
    out = tmp_path / "run"
    first = forks.start(*TRAIN, f"--out={out}", log=tmp_path / "first")
    while not (out / "flags.json").exists():
        assert not first.ended()
        time.sleep(0.01)
    code, output = forks.start(*TRAIN, f"--out={out}", log=tmp_path / "second").wait()
    assert code == 1 and f"Received: {out}, in use by another process" in output
    code, output = first.wait()
    assert code == 0, output
    assert_same_run(out, whole)


@pytest.mark.parametrize("name", ["checkpoint", "flags.json", "metrics.csv", "metrics.json"])
def test_a_broken_file_stops_a_resume_with_its_name_and_nothing_is_lost(forks, whole, tmp_path, name):
    out = shutil.copytree(whole, tmp_path / "run")
    path = checkpoints.path_of(out, checkpoints.steps(out)[-1]) if name == "checkpoint" else out / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file() and "tensorboard" not in str(file)}
    code, output = forks.start(*TRAIN, f"--out={out}", log=tmp_path / "log").wait()
    assert code == 1 and f"{path.name} cannot be read: it is torn" in output.splitlines()[-1], output[-2000:]
    changed = {file.name for file, old in before.items() if file.read_bytes() != old}
    assert changed <= {"flags.json"} - {name} and not parts(out)
    if name == "checkpoint":  # the one before is there
        path.unlink()
        (out / "metrics.json").unlink()
    else:
        path.write_bytes(content)
    code, output = forks.start(*TRAIN, f"--out={out}", log=tmp_path / "log2").wait()
    assert code == 0, output
    assert_same_run(out, whole)
