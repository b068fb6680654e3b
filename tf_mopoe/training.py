"""Training and evaluation by Keras of a model whose loss is a bound: steps, metrics, and `fit` with its checks."""

import random
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mopoe import arguments, config_checks, unreached
from tf_mopoe.checks import check_count
from tf_mopoe.datasets.rows import Rows
from tf_mopoe.hyperparameters import Hyperparameter, as_number, check_assigned, check_hyperparameter
from tf_mopoe.not_finite import EndAtNotFinite, FirstNotFinite, check_weights
from tf_mopoe.objectives import Objective
from tf_mopoe.objectives.terms import LossTerms
from tf_mopoe.streams import RowStream, Stream
from tf_mopoe.typing import Inputs, Number

BATCH_SIZE = 32  # Keras' default


class BoundModel(keras.Model):
    """A Keras model that is trained by a bound. A subclass has

        terms_and_posterior(inputs, stream, training) -> LossTerms, Posterior
        checked_rows(x) -> `Rows` of a dict, checked, and whatever else x is; checked_batch(x) -> a dict of arrays
        adapt_once(x), which takes the units of the data, if any part needs them

    and calls `make_training_state` in its constructor.

    No step needs AutoGraph, which takes seconds to read all that one calls in a user's `tf.function`.
    """

    # ---- attributes that may be assigned after the model was created, during the training too

    @property
    def objective(self) -> Objective | Callable[..., LossTerms]:
        return self._objective

    @objective.setter
    def objective(self, objective: Objective | Callable[..., LossTerms]) -> None:
        if not callable(objective) or isinstance(objective, type):
            raise ValueError(f"`objective` must be callable, such as objectives.ELBO(). Received: {objective!r}")
        config_checks.check_objective(objective)
        if self.built and isinstance(objective, Objective):
            objective.check(self.mixture)
        self._objective = objective
        with self.distribute_strategy.scope():
            if isinstance(objective, Objective):
                objective.make_live()
            if self.built:
                self.make_metrics()
        if self.train_function is not None:
            self.make_train_function(force=True)
        if self.test_function is not None:
            self.make_test_function(force=True)

    @property
    def private_beta(self) -> Number | tf.Tensor | None:
        """The weight of the KL of private latent variables; None: that of the objective for the KL of z."""
        return None if self._private_beta is None else self._private_beta.get()

    @private_beta.setter
    def private_beta(self, value: Number) -> None:
        check_assigned("private_beta", value, ["private_beta"] if self._private_beta else [])
        self._private_beta.assign(check_hyperparameter("private_beta", value))

    def set_private_beta(self, value: Number | None) -> None:
        value = None if value is None else check_hyperparameter("private_beta", value)
        self._private_beta = None if value is None else Hyperparameter(value)

    @property
    def reconstruction_weights(self) -> str | Mapping[str, Number] | None:
        """None, "dimension", "impartial", or the weights as {name: float}: no dict to write to, but assign another one."""
        return self._weights_rule if self._weights_rule != "dict" else types.MappingProxyType(self.term_weights)

    @reconstruction_weights.setter
    def reconstruction_weights(self, value: str | Mapping[str, Number] | None) -> None:
        weights = arguments.reconstruction_weights(value, self.decoders)
        if "impartial" in (value, self._weights_rule) and value != self._weights_rule:
            raise ValueError(
                '`reconstruction_weights` cannot become "impartial" or another rule than that after the model is made. '
                f"Received: {value!r}, of a model with {self.reconstruction_weights!r}"
            )
        for name, weight in weights.items():
            key = f"reconstruction_weights[{name!r}]"
            check_assigned(key, weight, [key])
        for name, weight in weights.items():
            self._term_weights[name].assign(weight)
        self._weights_rule = "dict" if isinstance(value, dict) else value

    def set_reconstruction_weights(self, value: str | Mapping[str, Number] | None) -> None:
        weights = arguments.reconstruction_weights(value, self.decoders)
        self._term_weights = {name: Hyperparameter(weight) for name, weight in weights.items()}
        self._weights_rule = "dict" if isinstance(value, dict) else value

    @property
    def term_weights(self) -> dict[str, Number]:
        """{name: weight of the modality's reconstruction term}, floats; in a graph tensors, see `Hyperparameter`."""
        return {name: weight.get() for name, weight in self._term_weights.items()}

    def weights_config(self) -> str | dict[str, float] | None:
        """Return `reconstruction_weights` as they go into the configuration."""
        if self._weights_rule != "dict":
            return self._weights_rule
        return {name: as_number(weight) for name, weight in self.term_weights.items()}

    def make_training_state(self, seed: np.ndarray) -> None:
        """Create the step, the metrics and the check for a loss that is not finite; `seed`: int32 [2], of all draws."""
        # Steps that were taken, apart from the optimizer's: it counts updates, and starts again when compiled again. No
        # weight, as it is none of the parameters; saving.py saves it.
        self.step = tf.Variable(
            0, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA, name="step"
        )
        self.base_seed = seed
        self.means = {}
        self.make_metrics()
        self.first_not_finite = FirstNotFinite(self.modalities)
        self.evaluation_samples = 1

    def make_metrics(self) -> None:
        """Create the metrics of the objective, or those that another one before it had not."""
        names = ["loss", *(f"reconstruction_{name}" for name in self.modalities), "kl"]
        names += ["private_kl"] * bool(self.private_dims) + [*getattr(self.objective, "extra_metrics", ()), "elbo"]
        self.means = {name: self.means.get(name) or keras.metrics.Mean(name=name) for name in names}

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """No-op: the model is already built. Keras' version sums a batch over replicas, which fails for bool masks."""

    # ---- steps

    def loss_terms(
        self, inputs: Mapping[str, Any], stream: int | Stream | RowStream | None, training: bool = False
    ) -> LossTerms:
        """Compute the objective's `LossTerms` [B] for a batch of inputs.

        In the loss is also what the networks add to it: regularisers, and `add_loss` once per call of a network.
        """
        return self.terms_and_posterior(inputs, stream, training)[0]

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        inputs = unpack(data)
        if not self.adapted:
            raise ValueError(
                "Call model.adapt(data) before the training: a normalization or a likelihood takes its units from the data"
            )
        with tf.GradientTape() as tape:
            terms, q = self.terms_and_posterior(inputs, self.stream("training", self.step), training=True)
            loss = mean_loss(terms.loss)
            # Keras' optimizers sum the gradients of the replicas.
            scaled = self.optimizer.scale_loss(loss / tf.distribute.get_strategy().num_replicas_in_sync)
        variables = self.trainable_variables
        if not variables:
            warnings.warn("The model has nothing to train: all its variables are frozen", stacklevel=2)  # as Keras does
            return self.update_metrics(q.available, self.metric_values(terms))
        # Zero (not None) gradients for unused networks, so that an absent modality behaves like a masked one.
        gradients = tape.gradient(
            scaled, [variable.value for variable in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        gradients = self.first_not_finite.checked(self, q, terms, loss, gradients)
        if len(q.batch.complete) == len(self.modalities):
            self.optimizer.apply_gradients(zip(gradients, variables))
        else:
            unreached.apply_gradients(self, q, gradients)
        self.step.assign_add(1)
        return self.update_metrics(q.available, self.metric_values(terms))

    @tf.autograph.experimental.do_not_convert
    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        inputs = unpack(data)
        # The rows seen so far number the batch: every batch has other draws, every evaluation the same.
        stream = self.stream("evaluation", self.means["loss"].count)
        terms, q = self.terms_and_posterior(inputs, stream.child(0))
        values = self.metric_values(terms)
        if self.evaluation_samples > 1:  # a loop, so that the graph does not grow with the draws

            def add(draw, total):
                more = self.metric_values(self.loss_terms(inputs, stream.child(draw)))
                return draw + 1, tf.nest.map_structure(tf.add, total, more)

            _, values = tf.while_loop(lambda draw, _: draw < self.evaluation_samples, add, (1, values))
            values = {name: value / self.evaluation_samples for name, value in values.items()}
        return self.update_metrics(q.available, values)

    def stream(self, name: str, number: int | tf.Tensor | tf.Variable) -> Stream:
        """Return the stream of a training step or an evaluation batch, a different one on each replica."""
        context = tf.distribute.get_replica_context()
        stream = Stream(tf.constant(self.base_seed)).child(name).child(tf.convert_to_tensor(number))
        return stream.child(context.replica_id_in_sync_group if context else 0)

    def metric_values(self, terms: LossTerms) -> dict[str, tf.Tensor]:
        """Return {metric: values [B]} of `LossTerms`, for the modalities that the batch has."""
        reconstruction = {f"reconstruction_{name}": term for name, term in terms.reconstruction.items()}
        values = {"loss": terms.loss, **reconstruction, "kl": terms.kl, "private_kl": terms.private_kl}
        values |= {"elbo": terms.elbo, **terms.extra}
        unknown = sorted(set(terms.extra) - set(self.means))
        if unknown:
            raise ValueError(
                f"`extra_metrics` of the objective must name every metric in `LossTerms.extra`. Received: {unknown} besides"
            )
        return {name: values[name] for name in self.means if name in values}

    def update_metrics(
        self, available: Mapping[str, tf.Tensor], values: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Add a batch to the metrics: means over the rows, that of a modality's term over the rows that have it."""
        weights = {f"reconstruction_{name}": has for name, has in available.items()}
        for name, value in values.items():
            self.means[name].update_state(value, sample_weight=weights.get(name))
        return self.get_metrics_result()

    @property
    def metrics(self) -> list[keras.Metric]:
        return list(self.means.values())

    # ---- Keras' methods, with errors before the work

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: None = None,
        loss_weights: None = None,
        metrics: None = None,
        weighted_metrics: None = None,
        **kwargs,
    ) -> None:
        """Compile with an optimizer, as `keras.Model.compile`: the objective is the loss, and its terms are the metrics."""
        given = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics}
        arguments.check_no_losses({name: value for name, value in given.items() if value is not None})
        super().compile(optimizer, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile from a saved configuration, which Keras leaves to models that override `compile`."""
        config = dict(config)
        numbers = config.pop("optimized", None)  # None: of an earlier version
        self.compile(**keras.saving.deserialize_keras_object(config))
        variables = self.trainable_variables if numbers is None else [self.variables[number] for number in numbers]
        if variables:
            self.optimizer.build(variables)

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return Keras' configuration and the optimizer's variables: some may have been frozen since, or all before."""
        config = super().get_compile_config()
        if config:
            known = {id(v) for v in self.optimizer._trainable_variables} if self.optimizer.built else set()
            config["optimized"] = [number for number, v in enumerate(self.variables) if id(v) in known]
        return config

    def fit(
        self, x: Inputs | None = None, y: None = None, batch_size: int | None = None, *args, **kwargs
    ) -> keras.callbacks.History:
        """Train, as `keras.Model.fit`; `x` is a dict of arrays, `Rows` or a data set of such dicts, and there is no `y`.

        Arrays may be of NumPy (any number type, masked), pandas, SciPy or TensorFlow (dense or sparse). They are not copied:
        a batch is read when it is needed. What a normalization or a likelihood takes from the data is taken here, once, if
        `adapt` was not called before.

        Raises:
            ValueError: for labels or weights, inputs that do not fit the model, NaN in a row of arrays that is present; in
                training, for a loss, a gradient or a weight that is not finite. The error names the first training step,
                whose gradients count as zeros, and the modality.
        """
        given = arguments.arguments_of_call(super().fit, x, y, batch_size, *args, **kwargs)
        rows, validation = self.checked_rows(x), self.checked_rows(given.get("validation_data"))
        split = given.pop("validation_split", 0.0)
        if split:
            rows, validation = arguments.split_rows(rows, split, validation)
        if isinstance(validation, Rows):
            size = given.pop("validation_batch_size", None) or batch_size
            given["validation_data"] = validation.dataset(size or BATCH_SIZE)
        self.adapt_once(rows)
        given["x"] = rows
        if isinstance(rows, Rows):
            # With a new seed from Python's `random`, which `keras.utils.set_random_seed` sets.
            seed = random.randrange(2**31) if given.get("shuffle", True) else None
            given["x"], given["batch_size"] = rows.dataset(batch_size or BATCH_SIZE, seed), None
            given["shuffle"] = False  # done, and Keras warns that it cannot
        callbacks = given.get("callbacks")
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.callbacks.insert(0, EndAtNotFinite())
            callbacks.callbacks[0].set_model(self)
        else:  # before those that save the model
            given["callbacks"] = [EndAtNotFinite(), *keras.tree.flatten(callbacks or [])]
        self.build_optimizer()
        return super().fit(**given)

    def build_optimizer(self) -> None:
        """Create the optimizer's variables before the step is traced, which would otherwise be traced twice."""
        if getattr(self, "optimizer", None) and not self.optimizer.built and self.trainable_variables:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    def evaluate(
        self,
        x: Inputs | None = None,
        y: None = None,
        batch_size: int | None = None,
        *args,
        num_samples: int = 1,
        **kwargs,
    ) -> Any:
        """Evaluate, as `keras.Model.evaluate`; `x` is a dict of arrays, `Rows` or a data set of such dicts; there is no `y`.

        Args:
            num_samples: draws of each row's latent variables over which its terms are averaged; default 1. More of them
                make the result depend less on the draw, which the batch size changes too.
        """
        given = arguments.arguments_of_call(super().evaluate, x, y, batch_size, *args, **kwargs)
        check_weights(self)
        rows = self.checked_rows(x)
        if isinstance(rows, Rows):
            given["x"], given["batch_size"] = rows.dataset(batch_size or BATCH_SIZE), None
        if check_count("num_samples", num_samples) != self.evaluation_samples:
            self.evaluation_samples, self.test_function = num_samples, None  # traced again
        return super().evaluate(**(given | given.pop("kwargs", {})))

    def train_on_batch(self, x: Mapping[str, Any] | None = None, *args, **kwargs) -> Any:
        """Train on one batch, as `keras.Model.train_on_batch`; raises as `fit`."""
        given = arguments.arguments_of_call(super().train_on_batch, x, *args, **kwargs)
        given["x"] = self.checked_batch(x)
        self.adapt_once(given["x"])
        self.build_optimizer()
        self.first_not_finite.reset()
        logs = super().train_on_batch(**given)
        self.first_not_finite.check()
        return logs

    def test_on_batch(self, x: Mapping[str, Any] | None = None, *args, **kwargs) -> Any:
        """Evaluate on one batch, as `keras.Model.test_on_batch`; raises as `evaluate`."""
        given = arguments.arguments_of_call(super().test_on_batch, x, *args, **kwargs)
        check_weights(self)
        return super().test_on_batch(**given | {"x": self.checked_batch(x)})


def unpack(data):
    """Return the inputs from the data that `fit` passes to a step."""
    inputs, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    arguments.check_no_labels(y, sample_weight)
    return inputs


def mean_loss(loss):
    """Average over the rows, [B] -> []; 0 for no rows, as a replica may have at the end of the data."""
    return tf.math.divide_no_nan(tf.reduce_sum(loss), tf.cast(tf.size(loss), loss.dtype))
