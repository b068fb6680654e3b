"""Training and evaluation by Keras of a model whose loss is a bound: steps, metrics, and `fit` with its checks."""

import keras
import tensorflow as tf

from tf_mopoe import arguments
from tf_mopoe.inputs import FLAG
from tf_mopoe.streams import Stream


class BoundModel(keras.Model):
    """A Keras model that is trained by a bound. A subclass has

        loss_terms(inputs, stream, training) -> LossTerms
        check_inputs(x), which raises a ValueError for a dict of arrays that it cannot be trained on

    Args:
        modalities: names of what is reconstructed, for the metrics.
        objective: an `Objective`, for the metrics.
        seed: int32 [2], of all draws in training and evaluation.
    """

    def __init__(self, modalities, objective, seed, **kwargs):
        super().__init__(**kwargs)
        # Steps that were taken, apart from the optimizer's: it counts updates, and starts again when compiled again.
        self.step = self.add_weight(
            name="step",
            shape=(),
            dtype="int64",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )
        self.base_seed = seed
        self.loss_metric = keras.metrics.Mean(name="loss")
        self.reconstruction_metrics = {name: keras.metrics.Mean(name=f"reconstruction_{name}") for name in modalities}
        self.term_metrics = [keras.metrics.Mean(name=name) for name in ("kl", "private_kl", "elbo")]
        self.extra_metrics = [keras.metrics.Mean(name=name) for name in objective.extra_metrics]

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """No-op: the model is already built. Keras' version sums a batch over replicas, which fails for bool masks."""

    def load_own_variables(self, store):
        """As Keras', for files of version 0.1 too, which do not have the step."""
        if len(store.keys()):
            super().load_own_variables(store)

    # ---- steps

    def train_step(self, data):
        inputs = unpack(data)
        with tf.GradientTape() as tape:
            terms = self.loss_terms(inputs, self.stream("training", self.step), training=True)
            loss = mean_loss(terms.loss)
            # Keras' optimizers sum the gradients of the replicas.
            scaled = self.optimizer.scale_loss(loss / tf.distribute.get_strategy().num_replicas_in_sync)
        variables = self.trainable_variables
        # Zero (not None) gradients for unused networks, so that an absent modality behaves like a masked one.
        gradients = tape.gradient(
            scaled, [variable.value for variable in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        self.optimizer.apply_gradients(zip(gradients, variables))
        self.step.assign_add(1)
        return self.update_metrics(inputs, terms)

    def test_step(self, data):
        inputs = unpack(data)
        # The rows seen so far number the batch: every batch has other draws, every evaluation the same.
        return self.update_metrics(inputs, self.loss_terms(inputs, self.stream("evaluation", self.loss_metric.count)))

    def stream(self, name, number):
        """The stream of a step of training or a batch of evaluation, another one on each replica."""
        context = tf.distribute.get_replica_context()
        stream = Stream(tf.constant(self.base_seed)).child(name).child(tf.convert_to_tensor(number))
        return stream.child(context.replica_id_in_sync_group if context else 0)

    def update_metrics(self, inputs, terms):
        """Add a batch to the metrics: means over the rows, those of a modality's term over the rows that have it."""
        self.loss_metric.update_state(terms.loss)
        for metric, values in zip(self.term_metrics, (terms.kl, terms.private_kl, terms.elbo)):
            metric.update_state(values)
        for metric in self.extra_metrics:
            metric.update_state(terms.extra[metric.name])
        for name, values in terms.reconstruction.items():
            self.reconstruction_metrics[name].update_state(values, sample_weight=inputs.get(FLAG + name))
        return self.get_metrics_result()

    @property
    def metrics(self):
        kl, private_kl, elbo = self.term_metrics
        private = [private_kl] if self.has_private else []
        return [self.loss_metric, *self.reconstruction_metrics.values(), kl, *private, *self.extra_metrics, elbo]

    # ---- Keras' methods, with errors before the work

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None, **kwargs):
        """As `keras.Model.compile`, of an optimizer: the objective is the loss, and its terms are the metrics."""
        given = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics}
        arguments.check_no_losses({name: value for name, value in given.items() if value is not None})
        super().compile(optimizer, **kwargs)

    def compile_from_config(self, config):
        """As Keras', which it leaves to the models that have a `compile` of their own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.fit`; `x` is a dict of arrays or a data set of such dicts, and there is no `y`."""
        arguments.check_no_labels(y, kwargs.get("sample_weight"))
        self.check_inputs(x)
        self.check_inputs(kwargs.get("validation_data"))
        if getattr(self, "optimizer", None) and not self.optimizer.built:
            with self.distribute_strategy.scope():
                # Create optimizer slots before tracing; otherwise the step is traced twice.
                self.optimizer.build(self.trainable_variables)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.evaluate`; `x` is a dict of arrays or a data set of such dicts, and there is no `y`."""
        arguments.check_no_labels(y, kwargs.get("sample_weight"))
        self.check_inputs(x)
        return super().evaluate(x, y, *args, **kwargs)


def unpack(data):
    """The inputs of what `fit` hands to a step."""
    inputs, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    arguments.check_no_labels(y, sample_weight)
    return inputs


def mean_loss(loss):
    """Mean over the rows [B] -> []; 0 for no rows, as a replica may have at the end of the data."""
    return tf.math.divide_no_nan(tf.reduce_sum(loss), tf.cast(tf.size(loss), loss.dtype))
