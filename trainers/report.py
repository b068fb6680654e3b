"""Measures as Markdown and as JSON."""

from tf_mopoe import figures

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


def table(modalities, metrics):
    """Format the measures of `trainers.evaluate` as Markdown."""
    rows, values = figures.coherence_table(metrics["conditional_coherence"], modalities)
    accuracy = metrics["classifier_accuracy"]
    lines = ["Conditional coherence: share of the test rows whose translation shows their label", ""]
    lines += header("given", modalities)
    lines += [line(", ".join(given), [number(v) for v in row]) for given, row in zip(rows, values)]
    lines += [line("(test rows themselves)", [number(accuracy.get(name)) for name in modalities]), ""]
    for (given, target), value in metrics["conditional_coherence_expected_matches"].items():
        lines.append(f"{', '.join(given)} to {target}, by expected matches: {value:.2f}")
    if metrics["conditional_coherence_expected_matches"]:
        lines.append("")

    counts = range(1, len(modalities) + 1)
    lines += header("modalities given", counts)
    averages = {
        "conditional coherence": "conditional_coherence_by_number_given",
        "linear accuracy, 500 rows": "linear_accuracy_500_rows_by_number_given",
        f"linear accuracy, {metrics['probe_rows']} rows": "linear_accuracy_by_number_given",
    }
    lines += [line(text, [number(metrics[key].get(count)) for count in counts]) for text, key in averages.items()]
    lines.append("")

    nats = metrics["joint_log_likelihood"]
    lines += header("given", ["linear accuracy, 500 rows", f"{metrics['probe_rows']} rows", "log p(X), nats"])
    for given, value in metrics["linear_accuracy"].items():
        small = metrics["linear_accuracy_500_rows"][given]
        lines.append(line(", ".join(given), [f"{small:.3f}", f"{value:.3f}", f"{nats[given]:.1f}"]))
    lines.append("")

    for key in [key for key in metrics if key.startswith("frechet_distance_")]:
        if not metrics[key]:
            continue
        targets = [name for name in modalities if any(target == name for _, target in metrics[key])]
        kind = key.removeprefix("frechet_distance_").replace("_", " ")
        lines += header(f"Frechet distance, {kind}", targets)
        for given in dict.fromkeys(given for given, _ in metrics[key]):
            text = "from the prior" if given == "prior" else f"given {', '.join(given)}"
            lines.append(line(text, [number(metrics[key].get((given, name)), 1) for name in targets]))
        lines.append("")

    lines.append(f"Joint coherence: {metrics['joint_coherence']:.2f} from the prior,")
    lines.append(
        f"{metrics['joint_coherence_latent_mixture']:.2f} from a Gaussian mixture fitted to the posterior means."
    )
    if metrics["expert_calibration"] is not None:
        lines.append(
            f"Adding a modality raises the mean log-likelihood in {metrics['expert_calibration']:.2f} of the cases."
        )
    rows, few, samples = metrics["rows"], metrics["likelihood_rows"], metrics["num_samples"]
    lines.append(f"{rows} test rows; log-likelihoods on {few} of them with {samples} samples each.")
    return "\n".join(lines) + "\n"


def header(first, columns):
    return [line(first, columns), "|---|" + "---|" * len(columns)]


def line(first, cells):
    return f"| {first} | " + " | ".join(map(str, cells)) + " |"


def number(value, digits=2):
    """Format with that many digits; nothing for None and NaN."""
    return "" if value is None or value != value else f"{value:.{digits}f}"


def as_json(metrics):
    """Convert measures keyed by subsets to lists of objects; keep the rest."""
    return {key: as_rows(value) if isinstance(value, dict) else value for key, value in metrics.items()}


def as_rows(values):
    """Convert {(given, target): value} and {given: value} to [{"given": [...], "target": ..., "value": ...}, ...]."""
    rows = []
    for key, value in values.items():
        if not isinstance(key, tuple):
            return values
        pair = len(key) == 2 and (isinstance(key[0], tuple) or key[0] == "prior")
        given, target = key if pair else (key, None)
        given = [] if given == "prior" else list(given)
        rows.append({"given": given} | ({"target": target} if pair else {}) | {"value": value})
    return rows


def side_by_side(metrics, each):
    """Return {text: cell} of one record's metrics, for a column of a comparison; `each`: every pair and subset too."""
    rows = {}
    training = metrics["training"]
    rows |= {"commit": training["commit"], "steps": training["train"]["step"], "seconds": f"{training['seconds']:.0f}"}
    for text, key in AVERAGES.items():
        rows |= {f"{text}, {count} given": f"{value:.3f}" for count, value in metrics[key].items()}
    for text, key in SINGLE.items():
        rows[text] = number(metrics[key], 3)
    for text, key in EACH.items() if each else ():
        digits = 1 if text in ("log p(X) in nats", "Frechet distance") else 3
        for entry in metrics[key]:
            to = f" to {entry['target']}" if "target" in entry else ""
            rows[f"{text}, {' + '.join(entry['given']) or 'prior'}{to}"] = f"{entry['value']:.{digits}f}"
    if each:
        rows |= mean_distances(metrics["frechet_distance_classifier_features"])
    return rows


def mean_distances(distances):
    """Return {text: cell}, the means of Frechet distances over the pairs of as many given modalities."""
    values = {}
    for entry in distances:
        count = len(entry["given"])
        values.setdefault(f"{count} given" if count else "prior", []).append(entry["value"])
    return {f"Frechet distance, mean, {text}": number(sum(some) / len(some), 1) for text, some in values.items()}
