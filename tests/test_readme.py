"""The Python of the documents runs as it is printed, in order, in one process for each."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize("file, least", [("README.md", 4), ("docs/design.md", 1), ("docs/data.md", 4)])
def test_the_code_runs_as_printed(file, least, tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / file).read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= least
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", "\n".join(blocks)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
