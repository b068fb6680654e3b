"""Training and evaluation by Keras of a model that has a bound: steps, metrics, and `fit` with its checks."""

import warnings

import keras
import tensorflow as tf

from tf_mopoe import arguments
from tf_mopoe import inputs as reading
from tf_mopoe.datasets.rows import Rows, as_dataset
from tf_mopoe.posterior import Posterior


class BoundTrained(keras.Model):
    """What `MultimodalVAE` has of Keras' training: its objective's bound is the loss, its terms are the metrics.

    A subclass calls `make_metrics` in its constructor, and has `modalities`, `decoders`, `event_shapes`, `objective`,
    `mixture`, `private`, `term_weights`, `base_seed`, `encode` and `log_likelihood_terms`.
    """

    def make_metrics(self):
        self.loss_metric = keras.metrics.Mean(name="loss")
        self.reconstruction_metrics = {
            name: keras.metrics.Mean(name=f"reconstruction_{name}") for name in self.modalities
        }
        self.kl_metric = keras.metrics.Mean(name="kl")
        self.private_metrics = [keras.metrics.Mean(name="private_kl")] if self.private else []

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing to do, as in `build`; under a strategy Keras' own adds up a batch over the replicas, and fails on bool."""

    # ---- steps

    def bound(self, inputs, seed, training=False):
        """The objective's `Terms` [B] for a batch of inputs.

        In the loss are the KL of private latent variables, and what the networks add to it, regularisers and `add_loss`.
        """
        return self.bound_and_private_kl(inputs, seed, training)[0]

    def bound_and_private_kl(self, inputs, seed, training=False):
        """`bound`, and the KL of private latent variables in it, before `private_beta`: [B], or None without any."""
        self._clear_losses()  # those of an earlier step's networks
        encoded = self.encode(inputs, training=training)

        def log_likelihood(z, rows=None, frozen=False):
            batch = encoded if rows is None else encoded.permuted(rows, self.mixture.density)
            # One w for all samples of a row: w's KL is outside of the bound of these, and would not pay for several.
            private = self.private.draw(batch, tf.shape(z)[-2:-1], seed)
            return self.log_likelihood_terms(z, batch, private, training, frozen)

        step = self.optimizer.iterations if getattr(self, "optimizer", None) else 0
        q = Posterior(self.mixture, encoded, seed, step, training)
        terms = self.objective(q, log_likelihood, self.term_weights, seed)
        if self.losses:
            terms = terms._replace(loss=terms.loss + tf.add_n([tf.cast(loss, tf.float32) for loss in self.losses]))
        if not self.private:
            return terms, None
        kl = self.private.kl(encoded)
        return terms._replace(loss=terms.loss + self.private.beta * kl), kl

    def train_step(self, data):
        inputs = unpack(data)
        with tf.GradientTape() as tape:
            seed = self.step_seed(self.optimizer.iterations)
            terms, private_kl = self.bound_and_private_kl(inputs, seed, training=True)
            loss = mean_loss(terms.loss)
            # Keras' optimizers sum the gradients of the replicas.
            scaled = self.optimizer.scale_loss(loss / tf.distribute.get_strategy().num_replicas_in_sync)
        variables = self.trainable_variables
        if not variables:
            warnings.warn("The model has nothing to train: all its variables are frozen", stacklevel=2)  # as Keras does
            return self.update_metrics(terms, private_kl)
        # Zeros, not None, for the networks of a modality that is not given: then it equals one that is masked.
        gradients = tape.gradient(
            scaled, [variable.value for variable in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        self.optimizer.apply_gradients(zip(gradients, variables))
        return self.update_metrics(terms, private_kl)

    def test_step(self, data):
        inputs = unpack(data)
        # The rows seen so far number the batch: every batch has its own draws, every evaluation the same.
        return self.update_metrics(*self.bound_and_private_kl(inputs, self.step_seed(self.loss_metric.count + 1.0)))

    def step_seed(self, step):
        """A seed of its own for each step and replica, from the model's: int32 [2]."""
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context else 0
        seed = tf.random.fold_in(tf.constant(self.base_seed), tf.cast(step, tf.int32))
        return tf.random.fold_in(seed, replica)

    def update_metrics(self, terms, private_kl=None):
        self.loss_metric.update_state(terms.loss)
        self.kl_metric.update_state(terms.kl)
        for metric in self.private_metrics:
            metric.update_state(private_kl)
        for name, metric in self.reconstruction_metrics.items():
            metric.update_state(terms.reconstruction.get(name, tf.zeros_like(terms.kl)))
        return self.get_metrics_result()

    @property
    def metrics(self):
        return [self.loss_metric, *self.reconstruction_metrics.values(), self.kl_metric, *self.private_metrics]

    # ---- Keras' methods, with errors before the work

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None, **kwargs):
        """As `keras.Model.compile`, of an optimizer: the objective is the loss, and its terms are the metrics."""
        given = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics}
        arguments.refuse_losses({name: value for name, value in given.items() if value is not None})
        super().compile(optimizer, **kwargs)

    def compile_from_config(self, config):
        """Keras' own, which it leaves to the models that have a `compile` of their own."""
        config = dict(config)
        numbers = config.pop("optimized", None)  # None: of an earlier version
        self.compile(**keras.saving.deserialize_keras_object(config))
        variables = self.trainable_variables if numbers is None else [self.variables[number] for number in numbers]
        if variables:
            self.optimizer.build(variables)

    def get_compile_config(self):
        """Keras' own, and for which variables the optimizer was built: some may have been frozen since, or all before."""
        config = super().get_compile_config()
        if config:
            known = {id(v) for v in self.optimizer._trainable_variables} if self.optimizer.built else set()
            config["optimized"] = [number for number, v in enumerate(self.variables) if id(v) in known]
        return config

    def fit(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """As `keras.Model.fit`; `x` is a dict of arrays, `Rows` or a data set of such dicts, and there is no `y`."""
        arguments.refuse_labels(y, kwargs.get("sample_weight"))
        self.check_arrays(x)
        self.check_arrays(kwargs.get("validation_data"))
        if getattr(self, "optimizer", None) and not self.optimizer.built and self.trainable_variables:
            with self.distribute_strategy.scope():  # a step that makes variables is traced twice
                self.optimizer.build(self.trainable_variables)
        if isinstance(kwargs.get("validation_data"), Rows):
            size = kwargs.pop("validation_batch_size", None) or batch_size
            kwargs["validation_data"] = as_dataset(kwargs["validation_data"], size)
        if isinstance(x, Rows):
            x, batch_size = as_dataset(x, batch_size, kwargs.get("shuffle", True)), None
            kwargs["shuffle"] = False  # done, and Keras warns that it cannot
        return super().fit(x, y, batch_size, *args, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """As `keras.Model.evaluate`; `x` is a dict of arrays, `Rows` or a data set of such dicts; there is no `y`."""
        arguments.refuse_labels(y, kwargs.get("sample_weight"))
        self.check_arrays(x)
        if isinstance(x, Rows):
            x, batch_size = as_dataset(x, batch_size), None
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def predict(self, x, batch_size=None, *args, **kwargs):
        """As `keras.Model.predict`: {name: reconstruction mean}, NumPy arrays [N, E], see `call`."""
        if isinstance(x, dict):
            self.check_rows(x)
            reading.check_some(x)
        if isinstance(x, Rows):
            x, batch_size = as_dataset(x, batch_size), None
        return super().predict(x, batch_size, *args, **kwargs)

    def check_arrays(self, x):
        if isinstance(x, dict):
            reading.check(x, self.event_shapes)
            reading.check_some(x)
            reading.check_values(x, self.event_shapes, every_row=False)
            for name, rows in reading.present(x, self.event_shapes).items():
                self.decoders[name].likelihood.check(name, rows)


def unpack(data):
    """The inputs of what `fit` hands to a step."""
    inputs, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    arguments.refuse_labels(y, sample_weight)
    return inputs


def mean_loss(loss):
    """Mean over the rows [B] -> []; 0 for no rows, as a replica may have at the end of the data."""
    return tf.math.divide_no_nan(tf.reduce_sum(loss), tf.cast(tf.size(loss), loss.dtype))
