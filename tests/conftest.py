import contextlib
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # before TensorFlow's import: the workers share the cores
    threads = max(1, len(os.sched_getaffinity(0)) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(threads))

import pytest

TIERS = {"unit", "integration", "records"}


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption("--strict-warnings", action="store_true", help="third parties' warnings are errors too")
    parser.addoption("--kills", type=int, default=100, help="number of kills in tests/test_kills.py")
    parser.addoption("--perturb", action="store_true", help="run on a processor that rounds differently: perturbed.py")


def pytest_configure(config):
    """A warning is an error if it is attributed to this project's code, which is what `stacklevel` of a library says."""
    ours = "|".join(["tf_mopoe", "trainers", *(path.stem for path in pathlib.Path(__file__).parent.glob("*.py"))])
    line = "error" if config.getoption("--strict-warnings") else rf"error:::({ours})(\.|$)"
    config.getini("filterwarnings").insert(0, line)  # first, so that the others are exceptions
    if config.getoption("--perturb"):
        import perturbed

        config.stack = contextlib.ExitStack()  # entered for the whole session
        config.stack.enter_context(perturbed.operations())


def pytest_collection_modifyitems(config, items):
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}  # not the keywords, which name the folders too
        if not TIERS & marks:
            item.add_marker("unit")
        if "slow" in marks and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --slow"))


@pytest.fixture(autouse=True)
def seeded():
    import keras

    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def eagerly():
    """Runs `tf.function`s step by step: for tests whose claim is no graph, since tracing takes seconds."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A whole run of 2 epochs of 6 steps, and its output: for reading only."""
    from running import command, finish, start

    out = tmp_path_factory.mktemp("run") / "whole"
    return out, finish(start(command(out, "--epochs=2", "--batch_size=32", "--deterministic", "--missing_rate=0.2")))


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A small model and its export, version 1: for reading only."""
    import signature_rows
    import small

    from tf_mopoe import export

    model = small.model()
    path = tmp_path_factory.mktemp("export") / "small"
    return model, export.saved_model(model, path, num_samples=signature_rows.SAMPLES)


@pytest.fixture(scope="session")
def real_data():
    """Function name -> path of real data that is not part of the project; skips where it is not there."""
    folder = pathlib.Path(os.environ.get("TF_MOPOE_DATA", pathlib.Path(__file__).parents[2] / "shared" / "data"))

    def path(name):
        if not (folder / name).exists():
            pytest.skip(f"needs real data that is not part of the project, {name}: name its folder in TF_MOPOE_DATA")
        return folder / name

    return path
