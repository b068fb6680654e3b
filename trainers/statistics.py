"""Times of works as Markdown: what each takes, and what it takes of another that was timed in turns with it.

A case is what was timed together: {"workload", "mode", "works"}. A work: {"name", "seconds": [[seconds of a step] of a
round] or None where it failed, "batch_size", "parameters", "peak_mb"}, the measured one first.
"""

import itertools
import statistics

from trainers import report

PEER = "MultiVae"  # names that begin so are of the peer


def median(work):
    """Seconds of a step."""
    return statistics.median(itertools.chain(*work["seconds"]))


def row_seconds(work, seconds):
    return seconds / work["batch_size"]


def ratio(work, base):
    """How long a row of `work` takes in those of `base`, of a round's medians: median, least and greatest of the rounds."""
    rounds = [
        row_seconds(work, statistics.median(mine)) / row_seconds(base, statistics.median(its))
        for mine, its in zip(work["seconds"], base["seconds"])
    ]
    return statistics.median(rounds), min(rounds), max(rounds)


def tables(cases):
    """All that the cases have, as lines."""
    lines = []
    for names, rows in (
        (["work", "step, ms", "rows per second", "peak memory, MB", "parameters"], costs(cases)),
        (["work", "step, ms", "rows per second", "against", "step, ms", "ratio of times"], against(cases)),
        (["work", "rows per second", "peer", "its rows per second", "its memory, MB", "times as fast"], peers(cases)),
    ):
        if rows:
            lines += [*report.header("", names), *(report.line(first, cells) for first, *cells in rows), ""]
    return lines[:-1]


def costs(cases):
    """A row for each work that has a process of its own."""
    rows = []
    for case in cases:
        work = case["works"][0]
        if case["mode"] in ("train", "encode", "joint", "translate"):
            cells = [milliseconds(work), speed(work), f"{work['peak_mb']:.0f}" if work["peak_mb"] else ""]
            rows.append([case["workload"], case["mode"], *cells, f"{work['parameters']:,}"])
    return rows


def against(cases):
    """A row for each other work of ours."""
    rows = []
    for case in cases:
        work, *others = case["works"]
        for other in others:
            if not other["name"].startswith(PEER):
                cells = [milliseconds(work), speed(work), other["name"], milliseconds(other)]
                rows.append([case["workload"], work["name"], *cells, spread(*ratio(work, other))])
    return rows


def peers(cases):
    """A row for each work of the peer."""
    rows = []
    for case in cases:
        work, *others = case["works"]
        for other in others:
            if other["name"].startswith(PEER):
                name = other["name"] + (f", batch {other['batch_size']}" * (other["batch_size"] != work["batch_size"]))
                memory = f"{other['peak_mb']:.0f}" if other["peak_mb"] else ""
                faster = spread(*ratio(other, work)) if other["seconds"] else ""
                cells = [case["mode"], speed(work), name, speed(other), memory, faster]
                rows.append([case["workload"], *cells])
    return rows


def milliseconds(work):
    """Median, least and greatest."""
    times = [1e3 * seconds for seconds in itertools.chain(*work["seconds"])]
    return spread(statistics.median(times), min(times), max(times))


def speed(work):
    """Rows per second; none for what has no rows."""
    if not work["seconds"]:
        return "fails"
    return digits(work["batch_size"] / median(work)) if work["parameters"] else ""


def spread(middle, least, greatest):
    return f"{digits(middle)} ({digits(least)} to {digits(greatest)})"


def digits(value):
    """Three digits that count: 0.123, 1.23, 12.3, 123, 1,234."""
    decimals = 3 - sum(value >= limit for limit in (1, 10, 100))
    return f"{value:,.{decimals}f}"
