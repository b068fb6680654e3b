"""Prints the figures of several records side by side, as a Markdown table.

    python -m trainers.compare --records=saved_models/mnist_svhn_text_mopoe,saved_models/mnist_svhn_text_mmvae

Reads what trainers.publish left; with --each also all pairs of given and generated and every subset; with --by_record one
line instead of one column per record.
"""

import pathlib

from absl import app, flags

from trainers import commands, reading, report

FLAGS = flags.FLAGS
flags.DEFINE_list("records", None, "Folders of records, of different names.", required=True)
flags.DEFINE_bool("each", False, "Every pair and every subset, not the averages only.")
flags.DEFINE_bool("by_record", False, "A line for each record, not a column.")


def main(_):
    records = {}
    for folder in map(pathlib.Path, FLAGS.records):
        file = folder / "metrics.json"
        metrics = reading.read_json(file) if file.exists() else {}
        if "training" not in metrics:
            raise app.UsageError(f"--records needs folders that trainers.publish left. Received: {folder}")
        records[folder.name] = report.side_by_side(metrics, FLAGS.each)
    measures = list(dict.fromkeys(row for rows in records.values() for row in rows))
    table = {measure: {name: rows.get(measure, "") for name, rows in records.items()} for measure in measures}
    if FLAGS.by_record:
        table = {name: {measure: table[measure][name] for measure in measures} for name in records}
    lines = report.header("", measures if FLAGS.by_record else records)
    print("\n".join(lines + [report.line(name, cells.values()) for name, cells in table.items()]))


if __name__ == "__main__":
    commands.run(main)
