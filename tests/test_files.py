"""Files appear whole or not at all; folders are held by one process; what was left half written is removed."""

import os
import subprocess
import sys

import pytest
import small
from running import ROOT

from tf_mopoe import export, files


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail(aside):
        aside.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left on device: .*a.txt"):
        files.write_aside(path, fail)
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["a.txt"]


def test_two_writers_of_a_file_have_names_of_their_own(tmp_path):
    path, names = tmp_path / "a.txt", []

    def outer(aside):
        names.append(aside)
        aside.write_text("outer")
        files.write_aside(path, lambda other: (names.append(other), other.write_text("inner")))
        assert path.read_text() == "inner"

    files.write_aside(path, outer)
    assert path.read_text() == "outer" and os.listdir(tmp_path) == ["a.txt"]
    assert len(set(names)) == 2 and {name.suffix for name in names} == {".txt"}


def test_a_folder_is_held_by_one_or_shared_and_cleaned_only_alone(tmp_path):
    def leave():
        (tmp_path / ".part-old").mkdir(exist_ok=True)
        (tmp_path / ".part-old" / "file").touch()

    leave()
    with files.held(tmp_path):
        assert not list(tmp_path.iterdir())
        with pytest.raises(BlockingIOError, match="in use by another process"), files.held(tmp_path):
            pass
    with files.held(tmp_path, shared=True), files.held(tmp_path, shared=True):
        leave()
        with files.held(tmp_path, shared=True):
            assert list(tmp_path.iterdir())  # may be the work of one of the two
        with pytest.raises(BlockingIOError), files.held(tmp_path):
            pass
    with files.held(tmp_path, shared=True):
        assert not list(tmp_path.iterdir())


def test_a_killed_process_holds_nothing(tmp_path):
    lock = f"fcntl.flock(os.open({str(tmp_path)!r}, os.O_RDONLY), fcntl.LOCK_EX)"
    script = f"import fcntl, os; {lock}; print(1, flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    process.stdout.readline()
    with pytest.raises(BlockingIOError), files.held(tmp_path):
        pass
    process.kill()
    process.communicate()
    with files.held(tmp_path):
        pass


def test_an_export_removes_what_a_killed_one_left(exported, tmp_path):
    model, _ = exported
    for folder in (tmp_path / "served", tmp_path / "edge"):
        (folder / ".part-killed").mkdir(parents=True)
        (folder / ".part-killed" / "saved_model.pb").touch()
    export.saved_model(model, tmp_path / "served", num_samples=2)
    export.tflite_encoders(small.model(("sensor",)), tmp_path / "edge")
    for folder in (tmp_path / "served", tmp_path / "edge"):
        assert len(os.listdir(folder)) > 2 and not [name for name in os.listdir(folder) if name.startswith(".")]
