"""Encoders on devices, as a user meets them: the documented code, and the harm of 8 bits to a trained model."""

import json
import os
import re
import subprocess
import sys

import on_device
import pytest
from running import ROOT, main

pytestmark = pytest.mark.integration


def python(arguments, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def test_the_documented_code_runs_as_printed(tmp_path):
    exported, device, server = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "edge.md").read_text(), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "saved_models").symlink_to(ROOT / "saved_models")
    python(["-c", exported], tmp_path)
    shape = on_device.run(device + "print(sent['loc'].shape, sent['scale'].shape)", tmp_path)
    assert shape.splitlines()[-1] == "(1, 20) (1, 20)"
    # image: 1 / 0.36; and the word's 1 / 0.64. Two of three modalities: no prior.
    values = on_device.run(server + "print(*loc[:, 0].round(4), *scale[:, 0].round(4))", tmp_path)
    assert values.split() == ["0.572", "0.5", "0.48", "0.6"]


def test_8_bits_harm_the_digits_by_less_than_2_points():
    pytest.importorskip("sklearn")
    run = ["--run=saved_models/digits", "--numbers=float32,int8", "--repeats=20"]
    lines = main("edge_table", *run).splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    start = next(number for number, row in enumerate(cells) if row[0] == "numbers")
    titles, single, integer = cells[start:]
    assert (single[0], integer[0]) == ("float32", "int8") and len(titles) == 1 + 3 + 6
    assert {"linear accuracy, image", "image to word"} <= set(titles)
    for title, before, after in list(zip(titles, single, integer))[1:]:
        assert float(after) > float(before) - 0.02, title
    sizes = {tuple(row[:2]): float(row[2]) for row in cells[1:start]}
    assert len(sizes) == 6 and sum(sizes.values()) < 8000  # kB
    for name in ("image", "speech", "word"):
        assert sizes[name, "int8"] < 0.3 * sizes[name, "float32"]


@pytest.mark.slow
def test_the_trainer_exports_encoders_of_8_bits(tmp_path):
    """Their ranges come from training rows of the run's own data."""
    edge = tmp_path / "edge"
    flags = ["--run=saved_models/digits", f"--out={tmp_path / 'served'}", f"--edge={edge}", "--quantization=int8"]
    output = main("export", *flags)
    assert sorted(path.name for path in edge.glob("*.tflite")) == ["image.tflite", "speech.tflite", "word.tflite"]
    assert str(edge / "image.tflite") in output and (tmp_path / "served" / "1" / "saved_model.pb").exists()
    reported = json.loads((edge / "image.json").read_text())
    assert reported["quantization"] == "int8" and reported["input"]["range"] == [0.0, 1.0]
