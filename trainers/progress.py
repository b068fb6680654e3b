"""Progress bars: Keras' own, below a line with a label."""

import sys

import keras


class Progress(keras.utils.Progbar):
    """Shows how many of `total` steps are done, the time left and metrics.

    The first step is not shown, nor counted in the estimate of the time left, as it includes tracing: let it be one step.

    Args:
        total: number of steps.
        label: text of the line above.
    """

    def __init__(self, total, label):
        print(label, flush=True)
        interval = 0.5 if sys.stdout.isatty() else 15.0  # seconds; where it is no terminal, each time is a new line
        super().__init__(total, verbose=int(total == 1), interval=interval, stateless_metrics=())

    def update(self, current, values=None, finalize=None):
        """Show that `current` steps are done; `values`: {name: float}, such as the terms of a bound."""
        shown = [(name.removeprefix("reconstruction_"), value) for name, value in (values or {}).items()]
        super().update(current, shown, finalize)
        self.verbose = 1


def bar(label):
    """Return the `progress` argument of a measure: a function (done, total) that shows a bar."""
    bars = []

    def progress(done, total):
        if not bars:
            bars.append(Progress(total, label))
        bars[0].update(done)

    return progress
