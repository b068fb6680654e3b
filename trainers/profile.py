"""Where the time of a train step goes: the kinds of operations by their share, of a workload of the benchmark.

    python -m trainers.profile --workload=mlp --modalities=8
    python -m trainers.profile --workload=polymnist --floor

Prints Markdown: milliseconds of a step in each kind of operation, by TensorFlow's profiler. Operations run side by side, so
that their sum may be more than the step, which the first line tells.
"""

import collections
import pathlib
import re
import tempfile
import time

import tensorflow as tf
from absl import app, flags
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from trainers import report, workloads

FLAGS = flags.FLAGS
flags.DEFINE_enum("workload", "mlp", sorted(workloads.MODALITIES), "What to work on.")
flags.DEFINE_integer("modalities", 5, "Number of modalities of mlp.", lower_bound=1)
flags.DEFINE_bool("floor", False, "The same networks with one product of experts and one KL.")
flags.DEFINE_integer("batch_size", 256, "Rows in a step.", lower_bound=1)
flags.DEFINE_integer("steps", 10, "How many are traced.", lower_bound=1)
flags.DEFINE_integer("top", 15, "How many kinds to print.", lower_bound=1)


def main(_):
    make = workloads.floor if FLAGS.floor else workloads.model
    model = make(FLAGS.workload, workloads.MODALITIES[FLAGS.workload] or FLAGS.modalities)
    step = tf.function(model.train_step)
    rows = workloads.rows(model, FLAGS.batch_size)

    def seconds(steps):
        start = time.perf_counter()
        for _ in range(steps):
            step(rows)
        tf.test.experimental.sync_devices()
        return (time.perf_counter() - start) / steps

    seconds(3)
    alone = seconds(FLAGS.steps)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            seconds(FLAGS.steps)
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        kinds = by_kind(xplane_pb2.XSpace.FromString(path.read_bytes()))
    print(f"A step takes {1e3 * alone:.1f} ms; its operations, ms:\n")
    print("\n".join(report.header("", ["ms", "times"])))
    for kind, (duration, count) in kinds.most_common(FLAGS.top):
        print(report.line(kind, [f"{1e3 * duration / FLAGS.steps:.2f}", str(round(count / FLAGS.steps))]))


def by_kind(space):
    """{kind of operation: (seconds, how often)} of what the executor's threads ran, as a Counter."""
    kinds = collections.defaultdict(lambda: [0.0, 0])
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                kind = re.fullmatch(r"[^:]+:(_?[A-Z]\w*)", plane.event_metadata[event.metadata_id].name)
                if plane.name == "/host:CPU" and kind:
                    kinds[kind[1]][0] += event.duration_ps * 1e-12
                    kinds[kind[1]][1] += 1
    return collections.Counter({kind: tuple(value) for kind, value in kinds.items()})


if __name__ == "__main__":
    app.run(main)
