"""Priors of latent variables, as layers: fixed, of a learned scale, mixtures, pseudo-inputs, given the shared ones.

A model holds one for z and one for each w[m]; objectives, `generate`, `translate`, `log_likelihood` and exports use it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mopoe import sampling
from tf_mopoe.checks import check_count, check_number
from tf_mopoe.families import Normal, scale_of
from tf_mopoe.freezing import hand_down
from tf_mopoe.streams import RowStream, Stream


class Prior(keras.layers.Layer):
    """A prior p(z). A subclass has `log_prob` and `sample`, and `kl` if it has a closed form.

    Its `given` arguments are what the density depends on, [..., B, D], for the priors that have `reads_shared`.
    """

    has_closed_kl = False  # whether `kl` is there
    is_standard = False  # whether it is the family's density of loc 0 and scale 1
    reads_shared = False  # whether it is a prior of private latent variables given the shared ones

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False} | kwargs)
        self.latent_dim, self.family = None, Normal

    def build_for(self, latent_dim: int, family: type = Normal, shared_dim: int | None = None) -> None:
        """Create the variables for this many latent variables of this family; once, as a prior belongs to one model."""
        if self.built and (latent_dim, family) != (self.latent_dim, self.family):
            raise ValueError(
                f"This prior already has {self.latent_dim} {self.family.name} latent variables. "
                f"Received: {latent_dim} {family.name} ones"
            )
        self.latent_dim, self.family, self.shared_dim = latent_dim, family, shared_dim
        if not self.built:
            self.build()

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def log_prob(self, z: tf.Tensor, given: tf.Tensor | None = None) -> tf.Tensor:
        """Compute log p(z) in nats: [..., B, D] -> [..., B]."""
        raise NotImplementedError

    def sample(
        self, stream: Stream | RowStream, shape: Sequence[Any], given: tf.Tensor | None = None, temperature: float = 1.0
    ) -> tf.Tensor:
        """Draw z [*shape, D].

        Args:
            stream: of `tf_mopoe.streams`.
            shape: [..., B].
            given: the shared latent variables.
            temperature: of the spread around the mean (of the component drawn): 1 is the prior, 0 its centre.
        """
        raise NotImplementedError

    def mean(self, given: tf.Tensor | None = None) -> tf.Tensor:
        """Return the mean, [D] or [..., B, D]."""
        return tf.zeros([self.latent_dim])

    def get_build_config(self) -> None:
        return None  # the model builds it


class Located(Prior):
    """A prior of the family with one loc and scale, `parameters(given)`."""

    has_closed_kl = True

    def parameters(self, given: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return loc and scale, [D] or [..., B, D]."""
        raise NotImplementedError

    def log_prob(self, z: tf.Tensor, given: tf.Tensor | None = None) -> tf.Tensor:
        loc, scale = self.parameters(given)
        return self.family.log_prob(z, loc, scale + tf.zeros_like(z))

    def kl(self, loc: tf.Tensor, scale: tf.Tensor, given: tf.Tensor | None = None) -> tf.Tensor:
        """Compute KL( density of loc and scale [..., D] || prior ), [...]."""
        own_loc, own_scale = self.parameters(given)
        return self.family.kl_to_standard((loc - own_loc) / own_scale, scale / own_scale)

    def sample(
        self, stream: Stream | RowStream, shape: Sequence[Any], given: tf.Tensor | None = None, temperature: float = 1.0
    ) -> tf.Tensor:
        loc, scale = self.parameters(given)
        noise = self.family.noise(stream, tf.concat([shape, [self.latent_dim]], axis=0))
        return loc + temperature * scale * tf.ensure_shape(noise, [None] * (noise.shape.rank - 1) + [self.latent_dim])

    def mean(self, given: tf.Tensor | None = None) -> tf.Tensor:
        return self.parameters(given)[0]


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Standard(Located):
    """The family's density of loc 0 and scale 1: N(0, I), or Laplace(0, 1). Nothing is learned."""

    is_standard = True

    def parameters(self, given: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.zeros([self.latent_dim]), tf.ones([self.latent_dim])

    def log_prob(self, z: tf.Tensor, given: tf.Tensor | None = None) -> tf.Tensor:
        return self.family.log_prob(z, tf.zeros_like(z), tf.ones_like(z))

    def kl(self, loc: tf.Tensor, scale: tf.Tensor, given: tf.Tensor | None = None) -> tf.Tensor:
        return self.family.kl_to_standard(loc, scale)


@keras.saving.register_keras_serializable(package="tf_mopoe")
class LearnedScale(Located):
    """loc 0 and a scale per latent variable that is learned, from `scale` on (MMVAE's published setting: Shi et al. 2019).

    Args:
        scale: at the start; default 1.0. The auxiliary priors of private latent variables start at e^-3.
    """

    def __init__(self, scale: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = check_number("scale", scale)
        if not self.scale:
            raise ValueError("`scale` must be a positive number. Received: scale=0")

    def build(self, input_shape: Any = None) -> None:
        self.log_scale = self.add_weight(
            name="log_scale", shape=(self.latent_dim,), initializer=keras.initializers.Constant(math.log(self.scale))
        )
        self.built = True

    def parameters(self, given: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.zeros([self.latent_dim]), scale_of(2.0 * tf.convert_to_tensor(self.log_scale))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"scale": self.scale}


class ComponentsPrior(Prior):
    """sum{ weights[c] * p[c](z) : c }, of the components that `components()` gives."""

    def components(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the log of the weights [C], loc and scale [C, D]."""
        raise NotImplementedError

    def component_log_probs(self, z: tf.Tensor) -> tf.Tensor:
        """Compute log( weights[c] * p[c](z) ), [..., B, D] -> [..., B, C]."""
        log_weights, loc, scale = self.components()
        return log_weights + self.family.log_probs(z[..., None, :], loc[None], scale[None])[..., 0, :]

    def log_prob(self, z: tf.Tensor, given: tf.Tensor | None = None) -> tf.Tensor:
        return tf.reduce_logsumexp(self.component_log_probs(z), axis=-1)

    def responsibilities(self, z: tf.Tensor) -> tf.Tensor:
        """Compute p(c | z), [..., B, D] -> [..., B, C]: a row's cluster, where components are clusters (CMVAE)."""
        return tf.nn.softmax(self.component_log_probs(z))

    def sample(
        self, stream: Stream | RowStream, shape: Sequence[Any], given: tf.Tensor | None = None, temperature: float = 1.0
    ) -> tf.Tensor:
        log_weights, loc, scale = self.components()
        index = sampling.inverse_cdf(tf.exp(log_weights), stream.child("component").uniform(shape))
        noise = self.family.noise(stream.child("noise"), tf.concat([shape, [self.latent_dim]], axis=0))
        return tf.gather(loc, index) + temperature * tf.gather(scale, index) * noise

    def mean(self, given: tf.Tensor | None = None) -> tf.Tensor:
        log_weights, loc, _ = self.components()
        return tf.linalg.matvec(loc, tf.exp(log_weights), transpose_a=True)


@keras.saving.register_keras_serializable(package="tf_mopoe")
class Mixture(ComponentsPrior):
    """A mixture of `num_components` densities with learned loc and scale (CMVAE: Palumbo et al. 2024).

    In many dimensions components that start far apart, with weights that are learned, leave all the weight to a few; a near
    start and equal, fixed weights keep most of them in use.

    Args:
        num_components: C; default 40.
        spread: standard deviation of the components' loc at the start; default 0.1.
        learn_weights: whether the weights are learned. Default: False, they stay 1 / C.
        learn_scale: whether the scales are learned, from 1 on. Default: True.
    """

    def __init__(
        self,
        num_components: int = 40,
        spread: float = 0.1,
        learn_weights: bool = False,
        learn_scale: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_components = check_count("num_components", num_components)
        self.spread = check_number("spread", spread)
        self.learn_weights, self.learn_scale = bool(learn_weights), bool(learn_scale)

    def build(self, input_shape: Any = None) -> None:
        shape = (self.num_components, self.latent_dim)
        # A fixed prior's one component has no reason to be off its centre.
        near = keras.initializers.RandomNormal(stddev=self.spread) if self.num_components > 1 else "zeros"
        self.loc = self.add_weight(name="loc", shape=shape, initializer=near)
        self.log_scale = self.add_weight(name="log_scale", shape=shape, initializer="zeros", trainable=self.learn_scale)
        self.logits = self.add_weight(name="logits", shape=shape[:1], initializer="zeros", trainable=self.learn_weights)
        self.built = True

    def components(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        logits = tf.convert_to_tensor(self.logits)
        return (
            tf.nn.log_softmax(logits),
            tf.convert_to_tensor(self.loc),
            scale_of(2.0 * tf.convert_to_tensor(self.log_scale)),
        )

    def get_config(self) -> dict[str, Any]:
        names = ("num_components", "spread", "learn_weights", "learn_scale")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(package="tf_mopoe")
class PseudoInputs(ComponentsPrior):
    """VampPrior: the mean posterior of learned rows, 1/C sum{ q(z | u[c]) : c } (Tomczak & Welling, AISTATS 2018).

    The rows u[c] have all modalities and are what the encoders' networks read, after any normalization; q is the model's
    subset posterior. They start as the standard normal times `spread`, or as real rows: `model.prior.assign(inputs)`.

    Args:
        num_components: C; default 50.
        spread: standard deviation of the pseudo-inputs at the start; default 0.1.
    """

    def __init__(self, num_components: int = 50, spread: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.num_components = check_count("num_components", num_components)
        self.spread = check_number("spread", spread)
        self.encode = None

    def bind(
        self, event_shapes: Mapping[str, Sequence[int]], read: Callable[..., Any], encode: Callable[..., Any]
    ) -> None:
        """Create the pseudo-inputs, {name: [C, *E]}.

        Args:
            event_shapes: {name: E}.
            read: function: {name: rows of data [C, *E]} -> pseudo-inputs.
            encode: function: pseudo-inputs -> loc, scale [C, D].
        """
        self.read = read
        near = keras.initializers.RandomNormal(stddev=self.spread)
        self.inputs = {
            name: self.add_weight(name=f"pseudo_{number}", shape=(self.num_components, *shape), initializer=near)
            for number, (name, shape) in enumerate(sorted(event_shapes.items()))  # weights go by their order
        }
        self.names = tuple(event_shapes)
        self.encode = encode

    def assign(self, inputs: Mapping[str, Any]) -> None:
        """Set the pseudo-inputs to C rows of data of all modalities, {name: [C, *E]}, after `adapt` or the first `fit`."""
        read = self.read(inputs)
        for name, variable in self.inputs.items():
            variable.assign(read[name])

    def components(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        loc, scale = self.encode({name: tf.convert_to_tensor(self.inputs[name]) for name in self.names})
        return tf.fill([self.num_components], -math.log(self.num_components)), loc, scale

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_components": self.num_components, "spread": self.spread}


@keras.saving.register_keras_serializable(package="tf_mopoe")
class GivenShared(Located):
    """The prior of private latent variables given the shared ones: p(w | z) = N(loc(z), scale(z)^2), by a small network.

    It starts as N(0, I). What w repeats of z costs nothing then, and does no harm, since translation draws w to fit z.

    Args:
        hidden_units: width of the one hidden layer; default 128.
    """

    reads_shared = True

    def __init__(self, hidden_units: int = 128, **kwargs):
        super().__init__(**kwargs)
        self.hidden_units = check_count("hidden_units", hidden_units)
        self.hidden = keras.layers.Dense(self.hidden_units, activation="silu", dtype="float32")
        self.head = None

    def build(self, input_shape: Any = None) -> None:
        near = keras.initializers.RandomNormal(stddev=1e-3)
        self.head = keras.layers.Dense(2 * self.latent_dim, kernel_initializer=near, dtype="float32")
        self.hidden.build((None, self.shared_dim))
        self.head.build((None, self.hidden_units))
        self.built = True
        hand_down(self)

    def parameters(self, given: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        flat = tf.reshape(given, [-1, self.shared_dim])
        loc, log_scale = tf.split(self.head(self.hidden(flat)), 2, axis=-1)
        scale = tf.exp(3.0 * tf.tanh(log_scale / 3.0))
        shape = tf.concat([tf.shape(given)[:-1], [self.latent_dim]], axis=0)
        return tf.reshape(loc, shape), tf.reshape(scale, shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"hidden_units": self.hidden_units}
