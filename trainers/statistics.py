"""Times of works as Markdown: each work's time, and its ratio to another work's, timed in turns with it.

A case is a set of works timed together: {"workload", "mode", "works"}. A work: {"name", "seconds": [[seconds of a step] of a
round] or None where it failed, "batch_size", "parameters", "peak_mb"}, the measured one first.
"""

import itertools
import statistics

from trainers import report

PEER = "MultiVae"  # names that begin so are of the peer


def median(work):
    """Return the median of the seconds per step."""
    return statistics.median(itertools.chain(*work["seconds"]))


def row_seconds(work, seconds):
    return seconds / work["batch_size"]


def ratio(work, base):
    """Compute `work`'s time per row over that of `base`, of a round's medians: median, least and greatest of the rounds."""
    rounds = [
        row_seconds(work, statistics.median(mine)) / row_seconds(base, statistics.median(its))
        for mine, its in zip(work["seconds"], base["seconds"])
    ]
    return statistics.median(rounds), min(rounds), max(rounds)


def tables(cases):
    """Format all results of the cases, as lines."""
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
    """Return a row for each work that has its own process."""
    rows = []
    for case in cases:
        work = case["works"][0]
        if case["mode"] in ("train", "encode", "joint", "translate"):
            cells = [milliseconds(work), speed(work), f"{work['peak_mb']:.0f}" if work["peak_mb"] else ""]
            rows.append([case["workload"], case["mode"], *cells, f"{work['parameters']:,}"])
    return rows


def against(cases):
    """Return a row for each other work of ours."""
    rows = []
    for case in cases:
        work, *others = case["works"]
        for other in others:
            if not other["name"].startswith(PEER):
                cells = [milliseconds(work), speed(work), other["name"], milliseconds(other)]
                rows.append([case["workload"], work["name"], *cells, spread(*ratio(work, other))])
    return rows


def peers(cases):
    """Return a row for each work of the peer."""
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
    """Format the median, least and greatest milliseconds."""
    times = [1e3 * seconds for seconds in itertools.chain(*work["seconds"])]
    return spread(statistics.median(times), min(times), max(times))


def speed(work):
    """Format rows per second; none for a work without rows."""
    if not work["seconds"]:
        return "fails"
    return digits(work["batch_size"] / median(work)) if work["parameters"] else ""


def spread(middle, least, greatest):
    return f"{digits(middle)} ({digits(least)} to {digits(greatest)})"


def digits(value):
    """Format with three significant digits: 0.123, 1.23, 12.3, 123, 1,234."""
    decimals = 3 - sum(value >= limit for limit in (1, 10, 100))
    return f"{value:,.{decimals}f}"
