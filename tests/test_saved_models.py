"""The models on record still make what they made, and score what their cards say."""

import json
import pathlib

import keras
import numpy as np
import pytest

from tf_mopoe import evaluation
from trainers import experiments

RECORDS = pathlib.Path(__file__).parents[1] / "saved_models"
MODELS = sorted(path.parent for path in RECORDS.glob("*/model.keras"))


@pytest.mark.parametrize("record", MODELS, ids=lambda path: path.name)
def test_it_makes_what_it_made(record):
    model = keras.models.load_model(record / "model.keras")
    with np.load(record / "example.npz") as example:
        for name in model.modalities:
            given = {name: example[f"x_{name}"]}
            np.testing.assert_allclose(model.subset_posterior(given).loc, example[f"loc_{name}"], atol=1e-3)
            for other, made in model.translate(given, seed=1).items():
                np.testing.assert_allclose(example[f"{name}_to_{other}"], made, atol=1e-3)


@pytest.mark.parametrize("record", MODELS, ids=lambda path: path.name)
def test_it_scores_what_its_card_says(record, real_data):
    settings = json.loads((record / "flags.json").read_text())
    if "data_dir" in experiments.EXPERIMENTS[settings["dataset"]].sources:
        settings["data_dir"] = real_data("mnist.npz").parent
    experiment = experiments.make(settings)
    metrics = json.loads((record / "metrics.json").read_text())
    model = keras.models.load_model(record / "model.keras")
    classifiers = {path.stem: keras.models.load_model(path) for path in (record / "classifiers").glob("*.keras")}
    rows, labels = experiments.load(experiment, "test", seed=metrics["seed"])
    assert metrics["rows"] <= len(labels)
    inputs, labels = rows.take(metrics["rows"])[:], labels[: metrics["rows"]]
    coherence = evaluation.conditional_coherence(
        model, inputs, labels, classifiers | experiment.readers, sizes=[1], seed=metrics["seed"]
    )
    told = {(tuple(row["given"]), row["target"]): row["value"] for row in metrics["conditional_coherence"]}
    assert len(coherence) == len(model.modalities) * (len(model.modalities) - 1)
    for pair, value in coherence.items():
        # The same rows and seeds: rounding on another processor may turn a few rows of thousands.
        assert abs(value - told[pair]) < 0.003, pair
    for line in (record / "README.md").read_text().splitlines():
        if line.startswith("| (test rows themselves)"):
            cells = [f"{metrics['classifier_accuracy'][name]:.2f}" for name in model.modalities]
            assert line == f"| (test rows themselves) | {' | '.join(cells)} |"


def test_every_record_has_a_card_and_figures_without_paths():
    records = [path for path in RECORDS.iterdir() if path.is_dir()]
    assert MODELS and records
    for record in records:
        assert {"README.md", "metrics.json", "flags.json"} <= {path.name for path in record.iterdir()}
        settings = json.loads((record / "flags.json").read_text())
        assert all(settings[name] is None for name in experiments.EXPERIMENTS[settings["dataset"]].sources)
    size = sum(path.stat().st_size for path in RECORDS.rglob("*") if path.is_file())
    assert size < 20e6
