"""A modality's decoder: any Keras network, then a likelihood."""

import contextlib
import math
from collections.abc import Sequence
from typing import Any, Self

import keras
import tensorflow as tf

from tf_mopoe import likelihoods
from tf_mopoe.checks import is_integer
from tf_mopoe.families import tfd
from tf_mopoe.freezing import hand_down


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Decoder(keras.layers.Layer):
    """Decodes z as the likelihood p(x | z) of one modality.

    Args:
        network: Keras layer or model: z [B, D] -> what the likelihood reads. That is one number per variable, in the
            modality's shape, for most (the mean for Laplace and Normal, logits for Bernoulli and Categorical), and several,
            side by side on the last axis, for those with `num_parameters` above 1.
        likelihood: one of `tf_mopoe.likelihoods`.
        event_shape: E, the modality's shape, an int or a tuple. Then the network gives features of any shape, and a dense
            layer of this decoder's gives the likelihood its numbers. Default: the network gives them.

    Call:
        z [B, D] -> tfd distribution, batch shape [B], event shape E = that of the modality. Float32 whatever the dtype
        policy of the network. With private latent variables (`GaussianEncoder(private_dim=P)`) z is [B, D + P].

    Raises:
        ValueError: for a network that is no layer or gives several tensors, another likelihood or `event_shape`.
    """

    def __init__(
        self,
        network: keras.Layer,
        likelihood: likelihoods.Likelihood,
        event_shape: int | Sequence[int] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(f"`network` must be a Keras layer or model. Received: network={network!r}")
        if not isinstance(likelihood, likelihoods.Likelihood):
            raise ValueError(
                f"`likelihood` must be one of tf_mopoe.likelihoods, such as Normal(1.0). Received: {likelihood!r}"
            )
        self.network = network
        self.likelihood = likelihood
        self.given_shape = None if event_shape is None else checked_shape(event_shape)
        self.event_shape = None
        if self.given_shape is not None:
            units = math.prod(likelihood.output_shape(self.given_shape))
            self.head = keras.layers.Dense(units, dtype="float32", name="head")
        hand_down(self)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """`input_shape`: (None, D)."""
        features = self.network(tf.zeros([1, *input_shape[1:]]), training=False)
        if not hasattr(features, "shape"):
            raise ValueError(
                f"its network must give one tensor; join several by keras.layers.Concatenate on the last axis. "
                f"Received: {type(features).__name__} of {len(features)}"
            )
        if self.given_shape is not None:
            self.head.build((None, math.prod(features.shape[1:])))
        output_shape = self.output_shape_of(features.shape)
        if not self.likelihood.built:  # a loaded one has its weights
            self.likelihood.build((None, *output_shape))
        self.event_shape = tuple(self.likelihood.event_shape(output_shape))
        self.built = True

    def output_shape_of(self, shape: Sequence[int | None]) -> tuple[int, ...]:
        """Return the shape O of the likelihood's input, from features [B, ...]."""
        return tuple(shape[1:]) if self.given_shape is None else tuple(self.likelihood.output_shape(self.given_shape))

    def output(self, z: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return the likelihood's input, [B, O] float32."""
        features = self.network(z, training=training)
        if self.given_shape is None:
            return tf.cast(features, tf.float32)
        flat = tf.reshape(features, [-1, math.prod(features.shape[1:])])
        return tf.reshape(self.head(flat), [-1, *self.output_shape_of(features.shape)])

    def call(self, z: tf.Tensor, training: bool | None = None, size: tf.Tensor | None = None) -> tfd.Distribution:
        """`size`: the rows' totals, [B], for a likelihood that `reads_size`; None: those it knows from the data."""
        arguments = {"size": size} if self.likelihood.reads_size else {}
        return self.likelihood(self.output(z, training), **arguments)

    def compute_output_shape(
        self, input_shape: Sequence[int | None], size: tf.Tensor | None = None
    ) -> tuple[int | None, ...]:
        return (input_shape[0], *self.event_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "network": keras.saving.serialize_keras_object(self.network),
            "likelihood": keras.saving.serialize_keras_object(self.likelihood),
            "event_shape": self.given_shape,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        parts = ("network", "likelihood")
        return cls(**config | {part: keras.saving.deserialize_keras_object(config[part]) for part in parts})


def checked_shape(shape):
    sizes = (shape,) if is_integer(shape) else shape
    if not isinstance(sizes, tuple | list) or not sizes or not all(is_integer(size, low=1) for size in sizes):
        raise ValueError(
            f"`event_shape` must be a positive integer or a tuple of them. Received: event_shape={shape!r}"
        )
    return tuple(map(int, sizes))


@contextlib.contextmanager
def stop_gradient_to(layer, frozen=True):
    """Scope in which, if `frozen`, the layer's computations give no gradient to its weights and change none of its state."""
    if not frozen:
        yield
        return
    values = [(variable, tf.stop_gradient(variable.value)) for variable in layer.trainable_variables]
    with keras.StatelessScope(state_mapping=values, collect_losses=True) as scope:
        yield
    for loss in scope.losses:  # which the scope has kept from the layer
        layer.add_loss(loss)
