"""Where the time of a train step goes: the kinds of operations by their share, of a workload of the benchmark.

    python -m trainers.profile --workload=mlp --modalities=8
    python -m trainers.profile --workload=polymnist --floor

Prints Markdown: milliseconds per step in each kind of operation, by TensorFlow's profiler. Operations run side by side, so
that their sum may be more than the step, which the first line reports.
"""

import pathlib
import tempfile
import time

import tensorflow as tf
from absl import flags
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from trainers import commands, op_profile, report, workloads

FLAGS = flags.FLAGS
flags.DEFINE_enum("workload", "mlp", sorted(workloads.MODALITIES), "What to work on.")
flags.DEFINE_integer("modalities", 5, "Number of modalities of mlp.", lower_bound=1)
flags.DEFINE_bool("floor", False, "The same networks with one product of experts and one KL.")
flags.DEFINE_integer("batch_size", 256, "Rows in a step.", lower_bound=1)
flags.DEFINE_integer("steps", 10, "How many are traced.", lower_bound=1)
flags.DEFINE_integer("top", 15, "How many kinds to print.", lower_bound=1)


def main(_):
    if workloads.MODALITIES[FLAGS.workload]:
        commands.refuse(["modalities"], f"with --workload={FLAGS.workload}")
    make = workloads.floor if FLAGS.floor else workloads.model
    model = make(FLAGS.workload, workloads.MODALITIES[FLAGS.workload] or FLAGS.modalities)
    step = tf.function(model.train_step, autograph=False)
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
        kinds = op_profile.by_kind(xplane_pb2.XSpace.FromString(path.read_bytes()))
    print(f"A step takes {1e3 * alone:.1f} ms; its operations, ms:\n")
    print("\n".join(report.header("", ["ms", "times"])))
    for kind, (duration, count) in kinds.most_common(FLAGS.top):
        print(report.line(kind, [f"{1e3 * duration / FLAGS.steps:.2f}", str(round(count / FLAGS.steps))]))


if __name__ == "__main__":
    commands.run(main)
