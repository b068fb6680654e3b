"""The training loop: a `tf.function` that takes many steps per call under any `tf.distribute` strategy.

The step itself is the model's `train_step`, the code that `fit` runs too.
"""

import os

import numpy as np
import tensorflow as tf

from tf_mopoe.datasets import Rows
from tf_mopoe.not_finite import check_weights
from trainers.progress import Progress


def make_strategy(name, replicas=0):
    """Create the `tf.distribute` strategy of a flag's value. To be called before TensorFlow does anything else.

    Args:
        name: "none", "mirrored" (all GPUs of this machine), "multiworker" (all workers that TF_CONFIG names), or "auto":
            multiworker where TF_CONFIG is set, mirrored where there are two or more GPUs, else none.
        replicas: if not 0, this many virtual CPU devices, mirrored: to try it without GPUs.
    """
    if replicas:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
        return tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(replicas)])
    if name == "auto":
        gpus = tf.config.list_physical_devices("GPU")
        name = "multiworker" if os.environ.get("TF_CONFIG") else "mirrored" if len(gpus) > 1 else "none"
    if name == "multiworker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.MirroredStrategy() if name == "mirrored" else tf.distribute.get_strategy()


def is_chief(strategy):
    """Return whether this process writes the run's files: that of the job "chief" or, in a cluster without one, worker 0."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    chief = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return resolver.task_type == chief and resolver.task_id == 0


def batches(strategy, rows, batch_size, seed, skip):
    """Iterate over this epoch's batches of `batch_size` rows (all replicas together), in an order set by `seed`."""
    order = np.random.default_rng(seed).permutation(len(rows))
    order = order[skip * batch_size : len(order) // batch_size * batch_size]
    return iter(strategy.experimental_distribute_dataset(rows.dataset(batch_size, order=order)))


def train(
    model,
    strategy,
    load_epoch,
    *,
    epochs,
    batch_size,
    seed,
    first_step=0,
    steps_per_call=10,
    callback_every=0,
    on_progress=None,
):
    """Train a compiled model and report its progress to a callback.

    Args:
        model: `MultimodalVAE`, created and compiled under `strategy`.
        load_epoch: function epoch -> `datasets.Rows` or arrays {name: [N, ...]}; as many rows for every epoch.
        epochs, batch_size: whole epochs; rows of all replicas together in a step. The rest of an epoch that does not fill
            a batch is left out (rows are shuffled again each epoch).
        seed: of the order of the rows.
        first_step: steps that were taken before, of an interrupted training; the model's metrics are those of its epoch.
        steps_per_call: most steps between two updates of the progress bar.
        callback_every: steps after which `on_progress` is called, besides the end of each epoch; 0 for never.
        on_progress: function (step, epoch, {metric: value}, done), where done is True at the end of an epoch.

    Raises:
        ValueError: if there are fewer rows than `batch_size`; for a loss, a gradient or a weight that is not finite, before
            `on_progress` is called with that model.
    """
    model.first_not_finite.reset()

    def steps(iterator, count):
        for _ in tf.range(count):
            strategy.run(model.train_step, args=(next(iterator),))

    take_steps = tf.function(steps)
    rows = Rows.of(load_epoch(0))
    per_epoch = len(rows) // batch_size
    if not per_epoch:
        raise ValueError(f"{len(rows)} training rows do not fill one batch. Received: batch_size={batch_size}")
    step, bar = first_step, None
    for epoch in range(first_step // per_epoch, epochs):
        if epoch:
            rows = Rows.of(load_epoch(epoch))
        iterator = batches(strategy, rows, batch_size, [seed, epoch], skip=step - epoch * per_epoch)
        if step == epoch * per_epoch:  # else the metrics hold the steps before the interruption
            model.reset_metrics()
        while step < (epoch + 1) * per_epoch:
            # One step at first, for the estimate of the time left.
            count = min(steps_per_call, (epoch + 1) * per_epoch - step) if bar else 1
            bar = bar or Progress(epochs * per_epoch - step, "Training")
            if callback_every:
                count = min(count, callback_every - step % callback_every)
            take_steps(iterator, tf.constant(count))
            step += count
            model.first_not_finite.check()
            values = {metric.name: float(metric.result()) for metric in model.metrics}
            bar.add(count, values)
            done = step == (epoch + 1) * per_epoch
            if done:
                check_weights(model)
            if on_progress and (done or (callback_every and step % callback_every == 0)):
                on_progress(step, epoch, values, done)
