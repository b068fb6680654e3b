"""Numbers that may be changed while a model trains: a traced graph reads them again at each of its runs.

A Python number becomes a constant of the graph when it is traced, so a later assignment would change nothing but the
configuration that is saved. Here a variable stands behind each number.
"""

import numbers
import types

import keras
import tensorflow as tf

from tf_mopoe.checks import check_number


def is_variable(value):
    return isinstance(value, (tf.Variable, keras.Variable))


def check_hyperparameter(name, value, **limits):
    """Return a number as a float, see `check_number`; a scalar `tf.Variable` or `keras.Variable` as it is."""
    if not is_variable(value):
        return check_number(name, value, **limits)
    if len(value.shape) or not tf.as_dtype(value.dtype).is_floating:
        raise ValueError(f"A variable as `{name}` must be a float scalar. Received: {name}={value!r}")
    return value


def as_number(value):
    """Return the present value of a variable as a float, a view of a dict as a dict; anything else unchanged."""
    if isinstance(value, types.MappingProxyType):
        return {name: as_number(own) for name, own in value.items()}
    return float(value.numpy()) if is_variable(value) else value


def check_assigned(name, value, changeable):
    """Return a number that is assigned to the attribute `name`; a scalar tensor as the number it holds."""
    if tf.is_tensor(value) and not is_variable(value) and hasattr(value, "numpy") and not len(value.shape):
        value = value.numpy()
    if name not in changeable or not isinstance(value, numbers.Real):
        raise ValueError(
            f"`{name}` cannot be assigned this once a model was made with it. What may be assigned then are numbers, to "
            f"{list(changeable)}; for anything else, a variable or a schedule included, make another object and model. "
            f"Received: {name}={value!r}"
        )
    return value


class Hyperparameter:
    """One number: a float where Python runs eagerly, a variable's value in a graph.

    Args:
        value: float, or a scalar variable, which is then the one behind it.
    """

    def __init__(self, value):
        self.number = value
        if is_variable(value):
            self.variable = value
            return
        with tf.init_scope():
            # All replicas hold the same number, and only the host assigns it. Float32 under every dtype policy.
            self.variable = tf.Variable(
                value, trainable=False, dtype=tf.float32, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
            )

    def get(self):
        return self.number if tf.executing_eagerly() else tf.cast(tf.convert_to_tensor(self.variable), tf.float32)

    def assign(self, value):
        self.variable.assign(value)
        if not is_variable(self.number):
            self.number = value


class Live:
    """Base class of objects whose float attributes may be assigned after a graph that reads them was traced.

    `make_live` puts a `Hyperparameter` behind each of them. From then on an assignment is checked by the constructor,
    whose arguments name the attributes, and what cannot be changed in a traced graph (an integer, a string, a schedule)
    refuses one.
    """

    __slots__ = ("_hyperparameters",)  # apart from vars(self), which are the configuration

    def make_live(self) -> None:
        """Create the variables under the current `tf.distribute` strategy, once; those of inner objects too."""
        if not hasattr(self, "_hyperparameters"):
            numbers = {n: v for n, v in vars(self).items() if isinstance(v, float) or is_variable(v)}
            self._hyperparameters = {name: Hyperparameter(value) for name, value in numbers.items()}
        for value in vars(self).values():
            if isinstance(value, Live):
                value.make_live()

    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        if isinstance(value, float) and not tf.executing_eagerly() and hasattr(self, "_hyperparameters"):
            return self._hyperparameters[name].get() if name in self._hyperparameters else value
        return value

    def __setattr__(self, name, value):
        if name == "_hyperparameters" or not hasattr(self, "_hyperparameters"):
            super().__setattr__(name, value)
            return
        value = check_assigned(name, value, self._hyperparameters)
        checked = vars(type(self)(**(vars(self) | {name: value})))[name]
        self._hyperparameters[name].assign(checked)
        if not is_variable(vars(self)[name]):
            super().__setattr__(name, checked)

    def __getstate__(self):
        """A copy has the numbers, not the variables; the model that gets it makes it live again."""
        return dict(vars(self))


class Fixed:
    """An attribute that is set once, by the constructor: a later assignment, which would do nothing, is an error."""

    def __set_name__(self, owner, name):
        self.name, self.place = name, f"_{name}"

    def __get__(self, model, owner=None):
        if model is None:
            return self
        if self.place not in vars(model):  # Keras looks before it sets
            raise AttributeError(self.name)
        return vars(model)[self.place]

    def __set__(self, model, value):
        if self.place in vars(model):
            raise ValueError(
                f"`{self.name}` cannot be assigned after the model is made. Received: {self.name}={value!r}"
            )
        vars(model)[self.place] = value
