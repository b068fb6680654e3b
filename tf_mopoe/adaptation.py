"""Normalizations and likelihoods take the data's units before the training; a warning where none does but should."""

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mopoe.datasets.rows import Rows
from tf_mopoe.inputs import FLAG, batches, dense, read_arrays
from tf_mopoe.typing import Inputs
from tf_mopoe.units import Moments

ROWS = 4096  # at a time
LOOKED_AT = 1000  # rows, for the warning
APART = 100.0  # orders of magnitude that are two, for the warning


class Adapting:
    """The method of a `MultimodalVAE` that takes the data's units: `adapt`."""

    def adapting_parts(self) -> list[tuple[str, keras.Layer]]:
        """Return [(modality, layer)] of the encoders and likelihoods that take something from data."""
        parts = [(name, self.encoders[name]) for name in self.modalities]
        parts += [(name, self.decoders[name].likelihood) for name in self.modalities]
        zeros = {name: np.zeros((1, *self.event_shapes[name]), np.float32) for name in self.modalities}
        return [(name, part) for name, part in parts if part.adapt_input(zeros[name]) is not None]

    @property
    def adapted(self) -> bool:
        """Whether all that is taken from data is there, or nothing is to be taken."""
        with tf.init_scope():
            return all(part.adapted for part in [*self.encoders.values(), *self._likelihoods()])

    def _likelihoods(self):
        return [decoder.likelihood for decoder in self.decoders.values()]

    def adapt(self, inputs: Inputs) -> None:
        """Take from data what `GaussianEncoder(normalization=...)` and likelihoods in the data's units need.

        That is the mean and standard deviation of each variable, over the rows and cells that are there. It replaces what
        was taken before. The first `fit` calls it with its data; call it before a training loop of your own.

        Args:
            inputs: as of `fit`: dict of arrays, `Rows` or a data set, which is read once.

        Raises:
            ValueError: for inputs that do not fit the model, or a modality without any value.
        """
        parts = self.adapting_parts()
        moments = {id(part): Moments() for _, part in parts}
        for batch in batches(inputs, self.specs, ROWS):
            batch = dense(read_arrays(batch, self.specs))
            for name, part in parts:
                if name in batch:
                    moments[id(part)].add(*self._observed(name, part, batch))
        # Shared parts have the moments of all their modalities.
        for name, part in parts:
            if not np.any(moments[id(part)].count):
                raise ValueError(f"`{name}` must have values to take its units from. Received: none")
            part.adapt(moments[id(part)])

    def _observed(self, name, part, batch):
        """What a part takes the moments of, [n, E], and which cells of it count."""
        x, has = batch[name], batch.get(FLAG + name)
        x = np.asarray(x, np.float32)
        if has is not None and has.ndim == 1:
            x = x[has]
        elif has is not None:
            x = np.where(has, x, np.nan)
        return np.asarray(part.adapt_input(x)), ~np.isnan(x)

    def adapt_once(self, inputs: Any) -> None:
        """Call `adapt` if something is to be taken and was not; and warn of scales that are far from the data's."""
        if isinstance(inputs, Rows):
            self.warn_of_scales(inputs.take(LOOKED_AT)[:])
        if self.adapted:
            return
        if hasattr(inputs, "__next__"):  # what can be read once only
            raise ValueError(
                "`x` must be data that can be read more than once, or call model.adapt(data) before: a normalization or a "
                f"likelihood takes its units from the data. Received: {type(inputs).__name__}"
            )
        self.adapt(inputs)

    def warn_of_scales(self, batch: Mapping[str, Any]) -> None:
        """Warn once of modalities whose values are far larger or smaller than their parts are designed for."""
        found = {}
        for name in (name for name in self.modalities if name in batch):
            x = self._values(name, batch)
            if x.size:
                found[name] = (self.encoders[name], self.decoders[name].likelihood, x)
        far = [text for name, parts in found.items() for text in self._far(name, *parts)]
        if far:
            warnings.warn(
                "The scales of the data and of the model differ by orders of magnitude, which trains badly or not at all: "
                + "; ".join(far),
                stacklevel=4,
            )

    def _values(self, name, batch):
        """The numbers that are there, [n]."""
        x, has = np.asarray(batch[name]), batch.get(FLAG + name)
        if x.dtype.kind not in "fiu" or self.specs[name].dtype != "float32":
            return np.zeros([0])
        x = x.astype(np.float64)
        x = x if has is None else x[has]
        return x[np.isfinite(x)]

    def _far(self, name, encoder, likelihood, x):
        size, spread = np.sqrt(np.mean(np.square(x))), np.std(x)
        if encoder.units is None and size > APART:
            yield f'`{name}` has numbers of about {size:.3g}: GaussianEncoder(..., normalization="standard")'
        scale = likelihood.scale if getattr(likelihood, "standardize", None) is False else None
        if isinstance(scale, float) and spread > 0 and not scale / APART <= spread <= scale * APART:
            kind = type(likelihood).__name__
            yield f"`{name}` has a standard deviation of {spread:.3g}, its likelihood a scale of {scale:g}: " + (
                f"likelihoods.{kind}(scale, standardize=True)"
            )
