"""One line on how far a long work is, and the time left; rewritten on a terminal."""

import sys
import time


class Progress:
    """Tells how much of `total` is done.

    Args:
        total: how many steps there are.
        what: text to begin the line with.
    """

    def __init__(self, total, what=""):
        self.total, self.what, self.done = total, what, 0
        self.began, self.shown = time.monotonic(), 0.0
        self.terminal = sys.stdout.isatty()

    def add(self, steps, values=None):
        """`steps` more are done; `values`: {name: float} to show, such as the terms of a bound."""
        self.done += steps
        now = time.monotonic()
        if now - self.shown < (0.5 if self.terminal else 15.0) and self.done < self.total:
            return
        self.shown = now
        left = int((now - self.began) * (self.total - self.done) / self.done)
        bar = "=" * (20 * self.done // self.total)
        terms = "".join(f"  {name.removeprefix('reconstruction_')} {x:.1f}" for name, x in (values or {}).items())
        line = f"{self.what}[{bar:20s}] {self.done}/{self.total}  {left // 60}:{left % 60:02d} left{terms}"
        end = "\n" if not self.terminal or self.done == self.total else ""
        print(("\r\033[K" if self.terminal else "") + line, end=end, flush=True)


def bar(what):
    """The `progress` argument of a measure: a function (done, total) that shows a line."""
    shown = []

    def progress(done, total):
        if not shown:
            shown.append(Progress(total, f"{what:26s}"))
        shown[0].add(done - shown[0].done)

    return progress
