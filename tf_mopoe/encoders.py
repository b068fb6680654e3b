"""A modality's encoder: the network's input from x, any Keras network, then the heads of a diagonal density."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from tf_mopoe.checks import check_choice, check_count, check_number
from tf_mopoe.families import FAMILIES, Normal, scale_of, tfd
from tf_mopoe.freezing import hand_down
from tf_mopoe.streams import RowStream, Stream
from tf_mopoe.units import Moments, Units, units_shape

NORMALIZATIONS = (None, "standard", "log1p", "log1p_share")
TARGET_TOTAL = 1e4  # of "log1p_share"


@keras.saving.register_keras_serializable(package="tf_mopoe")
class GaussianEncoder(keras.layers.Layer):
    """Encodes x of one modality as an expert q(z | x) = N(loc, scale^2).

        features = flatten(network(x));   loc = dense(features);   scale = exp(bounded(dense(features)) / 2)

    The second head is the log-variance, as in Kingma & Welling 2014, appendix C.2, and grows with the logarithm only beyond
    +-14: scales stay finite and positive, and keep a gradient, for features of any size. All heads compute in float32
    whatever the dtype policy of the network.

    Args:
        network: Keras layer or model (functional, Sequential or subclassed): [B, ...] -> features [B, ...].
        latent_dim: D, the number of latent variables.
        private_dim: P, the number of private latent variables of this modality, from two more heads. Its decoder then
            takes [B, D + P]. Default 0: none.
        normalization: what the network reads: None (default), x as it is; "standard", each variable (of pictures [.., C],
            each channel) less its mean, over its standard deviation; "log1p", log(1 + x), then as "standard"; "log1p_share",
            log(1 + 10,000 x / the row's total), then as "standard". `MultimodalVAE.adapt`, which the first `fit` calls,
            takes mean and deviation from the data; they are in the model's files and exports.
        cells: whether single cells of a row may be missing. Then NaN is a missing cell, and so is one whose flag in
            `has_<name>`, bool [B, E], is False; the network reads x with 0 in their place and, side by side on the last
            axis, 1 where a cell is there: [B, .., 2 C]. Default False: then only whole rows may be missing.
        hidden_share: with `cells`, in training, the network does not see a share of a row's cells, drawn per row from 0 to
            this; the likelihood counts them all the same. So it learns to do without. Default 0.1.

    Call:
        x [B, ...] -> `tfd.MultivariateNormalDiag`, batch shape [B], event shape [D].

    Raises:
        ValueError: for a network that is no layer or gives several tensors, or another value of an argument.
    """

    family = Normal
    x_dtype = "float32"  # of x; the model sets it to that of the likelihood

    def __init__(
        self,
        network: keras.Layer,
        latent_dim: int,
        private_dim: int = 0,
        normalization: str | None = None,
        cells: bool = False,
        hidden_share: float = 0.1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(f"`network` must be a Keras layer or model. Received: network={network!r}")
        self.network = network
        self.latent_dim = check_count("latent_dim", latent_dim)
        self.private_dim = check_count("private_dim", private_dim, low=0)
        self.normalization = check_choice("normalization", normalization, NORMALIZATIONS)
        self.cells = bool(cells)
        self.hidden_share = check_number("hidden_share", hidden_share, high=1.0)
        self.units = Units(name="units") if normalization else None
        self.loc_head = keras.layers.Dense(self.latent_dim, dtype="float32", name="loc")
        self.log_variance_head = keras.layers.Dense(self.latent_dim, dtype="float32", name="log_variance")
        if self.private_dim:
            self.private_loc_head = keras.layers.Dense(self.private_dim, dtype="float32", name="private_loc")
            self.private_log_variance_head = keras.layers.Dense(
                self.private_dim, dtype="float32", name="private_log_variance"
            )
        hand_down(self)

    def build(self, input_shape: Sequence[int | None] | Mapping[str, Sequence[int | None]]) -> None:
        """`input_shape`: shape of x with the batch axis, (None, ...), or {name: shape} of several inputs."""
        # One row of zeros builds any network, including those that do not override build().
        if isinstance(input_shape, dict):
            x = {name: tf.zeros([1, *shape[1:]]) for name, shape in input_shape.items()}
        else:
            if self.units is not None and not self.units.built:
                self.units.build(units_shape(tuple(input_shape[1:])))
            x = self.network_input(tf.zeros([1, *input_shape[1:]], self.x_dtype))
        features = self.network(x, training=False)
        if not hasattr(features, "shape"):
            raise ValueError(
                "its network must give one tensor of features, from which this encoder makes loc and scale: leave out its "
                f"own heads. Received: {type(features).__name__} of {len(features)}"
            )
        shape = (None, *flat_size(features.shape))
        self.loc_head.build(shape)
        self.log_variance_head.build(shape)
        if self.private_dim:
            self.private_loc_head.build(shape)
            self.private_log_variance_head.build(shape)
        self.built = True

    # ---- what the network reads

    def network_input(self, x: tf.Tensor, stream: Stream | RowStream | None = None) -> tf.Tensor:
        """Return the network's input for x [B, E], NaN where a cell is missing. `stream`: hides cells (training)."""
        if not self.cells:
            return self.read(x)
        there = ~tf.math.is_nan(x)
        x = self.read(tf.where(there, x, 0.0))
        if stream is not None and self.hidden_share:
            rows = [-1] + [1] * (len(x.shape) - 1)
            share = tf.reshape(self.hidden_share * stream.child("share").uniform(tf.shape(x)[:1]), rows)
            there &= stream.child("cells").uniform(tf.shape(x)) >= share
        return self.beside_flags(tf.where(there, x, 0.0), there)

    def read(self, x: tf.Tensor) -> tf.Tensor:
        """Return x as the network reads it, normalized: [B, E], all of it there."""
        return x if self.units is None else self.units(self.transformed(x))

    def beside_flags(self, x: tf.Tensor, there: tf.Tensor | None = None) -> tf.Tensor:
        """Return normalized x [B, E], and, with `cells`, beside it the flags of the cells that are there; default: all."""
        if not self.cells:
            return x
        there = tf.ones_like(x) if there is None else tf.cast(there, x.dtype)
        return tf.concat([x, there], axis=-1)

    def network_input_shape(self, event_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of `network_input`, of x of shape E."""
        *lead, last = event_shape
        return (*lead, 2 * last) if self.cells else tuple(event_shape)

    def transformed(self, x: tf.Tensor) -> tf.Tensor:
        """Return x before it is standardised. Missing values are 0, and stay so."""
        if self.normalization == "log1p_share":
            total = tf.reduce_sum(x, axis=list(range(1, len(x.shape))), keepdims=True)
            x = TARGET_TOTAL * tf.math.divide_no_nan(x, total)
        return x if self.normalization == "standard" else tf.math.log1p(tf.maximum(x, 0.0))

    def adapt_input(self, x: np.ndarray) -> np.ndarray | None:
        """Return the values whose `Moments` `adapt` takes: NumPy [N, E], NaN where missing -> [N, E]; None: no values."""
        if self.units is None:
            return None
        return self.transformed(tf.where(tf.math.is_nan(x), 0.0, x)).numpy()

    def adapt(self, moments: Moments) -> None:
        """Take the data's units from `Moments`, see `MultimodalVAE.adapt`."""
        self.units.adapt(moments)

    @property
    def adapted(self) -> bool:
        """Whether everything that `adapt` takes from data is there."""
        return self.units is None or self.units.adapted

    # ---- posteriors

    def features(self, network_input: tf.Tensor | Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Return the network's features of its input, [B, F] float32."""
        features = self.network(network_input, training=training)
        features = tf.reshape(features, [-1, *flat_size(features.shape)])
        return tf.cast(features, tf.float32)

    def shared(self, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return loc and scale [B, D] of the expert, from features [B, F]."""
        return self.loc_head(features), scale_of(self.log_variance_head(features))

    def private(self, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return loc and scale [B, P] of the private latent variables' posterior, from features [B, F]."""
        return self.private_loc_head(features), scale_of(self.private_log_variance_head(features))

    def posteriors(
        self, network_input: tf.Tensor | Mapping[str, tf.Tensor], training: bool | None = None
    ) -> tuple[Sequence[tf.Tensor], Sequence[tf.Tensor]]:
        """Return (loc, scale) [B, D] of the expert, and (loc, scale) [B, P] of the private latent variables or ()."""
        features = self.features(network_input, training=training)
        return self.shared(features), self.private(features) if self.private_dim else ()

    def call(self, x: tf.Tensor, training: bool | None = None) -> tfd.Distribution:
        x = x if isinstance(x, dict) else self.network_input(x)
        return self.family.distribution(*self.shared(self.features(x, training=training)))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        rows = next(iter(input_shape.values()))[0] if isinstance(input_shape, dict) else input_shape[0]
        return (rows, self.latent_dim)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "network": keras.saving.serialize_keras_object(self.network),
            "latent_dim": self.latent_dim,
            "private_dim": self.private_dim,
            "normalization": self.normalization,
            "cells": self.cells,
            "hidden_share": self.hidden_share,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config = dict(config, network=keras.saving.deserialize_keras_object(config["network"]))
        return cls(**config)


@keras.saving.register_keras_serializable(package="tf_mopoe")
class LaplaceEncoder(GaussianEncoder):
    """As `GaussianEncoder`, but the expert is Laplace(loc, scale), for "mmvae" (Shi et al. 2019): it has no products.

    Call:
        x [B, ...] -> `tfd.Independent(tfd.Laplace)`, batch shape [B], event shape [D]. The prior of z is Laplace(0, 1).
    """

    family = FAMILIES["laplace"]


def flat_size(shape):
    if None in shape[1:]:
        raise ValueError(f"The encoder's network must give features of a known size. Received: shape {tuple(shape)}")
    return (int(shape[1:].num_elements()),)
