"""Prints the figures of several records side by side, as a Markdown table.

    python -m trainers.compare --records=saved_models/mnist_svhn_text_mopoe,saved_models/mnist_svhn_text_mmvae

Reads what trainers.publish left; with --each also every pair of given and made, and every subset.
"""

import json
import pathlib

from absl import app, flags

from trainers import report

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "records", None, "Folders of records, or of evaluated runs' metrics (<run>/evaluation).", required=True
)
flags.DEFINE_bool("each", False, "Every pair and every subset, not the averages only.")

AVERAGES = {
    "conditional coherence": "conditional_coherence_by_number_given",
    "linear accuracy, 500 rows": "linear_accuracy_500_rows_by_number_given",
    "linear accuracy": "linear_accuracy_by_number_given",
}
EACH = {
    "coherence": "conditional_coherence",
    "linear accuracy, 500 rows": "linear_accuracy_500_rows",
    "linear accuracy": "linear_accuracy",
    "log p(X) in nats": "joint_log_likelihood",
    "Frechet distance": "frechet_distance_classifier_features",
}
SINGLE = {
    "joint coherence, prior": "joint_coherence",
    "joint coherence, latent mixture": "joint_coherence_latent_mixture",
    "expert calibration": "expert_calibration",
}


def main(_):
    records = {}
    for folder in map(pathlib.Path, FLAGS.records):
        if not (folder / "metrics.json").exists():
            raise app.UsageError(f"--records needs folders with a metrics.json. Received: {folder}")
        records[folder.name] = rows_of(json.loads((folder / "metrics.json").read_text()), FLAGS.each)
    lines = report.header("", records)
    for row in dict.fromkeys(row for rows in records.values() for row in rows):
        lines.append(report.line(row, [rows.get(row, "") for rows in records.values()]))
    print("\n".join(lines))


def rows_of(metrics, each):
    """{text: cell} of one record."""
    rows = {}
    if "training" in metrics:
        rows["steps"], rows["seconds"] = metrics["training"]["train"]["step"], f"{metrics['training']['seconds']:.0f}"
    for text, key in AVERAGES.items():
        rows |= {f"{text}, {count} given": f"{value:.3f}" for count, value in metrics[key].items()}
    for text, key in SINGLE.items():
        rows[text] = report.number(metrics[key], 3)
    for text, key in EACH.items() if each else ():
        digits = 1 if text in ("log p(X) in nats", "Frechet distance") else 3
        for entry in metrics[key]:
            to = f" to {entry['target']}" if "target" in entry else ""
            rows[f"{text}, {' + '.join(entry['given']) or 'prior'}{to}"] = f"{entry['value']:.{digits}f}"
    return rows


if __name__ == "__main__":
    app.run(main)
