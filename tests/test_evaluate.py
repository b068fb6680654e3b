"""Evaluation and record of a run as a user makes them: the figures are those of the library's functions."""

import json
import shutil

import keras
import numpy as np
import pytest
from absl import app
from running import SMALL, main

import tf_mopoe as mopoe
from tf_mopoe import evaluation, figures
from tf_mopoe.datasets import digits
from trainers import experiments, progress, report

pytestmark = pytest.mark.integration

FLAGS = ["--test_rows=300", "--probe_rows=600", "--likelihood_rows=20", "--num_samples=4", "--seed=3"]


@pytest.fixture(scope="module")
def evaluated(finished, tmp_path_factory):
    """A run with its evaluation (by classifiers that have learned nothing, for they take minutes) and its record."""
    folder = tmp_path_factory.mktemp("evaluated")
    run = shutil.copytree(finished[0], folder / "run")
    (run / "classifiers").mkdir()
    for name, shape in (("image", (28, 28, 1)), ("speech", (32, 64, 1))):
        inputs = keras.Input(shape)
        features = keras.layers.Dense(12, activation="relu")(keras.layers.Flatten()(inputs))
        outputs = keras.layers.Dense(10, activation="softmax")(features)
        keras.Model(inputs, outputs).save(run / "classifiers" / f"{name}.keras")
    output = main("evaluate", f"--run={run}", *FLAGS)
    (folder / "tiny" / "saved_model").mkdir(parents=True)
    (folder / "tiny" / "edge").mkdir()
    (folder / "tiny" / "edge" / "image.json").write_text('{"quantization": "int8"}')
    main("publish", f"--run={run}", "--name=tiny", f"--out={folder}")
    return run, folder / "tiny", output


def test_the_figures_are_those_of_the_measures(evaluated):
    run, _, output = evaluated
    metrics = json.loads((run / "evaluation" / "metrics.json").read_text())
    model = keras.models.load_model(run / "model.keras")
    inputs, labels = mopoe.datasets.load_digits("test", seed=3)
    inputs, labels = {name: x[:300] for name, x in inputs.items()}, labels[:300]
    classifiers = {n: keras.models.load_model(run / "classifiers" / f"{n}.keras") for n in ("image", "speech")}
    classifiers["word"] = digits.nearest_digit
    coherence = evaluation.conditional_coherence(model, inputs, labels, classifiers, seed=3)
    reported = {(tuple(row["given"]), row["target"]): row["value"] for row in metrics["conditional_coherence"]}
    assert reported == coherence
    assert metrics["conditional_coherence_by_number_given"] == {
        str(count): value for count, value in evaluation.mean_by_number_given(coherence).items()
    }
    assert metrics["classifier_accuracy"] == evaluation.classifier_accuracy(inputs, labels, classifiers)
    few = {name: x[:20] for name, x in inputs.items()}
    nats = {tuple(row["given"]): row["value"] for row in metrics["joint_log_likelihood"]}
    for given, value in evaluation.joint_log_likelihoods(model, few, num_samples=4, seed=3).items():
        np.testing.assert_allclose(nats[given], value, rtol=1e-5)
    table = (run / "evaluation" / "table.md").read_text()
    assert table.strip() in output
    assert f"| image, speech |  |  | {reported[('image', 'speech'), 'word']:.2f} |" in table
    assert f"| word | {reported[('word',), 'image']:.2f} | {reported[('word',), 'speech']:.2f} |  |" in table
    for name in ("coherence", "by_number_given", "latent", "translations", "prior"):
        assert (run / "evaluation" / f"{name}.png").stat().st_size > 5000
    assert not list(run.rglob("*part*"))


def test_a_record_holds_the_model_and_what_it_makes(evaluated):
    run, record, _ = evaluated
    model = keras.models.load_model(record / "model.keras")
    before = keras.models.load_model(run / "model.keras")
    for a, b in zip(model.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (record / "model.keras").stat().st_size < 0.5 * (run / "model.keras").stat().st_size  # no optimizer
    with np.load(record / "example.npz") as example:
        for name in model.modalities:
            for other, made in before.translate({name: example[f"x_{name}"]}, seed=1).items():
                np.testing.assert_allclose(example[f"{name}_to_{other}"], made, atol=1e-5)
    card = (record / "README.md").read_text()
    assert (run / "evaluation" / "table.md").read_text().strip() in card
    assert "--dataset=digits --method=mopoe_plus --latent_dim=4 --epochs=2 --batch_size=32 --missing_rate=0.2 " in card
    assert "--missing_rate=0.2 --train_rows=192 --deterministic=True --out=" in card
    assert "trainers.export --run=saved_models/tiny --edge=saved_models/tiny/edge --quantization=int8\n" in card
    reported = "".join(path.read_text() for path in record.glob("*.*") if path.suffix in (".md", ".json"))
    assert str(run.parent) not in reported
    assert sorted(path.name for path in record.iterdir()) == [
        "README.md",
        "classifiers",
        "edge",
        "example.npz",
        "flags.json",
        "metrics.json",
        "model.keras",
        "saved_model",
        "translations.png",
    ]


def test_report_leaves_out_what_was_not_measured():
    rows, values = figures.coherence_table({(("b",), "a"): 0.5, (("a", "b"), "c"): 0.25}, ("a", "b", "c"))
    assert rows == [("b",), ("a", "b")]
    np.testing.assert_array_equal(values, [[0.5, np.nan, np.nan], [np.nan, np.nan, 0.25]])
    assert report.line("x", [report.number(value) for value in (0.126, None, np.nan)]) == "| x | 0.13 |  |  |"
    assert report.as_rows({("prior", "a"): 1.0, (("b",), "a"): 2.0}) == [
        {"given": [], "target": "a", "value": 1.0},
        {"given": ["b"], "target": "a", "value": 2.0},
    ]
    assert report.as_rows({("a", "b"): 1.0}) == [{"given": ["a", "b"], "value": 1.0}]
    assert report.as_rows({1: 0.5}) == {1: 0.5}


def test_principal_components_keep_the_distances_of_a_plane():
    rng = np.random.default_rng(0)
    plane = rng.standard_normal((50, 2)) * [3.0, 1.0]
    directions, _ = np.linalg.qr(rng.standard_normal((6, 2)))
    points = figures.principal_components(plane @ directions.T + 5.0)
    distances = [np.linalg.norm(x[:, None] - x, axis=-1) for x in (plane, points)]
    np.testing.assert_allclose(*distances, atol=1e-6)
    assert points[:, 0].var() > points[:, 1].var()


def test_a_bar_tells_the_end(capsys):
    advance = progress.bar("probe")
    for done in range(1, 5):
        advance(done, 4)
    label, *_, last = capsys.readouterr().out.splitlines()
    assert label == "probe" and "4/4" in last


def test_comparison_tells_what_the_record_holds(evaluated):
    _, record, _ = evaluated
    metrics = json.loads((record / "metrics.json").read_text())
    rows = report.side_by_side(metrics, each=True)
    pairs = {(tuple(entry["given"]), entry["target"]): entry["value"] for entry in metrics["conditional_coherence"]}
    assert rows["coherence, image + word to speech"] == f"{pairs[('image', 'word'), 'speech']:.3f}"
    assert rows["conditional coherence, 1 given"] == f"{np.mean([v for (g, _), v in pairs.items() if len(g) == 1]):.3f}"
    assert rows["steps"] == 12
    distances = [e["value"] for e in metrics["frechet_distance_classifier_features"] if not e["given"]]
    assert rows["Frechet distance, mean, prior"] == f"{np.mean(distances):.1f}"
    assert set(report.side_by_side(metrics, each=False)) < set(rows)


def test_a_run_with_experts_that_have_no_product_is_evaluated_and_put_on_record(evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments.Digits, "other_label_functions", {})  # as of PolyMNIST
    run = tmp_path / "run"
    flags = ["--method=mmvae_laplace", "--epochs=1", "--private_dim=2", "--private_beta=0.5", "--seed=3"]
    main("train", f"--out={run}", *SMALL, *flags)
    classifiers = f"--classifiers={evaluated[0] / 'classifiers'}"
    main("evaluate", f"--run={run}", classifiers, *FLAGS)
    publish = ["publish", f"--run={run}", "--name=laplace", f"--out={tmp_path}"]
    with pytest.raises(app.UsageError, match="--classifiers must be the folder that trainers.evaluate was given"):
        main(*publish)
    main(*publish, classifiers)
    written = {path.name: path.read_bytes() for path in (tmp_path / "laplace" / "classifiers").iterdir()}
    given = {path.name: path.read_bytes() for path in (evaluated[0] / "classifiers").iterdir()}
    assert written == given and sorted(given) == ["image.keras", "speech.keras"]  # never compiled: the same bytes
    model = keras.models.load_model(tmp_path / "laplace" / "model.keras")
    with np.load(tmp_path / "laplace" / "example.npz") as example:
        expert = model.encode({"image": example["x_image"]}).experts["image"]
        np.testing.assert_allclose(example["loc_image"], expert.loc[:, 0], rtol=1e-5, atol=1e-6)
    card = (tmp_path / "laplace" / "README.md").read_text().replace("\n", " ")
    assert (
        "--classifiers=... " in card and " --private_dim=2 --seed=3 --train_rows=192 --private_beta=0.5 --out=" in card
    )
