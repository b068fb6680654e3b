"""Interleaves works that run in separate processes: only what is timed in turns can be compared."""

import json
import os
import pathlib
import statistics
import subprocess
import tempfile


class Failed(Exception):
    """A work that failed for lack of memory."""


class Worker:
    """A process that speaks the lines of `trainers.cases`.

    Args:
        command: list of strings.
        environment: {name: value} to add.

    Attributes: `works`, their names, and `parameters`, as the process prints them; none where it failed.
    """

    def __init__(self, command, environment=None):
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed in __exit__
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors, "text": True}
        self.process = subprocess.Popen(command, env=os.environ | (environment or {}), **pipes)
        self.peak_mb = None

    def __enter__(self):
        try:
            first = self.read()
        except Failed:
            first = {}
        except Exception:
            self.__exit__()
            raise
        self.works, self.parameters = first.get("works", []), first.get("parameters")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            code, errors = self.process.wait(), self.errors.read()[-3000:]
            if code < 0 or "MemoryError" in errors:  # ended by a signal: abort, or the system's killer
                raise Failed(f"ended by signal {-code}")
            raise RuntimeError(f"A process of the benchmark ended with code {code}:\n{errors}")
        value = json.loads(line)
        self.peak_mb = resident_peak_mb(self.process.pid) or self.peak_mb
        if "failed" in value:
            raise Failed(value["failed"])
        return value

    def work(self, name):
        """Return the function steps -> seconds of each of them."""

        def take(steps):
            self.process.stdin.write(f"{name} {steps}\n")
            self.process.stdin.flush()
            return self.read()

        return take


def resident_peak_mb(process):
    """Return a running process' peak; None where the system has no /proc. (A child's ru_maxrss starts at its parent's.)"""
    path = pathlib.Path(f"/proc/{process}/status")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


def alternate(works, rounds, seconds):
    """Time works in turns: some steps of the first, some of the next, and again.

    Args:
        works: {name: function steps -> list of seconds}.
        rounds: how many turns each has.
        seconds: about how long a turn is.

    Returns:
        {name: [seconds of the steps [n], of each round]}, None for a work that failed.
    """
    counts, times = {}, {name: [] for name in works}
    for number in range(-1, rounds):
        for name, work in works.items():
            if times[name] is None:
                continue
            try:
                if number < 0:
                    work(1)  # compiles
                    counts[name] = max(1, round(seconds / statistics.median(work(2))))
                else:
                    times[name].append(work(counts[name]))
            except Failed:
                times[name] = None
    return times
