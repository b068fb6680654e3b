"""The test suite itself: whose warnings are errors, what `--slow` selects, that every test has a tier."""

import subprocess
import sys
import warnings

import ports
import pytest
from absl import app
from running import ROOT, main

import trainers
from trainers import train

# Where a warning is attributed to, by the `stacklevel` of who warns, and whether it is an error.
PLACES = {
    "tf_mopoe.layers.decoder": True,
    "tf_mopoe": True,
    "trainers.train": True,
    "test_elbo": True,
    "small": True,
    "matplotlib._mathtext": False,
    "pyparsing.util": False,
    "keras.src.layers.layer": False,
    "smaller": False,
}


@pytest.mark.parametrize("module", PLACES)
def test_a_warning_is_an_error_where_it_is_this_projects(module, request):
    if request.config.getoption("--strict-warnings") or PLACES[module]:
        with pytest.raises(DeprecationWarning, match="`old` is deprecated"):
            warnings.warn_explicit("`old` is deprecated", DeprecationWarning, "file.py", 1, module=module)
    else:
        with warnings.catch_warnings(record=True) as heard:  # with the filters of the suite
            warnings.warn_explicit("`old` is deprecated", DeprecationWarning, "file.py", 1, module=module)
        assert len(heard) == 1


def test_a_library_that_warns_its_caller_warns_this_project():
    library = {"__name__": "library", "warnings": warnings}
    exec("def old():\n    warnings.warn('old() is deprecated', DeprecationWarning, stacklevel=2)", library)
    with pytest.raises(DeprecationWarning, match=r"old\(\) is deprecated"):
        library["old"]()


SUITE = """
import pytest

@pytest.fixture(autouse=True)
def seeded():  # in place of the conftest's, which imports Keras
    pass

@pytest.mark.{marker}
def test_marked():
    pass

def test_plain():
    pass
"""


def collected(folder, marker, *arguments):
    """The numbers of what a suite with this project's conftest and settings does with a marked test and a plain one."""
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "test_two.py").write_text(SUITE.format(marker=marker))
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", f"--rootdir={folder}", *arguments, folder]
    plain = ["-p", "no:cacheprovider", "-p", "no:xdist"]
    result = subprocess.run([*command, *plain], cwd=folder, capture_output=True, text=True, timeout=120)
    return result.stdout


def test_slow_tests_run_with_slow_only(tmp_path):
    assert "1 passed, 1 skipped" in collected(tmp_path, "slow")
    assert "2 passed" in collected(tmp_path, "slow", "--slow")
    assert "1 passed, 1 deselected" in collected(tmp_path, "slow", "--slow", "-m", "slow")


def test_a_test_without_a_tier_is_a_unit_and_an_unknown_marker_an_error(tmp_path):
    assert "1 passed, 1 deselected" in collected(tmp_path, "integration", "-m", "unit")
    assert "1 passed, 1 deselected" in collected(tmp_path, "records", "-m", "records")
    assert "'quick' not found in `markers`" in collected(tmp_path, "quick")


def test_a_port_that_is_taken_is_given_up_for_another():
    tried = []

    def start(numbers):
        tried.append(numbers)
        if len(tried) < 3:
            ports.check("Server address: 127.0.0.1: Address already in use")
        return "serves"

    assert ports.attempt(2, start) == "serves"
    assert len(set(map(tuple, tried))) == 3 and all(20000 <= number < 32768 for pair in tried for number in pair)
    with pytest.raises(AssertionError, match="no such model"):
        ports.attempt(1, lambda numbers: ports.check("no such model"))
    with pytest.raises(ports.Taken):
        ports.attempt(1, lambda numbers: ports.check("Address already in use"))


def test_a_command_in_this_process_has_flags_of_its_own(tmp_path):
    train.FLAGS(["train", f"--out={tmp_path}", "--beta=2"])
    with pytest.raises(app.UsageError, match="--run needs the folder of a finished training"):
        main("evaluate", "--run=nowhere", "--seed=5")  # which has a flag `seed` too
    assert (train.FLAGS.beta, train.FLAGS.seed, "num_samples" in train.FLAGS) == (2.0, 0, False)
    assert sys.modules["trainers.train"] is train and trainers.train is train
    train.FLAGS["beta"].unparse()
