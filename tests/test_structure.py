"""The shape of the project: imports point upstream, every public name has a test, the wheel holds what it should."""

import ast
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

import tf_mopoe as mopoe
from tf_mopoe import streams

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[1]
# Who may import whom, upstream first (docs/design.md has the drawing): data sets and files; random numbers, densities and
# algebra; networks and mixtures; poolings; q and p; objectives; model; what uses a model.
STAGES = [
    {
        "checks",
        "datasets",
        "files",
        "inputs",
        "names",
        "network_losses",
        "networks",
        "reading",
        "rounding",
        "sharing",
        "tables",
        "typing",
        "units",
    },
    {
        "config_checks",
        "families",
        "freezing",
        "gaussian",
        "hyperparameters",
        "impartial",
        "likelihoods",
        "sampling",
        "streams",
        "subsets",
    },
    {"batch", "batched_mixture", "decoders", "encoders", "experts", "mixture", "priors"},
    {"pooling"},
    {"generative", "posteriors"},
    {"objectives"},
    {"adaptation", "arguments", "marginal_likelihood", "methods", "not_finite", "refinement", "unreached"},
    {"construction", "inference", "predictive", "saving", "training"},
    {"model"},
    {"evaluation", "export", "figures", "plots"},
]
LONGEST = 350  # lines of a file


def stage(name):
    return next(number for number, names in enumerate(STAGES) if name in names)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tf_mopoe":
            parts = node.module.split(".")[1:2]
            yield from parts or [alias.name for alias in node.names]
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert not alias.name.startswith("tf_mopoe."), f"{path}: import from, so that this test sees it"


def test_imports_point_upstream():
    for path in (ROOT / "tf_mopoe").rglob("*.py"):
        own = path.relative_to(ROOT / "tf_mopoe").parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for name in imported(path):
            assert name == own or stage(name) <= stage(own), f"{path} imports {name}"
    for path in (ROOT / "tf_mopoe").rglob("*.py"):
        assert "import trainers" not in path.read_text() and "from trainers" not in path.read_text()


def public_modules():
    return [streams, *(value for value in map(vars(mopoe).get, mopoe.__all__) if not isinstance(value, type))]


def public_names():
    yield from (name for name in mopoe.__all__ if isinstance(getattr(mopoe, name), type))
    for module in public_modules():
        yield from getattr(module, "__all__", public_of(module))


def public_of(module):
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def test_every_public_name_has_a_docstring_and_a_test():
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    tests += (ROOT / "tests" / "small.py").read_text()
    names = sorted(set(public_names()))
    assert {"Hellinger", "PseudoInputs", "MoPoEPlus", "RowStream", "ELBO", "Laplace", "MultimodalVAE"} <= set(names)
    for name in names:
        assert re.search(rf"\b{name}\b", tests), f"{name} has no test"
    for module in (mopoe, *public_modules()):
        for name in getattr(module, "__all__", public_of(module)):
            assert getattr(module, name).__doc__, f"{name} has no docstring"


def test_every_file_says_what_it_is():
    for folder in ("tf_mopoe", "trainers"):
        for path in (ROOT / folder).rglob("*.py"):
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


def test_no_file_is_longer_than_one_idea():
    paths = [path for folder in ("tf_mopoe", "trainers", "tests") for path in (ROOT / folder).rglob("*.py")]
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in paths}
    assert len(lengths) > 100
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


def test_the_wheel_holds_the_data_and_no_tests(tmp_path):
    # A copy: setuptools leaves build/ and *.egg-info beside the sources.
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    for name in filter(None, files):
        if (ROOT / name).exists():
            (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "source" / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", ".", "./source"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    data = {"tf_mopoe/datasets/data/digits.npz", "tf_mopoe/datasets/data/README.md", "tf_mopoe/py.typed"}
    assert data | {"trainers/train.py"} <= set(names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tf_mopoe", "trainers"}
