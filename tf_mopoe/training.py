"""Training and evaluation by Keras of a model that has a bound: steps, metrics, and `fit` with its checks."""

import types
import warnings

import keras
import tensorflow as tf

from tf_mopoe import arguments
from tf_mopoe import inputs as reading
from tf_mopoe.checks import check_count
from tf_mopoe.datasets.rows import Rows, as_dataset
from tf_mopoe.hyperparameters import Hyperparameter, as_number, check_assigned
from tf_mopoe.not_finite import EndAtNotFinite, FirstNotFinite, check_weights
from tf_mopoe.objectives import Objective
from tf_mopoe.posterior import Posterior


class BoundTrained(keras.Model):
    """What `MultimodalVAE` has of Keras' training: its objective's bound is the loss, its terms are the metrics.

    A subclass calls `set_reconstruction_weights` and `make_training_state` in its constructor, and has `modalities`,
    `decoders`, `event_shapes`, `mixture`, `private`, `base_seed`, `encode` and `log_likelihood_terms`.
    """

    # ---- what may be assigned after the model was made, during the training too

    @property
    def objective(self):
        return self._objective

    @objective.setter
    def objective(self, objective):
        if not callable(objective) or isinstance(objective, type):
            raise ValueError(f"`objective` must be callable, such as objectives.ELBO(). Received: {objective!r}")
        self._objective = objective
        if isinstance(objective, Objective):
            with self.distribute_strategy.scope():
                objective.make_live()
        if self.train_function is not None:
            self.make_train_function(force=True)
        if self.test_function is not None:
            self.make_test_function(force=True)

    @property
    def private_beta(self):
        return self.private.beta

    @private_beta.setter
    def private_beta(self, value):
        self.private.beta = value

    @property
    def reconstruction_weights(self):
        """None, "dimension", or the weights as {name: float}, which cannot be written to: assign another dict."""
        return self._weights_rule if self._weights_rule != "dict" else types.MappingProxyType(self.term_weights)

    @reconstruction_weights.setter
    def reconstruction_weights(self, value):
        weights = arguments.weights_of(value, self.decoders)
        for name, weight in weights.items():
            key = f"reconstruction_weights[{name!r}]"
            check_assigned(key, weight, [key])
        for name, weight in weights.items():
            self._term_weights[name].assign(weight)
        self._weights_rule = "dict" if isinstance(value, dict) else value

    def set_reconstruction_weights(self, value):
        weights = arguments.weights_of(value, self.decoders)
        self._term_weights = {name: Hyperparameter(weight) for name, weight in weights.items()}
        self._weights_rule = "dict" if isinstance(value, dict) else value

    @property
    def term_weights(self):
        """{name: weight of the modality's reconstruction term}, floats; in a graph tensors, see `Hyperparameter`."""
        return {name: weight.get() for name, weight in self._term_weights.items()}

    def weights_config(self):
        """`reconstruction_weights`, as they go into the configuration."""
        if self._weights_rule != "dict":
            return self._weights_rule
        return {name: as_number(weight) for name, weight in self.term_weights.items()}

    def make_training_state(self):
        names = ["loss", *(f"reconstruction_{name}" for name in self.modalities), "kl"]
        names += ["private_kl"] * bool(self.private) + ["elbo"]
        self.means = {name: keras.metrics.Mean(name=name) for name in names}
        self.first_not_finite = FirstNotFinite(self.modalities)
        self.evaluation_samples = 1

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing to do, as in `build`; under a strategy Keras' own adds up a batch over the replicas, and fails on bool."""

    # ---- steps

    def bound(self, inputs, seed, training=False):
        """The objective's `Terms` [B] for a batch of inputs.

        In the loss are the KL of private latent variables, and what the networks add to it, regularisers and `add_loss`.
        """
        return self.bound_and_private_kl(inputs, seed, training)[0]

    def bound_and_private_kl(self, inputs, seed, training=False):
        """`bound`; the KL of private latent variables in it, before `private_beta`, [B] or None; and the `Encoded`."""
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
            return terms, None, encoded
        kl = self.private.kl(encoded)
        return terms._replace(loss=terms.loss + self.private.beta * kl), kl, encoded

    def train_step(self, data):
        inputs = unpack(data)
        with tf.GradientTape() as tape:
            seed = self.step_seed(self.optimizer.iterations)
            terms, private_kl, encoded = self.bound_and_private_kl(inputs, seed, training=True)
            loss = mean_loss(terms.loss)
            # Keras' optimizers sum the gradients of the replicas.
            scaled = self.optimizer.scale_loss(loss / tf.distribute.get_strategy().num_replicas_in_sync)
        variables = self.trainable_variables
        if not variables:
            warnings.warn("The model has nothing to train: all its variables are frozen", stacklevel=2)  # as Keras does
            return self.update_metrics(self.metric_values(terms, private_kl))
        # Zeros, not None, for the networks of a modality that is not given: then it equals one that is masked.
        gradients = tape.gradient(
            scaled, [variable.value for variable in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        gradients = self.first_not_finite.checked(self, encoded, terms, private_kl, loss, gradients)
        self.optimizer.apply_gradients(zip(gradients, variables))
        return self.update_metrics(self.metric_values(terms, private_kl))

    def test_step(self, data):
        inputs = unpack(data)
        # The rows seen so far number the batch: every batch has its own draws, every evaluation the same. No training
        # step has these: their numbers are 0 and more.
        seed = tf.random.fold_in(self.step_seed(-1), tf.cast(self.means["loss"].count, tf.int32))
        seeds = tf.random.split(seed, self.evaluation_samples)
        values = self.values_of_draw(inputs, seeds[0])
        if self.evaluation_samples > 1:  # a loop, so that the graph does not grow with the draws

            def add(draw, total):
                return draw + 1, tf.nest.map_structure(tf.add, total, self.values_of_draw(inputs, seeds[draw]))

            _, values = tf.while_loop(lambda draw, _: draw < self.evaluation_samples, add, (1, values))
            values = {name: value / self.evaluation_samples for name, value in values.items()}
        self._clear_losses()  # those of the loop are tensors of its own graph
        return self.update_metrics(values)

    def values_of_draw(self, inputs, seed):
        return self.metric_values(*self.bound_and_private_kl(inputs, seed)[:2])

    def step_seed(self, step):
        """A seed of its own for each step and replica, from the model's: int32 [2]."""
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context else 0
        seed = tf.random.fold_in(tf.constant(self.base_seed), tf.cast(step, tf.int32))
        return tf.random.fold_in(seed, replica)

    def metric_values(self, terms, private_kl=None):
        """{name of the metric: its values in each row [B]}, of a batch's `Terms`."""
        nothing = tf.zeros_like(terms.kl)
        reconstruction = {f"reconstruction_{n}": terms.reconstruction.get(n, nothing) for n in self.modalities}
        elbo = -sum(reconstruction.values()) - terms.kl if terms.elbo is None else terms.elbo
        values = {"loss": terms.loss, **reconstruction, "kl": terms.kl}
        if private_kl is None:
            return values | {"elbo": elbo}
        return values | {"private_kl": private_kl, "elbo": elbo - private_kl}

    def update_metrics(self, values):
        for name, metric in self.means.items():
            metric.update_state(values[name])
        return self.get_metrics_result()

    @property
    def metrics(self):
        return list(self.means.values())

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
        """As `keras.Model.fit`; `x` is a dict of arrays, `Rows` or a data set of such dicts, and there is no `y`.

        Raises:
            ValueError: for labels or weights, inputs that do not fit the model, NaN in a row of arrays that is present; in
                training, for a loss, a gradient or a weight that is not finite. The error names the first training step,
                whose gradients count as zeros, and the modality.
        """
        given = arguments.of_call(super().fit, x, y, batch_size, *args, **kwargs)
        self.check_arrays(x)
        self.check_arrays(given.get("validation_data"))
        if isinstance(given.get("validation_data"), Rows):
            size = given.pop("validation_batch_size", None) or batch_size
            given["validation_data"] = as_dataset(given["validation_data"], size)
        if isinstance(x, Rows):
            given["x"], given["batch_size"] = as_dataset(x, batch_size, given.get("shuffle", True)), None
            given["shuffle"] = False  # done, and Keras warns that it cannot
        callbacks = given.get("callbacks")
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.callbacks.insert(0, EndAtNotFinite())
            callbacks.callbacks[0].set_model(self)
        else:  # before those that save the model
            given["callbacks"] = [EndAtNotFinite(), *keras.tree.flatten(callbacks or [])]
        self.build_optimizer()
        return super().fit(**given)

    def build_optimizer(self):
        """Creates the optimizer's variables before the step is traced, which would otherwise be traced twice."""
        if getattr(self, "optimizer", None) and not self.optimizer.built and self.trainable_variables:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    def evaluate(self, x=None, y=None, batch_size=None, *args, num_samples=1, **kwargs):
        """As `keras.Model.evaluate`; `x` is a dict of arrays, `Rows` or a data set of such dicts; there is no `y`.

        Args:
            num_samples: draws of each row's latent variables over which its terms are averaged; default 1. More of them
                make the result depend less on the draw, which the batch size changes too.
        """
        given = arguments.of_call(super().evaluate, x, y, batch_size, *args, **kwargs)
        self.check_arrays(x)
        if isinstance(x, Rows):
            given["x"], given["batch_size"] = as_dataset(x, batch_size), None
        if check_count("num_samples", num_samples) != self.evaluation_samples:
            self.evaluation_samples, self.test_function = num_samples, None  # traced again
        return super().evaluate(**(given | given.pop("kwargs", {})))

    def train_on_batch(self, x=None, *args, **kwargs):
        """As `keras.Model.train_on_batch`; raises as `fit`."""
        given = arguments.of_call(super().train_on_batch, x, *args, **kwargs)
        self.check_arrays(x)
        self.build_optimizer()
        self.first_not_finite.reset()
        logs = super().train_on_batch(**given)
        self.first_not_finite.check()
        return logs

    def test_on_batch(self, x=None, *args, **kwargs):
        """As `keras.Model.test_on_batch`; raises as `evaluate`."""
        given = arguments.of_call(super().test_on_batch, x, *args, **kwargs)
        self.check_arrays(x)
        return super().test_on_batch(**given)

    def predict(self, x, batch_size=None, *args, **kwargs):
        """As `keras.Model.predict`: {name: reconstruction mean}, NumPy arrays [N, E], see `call`.

        Raises:
            ValueError: for inputs that do not fit the model, or a model whose weights are not finite.
        """
        arguments.check_data(x)
        check_weights(self)
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
