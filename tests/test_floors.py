"""The lowest versions that setup.py allows are those that `make test-lowest` installs, and the same wherever they stand."""

import ast
import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).parents[1]


def declared():
    """setup.py's lowest Python, and its requirements, those of all extras among them."""
    nodes = ast.walk(ast.parse((ROOT / "setup.py").read_text()))
    call = next(node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "setup")
    arguments = {keyword.arg: keyword.value for keyword in call.keywords}
    python, base, extras = (
        ast.literal_eval(arguments[name]) for name in ("python_requires", "install_requires", "extras_require")
    )
    return python, base + [requirement for extra in extras.values() for requirement in extra]


def test_each_requirement_has_one_floor_and_the_constraints_are_the_floors():
    floors = {}
    for requirement in declared()[1]:
        match = re.fullmatch(r"([a-z-]+)(?:\[[a-z]+\])?>=([\d.]+)", requirement)
        assert match, f"setup.py must give {requirement} one lowest version, and nothing else"
        assert floors.setdefault(match[1], match[2]) == match[2], f"setup.py gives {match[1]} two lowest versions"
    lines = (ROOT / "tests" / "lowest.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        f"{name}=={floors[name]}" for name in sorted(floors)
    ]


def test_the_lowest_python_is_the_same_everywhere():
    python = declared()[0].removeprefix(">=")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["tool"]["ruff"]["target-version"] == "py" + python.replace(".", "")
    assert settings["build-system"]["requires"] == [name for name in declared()[1] if name.startswith("setuptools")]
    assert f"need Python {python} or newer" in (ROOT / "README.md").read_text()
    assert f"test-lowest: PYTHON = python{python}\n" in (ROOT / "Makefile").read_text()
    minors = re.findall(r"Python :: 3\.(\d+)", (ROOT / "setup.py").read_text())
    assert f"3.{min(map(int, minors))}" == python
