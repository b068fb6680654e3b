"""Runs one case of the benchmark in a process: holds the works of a mode, and times steps of them on request.

    python -m trainers.cases --workload=mlp --modalities=8 --mode=translate     # as trainers.benchmark starts it

Prints its works in a line of JSON; then answers each line "NAME STEPS" with the list of the seconds of each step.
The measured work is the first; the works that it is compared with follow.
"""

import itertools
import json
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from tf_mopoe.datasets import Rows, polymnist
from trainers import commands, loop, workloads

FLAGS = flags.FLAGS
flags.DEFINE_enum("workload", "mlp", sorted(workloads.MODALITIES), "What to work on.")
flags.DEFINE_integer("modalities", 5, "Number of modalities.", lower_bound=1)
flags.DEFINE_string("mode", "train", "A key of MODES.")
flags.DEFINE_integer("batch_size", 256, "Rows in a step.", lower_bound=1)
flags.DEFINE_string("precision", "float32", "Keras' dtype policy.")
flags.DEFINE_integer("steps_per_call", 1, "Train steps in one call of the bare step.", lower_bound=1)
flags.DEFINE_string("data_dir", None, "Where MNIST is, for fit, loop and data.")
flags.DEFINE_string("backgrounds", None, "Folder of PolyMNIST's backgrounds. Default: scikit-image's.")

LOOP_STEPS = 10  # steps in one call of the trainers' loop, its default


def timed(function, model, missing_rate=0.0):
    """Return a work, steps -> seconds of each call of `function` on rows in memory."""
    pool = itertools.cycle([workloads.rows(model, FLAGS.batch_size, seed, missing_rate) for seed in range(4)])

    def work(steps):
        ends = [time.perf_counter()]
        for _ in range(steps):
            function(next(pool))
            tf.test.experimental.sync_devices()
            ends.append(time.perf_counter())
        return np.diff(ends).tolist()

    return work


def compiled(function, model):
    """Return a work of `function`, of a dict of inputs, as a graph for any number of rows, as one would export it."""
    signature = {n: tf.TensorSpec((None, *shape), tf.float32, name=n) for n, shape in model.event_shapes.items()}
    return timed(tf.function(function, input_signature=[signature], autograph=False), model)


def bare_step(model, missing_rate=0.0):
    """Return a work of the model's train step on rows in memory."""
    count = FLAGS.steps_per_call

    @tf.function
    def call(inputs):
        for _ in tf.range(count) if count > 1 else range(1):
            model.train_step(inputs)

    work = timed(call, model, missing_rate)
    return lambda steps: [seconds / count for seconds in work(steps)]


def average(work):
    return lambda steps: [float(np.mean(work(steps)))]  # a pipeline gives rows in bursts, that a median would not see


def train(model):
    return {"train": bare_step(model)}


def floor(model):
    return {"train": bare_step(model), "floor": bare_step(workloads.floor(FLAGS.workload, FLAGS.modalities))}


def missing(model):
    """Train on rows that lack half of their modalities: gathered, with stand-ins as for XLA, and on complete rows."""
    static = workloads.model(FLAGS.workload, FLAGS.modalities)
    static.jit_compile = True  # the graph that XLA would compile, run by the same executor
    works = {"gathered": bare_step(model, 0.5), "stand-ins": bare_step(static, 0.5)}
    return works | {"complete rows": bare_step(model)}


def encode(model):
    """Encode from the first modality alone."""
    first = model.modalities[0]

    def posterior(inputs):
        q = model.subset_posterior({first: inputs[first]})
        return q.loc, q.stddev()

    return {"encode": compiled(posterior, model)}


def joint(model):
    """Compute all components of the joint posterior, from all modalities."""

    def posterior(inputs):
        return model.encode(inputs).joint.parameters()

    return {"joint": compiled(posterior, model)}


def translate(model):
    """Translate from the first modality to the last."""
    first, last = model.modalities[0], model.modalities[-1]

    def through_model(inputs):
        return model.translate({first: inputs[first]}, to=last, seed=0)

    def networks(inputs):
        return model.decoders[last](model.encoders[first](inputs[first], training=False).loc, training=False).mean()

    def networks_and_draw(inputs):
        q = model.encoders[first](inputs[first], training=False)
        z = q.loc + q.stddev() * tf.random.stateless_normal(tf.shape(q.loc), [0, 0])
        return model.decoders[last](z, training=False).mean()

    return {
        "translate": compiled(through_model, model),
        "encoder + decoder": compiled(networks, model),
        "encoder + draw + decoder": compiled(networks_and_draw, model),
    }


def fit(model):
    """Run Keras' fit, from the data set's rows."""
    data = pictures(model)

    class Ends(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            ends.append(time.perf_counter())

    ends = []

    def work(steps):
        ends.clear()
        rows = data.take((steps + 1) * FLAGS.batch_size)  # the first one starts the pipeline
        model.fit(rows.dataset(FLAGS.batch_size, seed=0), verbose=0, callbacks=[Ends()])
        return np.diff(ends)

    return {"fit": average(work), "train": average(bare_step(model))}


def trainer(model):
    """Run the trainers' loop, from the data set's rows."""
    data = pictures(model)

    def work(steps):
        calls, ends = -(-steps // LOOP_STEPS) + 1, []  # the first one traces
        rows = data.take(calls * LOOP_STEPS * FLAGS.batch_size)
        options = {"steps_per_call": LOOP_STEPS, "callback_every": LOOP_STEPS}
        options["on_progress"] = lambda *_: ends.append(time.perf_counter())
        strategy = tf.distribute.get_strategy()
        loop.train(model, strategy, lambda epoch: rows, epochs=1, batch_size=FLAGS.batch_size, seed=0, **options)
        return np.diff(ends) / LOOP_STEPS

    return {"loop": average(work), "train": average(bare_step(model))}


def data(model):
    """Read the data set alone, without a train step."""
    data = pictures(model)

    def work(steps):
        rows = data.take((steps + 1) * FLAGS.batch_size)
        return np.diff([time.perf_counter() for _ in rows.dataset(FLAGS.batch_size, seed=0)])

    return {"data": average(work), "train": average(bare_step(model))}


def pictures(model):
    """Return PolyMNIST's rows, of the first backgrounds."""
    rows, _ = polymnist(FLAGS.data_dir, FLAGS.backgrounds)

    def make(numbers):
        made = rows.make(numbers)
        return {name: made[name] for name in model.modalities}

    return Rows(len(rows), make)


MODES = {work.__name__: work for work in (train, floor, missing, encode, joint, translate, fit, data)} | {
    "loop": trainer
}


def main(_):
    answers, sys.stdout = sys.stdout, sys.stderr  # what else is printed is no answer

    def send(value):
        print(json.dumps(value), file=answers, flush=True)

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(FLAGS.precision)
    model = workloads.model(FLAGS.workload, FLAGS.modalities)
    works = MODES[FLAGS.mode](model)
    send({"works": list(works), "parameters": model.count_params()})
    for line in sys.stdin:
        name, steps = line.rsplit(maxsplit=1)
        send(works[name](int(steps)))


if __name__ == "__main__":
    commands.run(main)
