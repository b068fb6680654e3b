"""Training ends at the first step in which something is not finite, with an error that says where.

The step itself finds out, on the device, and leaves a note in a variable; the host reads it now and then.
"""

import keras
import numpy as np
import tensorflow as tf

from tf_mopoe.batch import expand_mask

CHECK_EVERY = 32  # batches of `fit`, besides the end of each epoch: a look makes the host wait for the device


class FirstNotFinite:
    """The first training step in which each place of a model was not finite.

    Args:
        modalities: their names.
    """

    def __init__(self, modalities):
        parts = [f"{part}[{name!r}]" for part in ("encoders", "decoders") for name in modalities]
        # In this order: where it begins comes before where it leads.
        self.places = [
            NO_ROWS,
            *(INPUT.format(name) for name in modalities),
            *(POSTERIOR.format(name) for name in modalities),
            *(RECONSTRUCTION.format(name) for name in modalities),
            "The KL is",
            "The private KL is",
            "The loss is",
            *(GRADIENT.format(part) for part in [*parts, "the joint posterior or a prior"]),
        ]
        self.steps = tf.Variable(  # from 1; 0 for never. The replicas agree on it
            tf.zeros([len(self.places)], tf.int64),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def reset(self):
        self.steps.assign(tf.zeros([len(self.places)], tf.int64))

    def checked(self, model, q, terms, loss, gradients):
        """Record what is not finite in a training step, and return the gradients to apply.

        Those are zeros if the loss or a gradient is not finite on any replica. A `LossScaleOptimizer` gets them as they
        are: it skips such a step by itself, and looks for a scale at which there is none.

        Args:
            model: `MultimodalVAE`, in the step.
            q, terms, loss: `Posterior`, `LossTerms` and the loss, [], of the step's batch.
            gradients: one for each of the model's trainable variables.
        """
        sums = gradient_sums(model, gradients)
        scales = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        if scales:  # an infinite gradient is its way to find the scale, unless there is no scale left
            lost = model.optimizer.dynamic_scale <= 1.0 if model.optimizer.built else False
            sums = {place: tf.where(lost, total, 0.0) for place, total in sums.items()}
        finite = tf.math.is_finite(loss) & tf.reduce_all(tf.math.is_finite(list(sums.values())))
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1 and has_batch_statistics(model):
            finite &= tf.size(terms.loss) > 0

        def look():
            bad = bad_places(q, terms, loss) | {p: not_finite(total) for p, total in sums.items()}
            if replicas > 1 and has_batch_statistics(model):
                bad[NO_ROWS] = tf.equal(tf.size(terms.loss), 0)
            return tf.stack([tf.cast(bad.get(place, False), tf.float32) for place in self.places])

        found = tf.cond(finite, lambda: tf.zeros([len(self.places)]), look)
        if replicas > 1:
            found = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, found)
            finite = tf.equal(tf.reduce_sum(found), 0.0)
        step = tf.cast(tf.convert_to_tensor(model.step), tf.int64) + 1
        self.steps.assign(tf.where((found > 0.0) & (self.steps == 0), step, self.steps))
        if scales or not gradients:
            return gradients
        values = [values_of(gradient) for gradient in gradients]
        values = tf.cond(finite, lambda: values, lambda: [tf.zeros_like(value) for value in values])
        return [with_values(gradient, value) for gradient, value in zip(gradients, values)]

    def check(self):
        """Raise a ValueError that names the place and the first step, if there was one since `reset`."""
        steps = np.asarray(self.steps.read_value())
        if not steps.any():
            return
        first = steps[steps > 0].min()
        place = self.places[int(np.argmax(steps == first))]
        remedy = (
            "Leave the last batch out, as in `dataset.batch(batch_size, drop_remainder=True)`."
            if place == NO_ROWS
            else "Mark missing rows with has_<name>, scale the data, or lower the learning rate."
        )
        raise ValueError(f"Training ended: {place} not finite, first at training step {first}. {remedy}")


INPUT = "`{}` in a row that is present is"
POSTERIOR = "The posterior of `{}` is"
RECONSTRUCTION = "The reconstruction term of `{}` is"
GRADIENT = "The gradient of {} is"
NO_ROWS = "A replica had no rows, so that its batch normalization is"


def values_of(gradient):
    """Return the values of a gradient, of the rows that it is of if it is one of an embedding."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def with_values(gradient, values):
    """Return a gradient with other values; of the same rows if it is one of an embedding."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return values


def not_finite(x):
    return ~tf.reduce_all(tf.math.is_finite(x))


def bad_places(q, terms, loss):
    """Return {place: bool []}, True where something is not finite before the gradients."""
    bad = {}
    for name, x in q.batch.x.items():
        have = q.available[name]
        if x.dtype.is_floating:
            there = expand_mask(have, x) if name not in q.batch.cells else ~tf.math.is_nan(x)
            bad[INPUT.format(name)] = not_finite(tf.where(there, x, 0.0))
        posteriors = [part[name] for part in (q.experts, q.private) if name in part]
        parameters = tf.concat([part for p in posteriors for part in (p.loc[:, 0], p.scale[:, 0])], axis=-1)
        bad[POSTERIOR.format(name)] = not_finite(tf.where(have[:, None], parameters, 0.0))
    for name, term in terms.reconstruction.items():
        bad[RECONSTRUCTION.format(name)] = not_finite(term)
    return bad | {
        "The KL is": not_finite(terms.kl),
        "The private KL is": not_finite(terms.private_kl),
        "The loss is": not_finite(loss),
    }


def gradient_sums(model, gradients):
    """Return {place: sum of its gradients}: not finite if one of them is not (or if they are about to overflow)."""
    parts = {}
    for part in ("encoders", "decoders"):
        for name, layer in getattr(model, part).items():
            for variable in layer.trainable_variables:
                parts.setdefault(id(variable), f"{part}[{name!r}]")
    sums = {}
    for variable, gradient in zip(model.trainable_variables, gradients):
        place = GRADIENT.format(parts.get(id(variable), "the joint posterior or a prior"))
        sums.setdefault(place, []).append(tf.cast(tf.reduce_sum(values_of(gradient)), tf.float32))
    return {place: tf.add_n(values) for place, values in sums.items()}


def has_batch_statistics(model):
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in model._flatten_layers())


def check_weights(model):
    """Raise a ValueError that names a weight which is not finite, if the model has one."""
    floats = [variable for variable in model.weights if tf.as_dtype(variable.dtype).is_floating]
    finite = [tf.reduce_all(tf.math.is_finite(variable.value)) for variable in floats]
    bad = [variable.path for variable, good in zip(floats, finite) if not good]
    if bad:
        raise ValueError(
            f"The model's weights must be finite. Received: NaN or infinity in {len(bad)} of {len(floats)} variables, the "
            f"first of which is {bad[0]}"
        )


class EndAtNotFinite(keras.callbacks.Callback):
    """Ends `fit` with a ValueError at a loss, a gradient or a weight that is not finite, before other callbacks save it."""

    # At the beginnings of batches: a callback at their ends makes the host wait for every batch.
    def on_train_begin(self, logs=None):
        self.batches = 0
        self.model.first_not_finite.reset()

    def on_train_batch_begin(self, batch, logs=None):
        if self.batches and self.batches % CHECK_EVERY == 0:
            self.model.first_not_finite.check()
        self.batches += 1

    def on_epoch_end(self, epoch, logs=None):
        self.model.first_not_finite.check()
        check_weights(self.model)
