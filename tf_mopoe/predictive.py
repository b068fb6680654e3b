"""The posterior predictive distribution: draws of data given data, and missing cells filled from it."""

import math
from collections.abc import Mapping
from typing import Any, overload

import numpy as np
import tensorflow as tf

from tf_mopoe.checks import check_count
from tf_mopoe.inputs import FLAG, check_names, dense, read_arrays
from tf_mopoe.refinement import refined
from tf_mopoe.streams import as_stream
from tf_mopoe.typing import Inputs

NUMBERS = 2**23  # of x that are drawn in one go, about


class Imputation(dict):
    """Inputs with all missing values filled, {name: x}; `std`: {name: standard deviations, 0 where nothing was missing}."""

    def __init__(self, filled: Mapping[str, Any], std: Mapping[str, Any]):
        super().__init__(filled)
        self.std = std


class Predictive:
    """The posterior predictive methods of a `MultimodalVAE`: draws from p(x* | X)."""

    @overload
    def posterior_predictive(
        self, inputs: Inputs, to: None = ..., num_samples: int = ..., seed: int | None = ..., refine_steps: int = ...
    ) -> dict[str, tf.Tensor]: ...

    @overload
    def posterior_predictive(
        self, inputs: Inputs, to: str, num_samples: int = ..., seed: int | None = ..., refine_steps: int = ...
    ) -> tf.Tensor: ...

    def posterior_predictive(
        self,
        inputs: Inputs,
        to: str | None = None,
        num_samples: int = 100,
        seed: int | None = None,
        refine_steps: int = 0,
    ) -> dict[str, tf.Tensor] | tf.Tensor:
        """Draw x of every modality given what each row has, with both z and the noise of p(x | z).

            z[k] from q(z | X), w[k] from its posterior or prior, x[k] from p(x | z[k], w[k])

        So shares of the draws are probabilities: quantiles of them are intervals for new data, where those of `translate`,
        which is the mean of p(x | z), are far too narrow. q is what `translate` draws from.

        Args:
            inputs: as of `translate`.
            to: name of the modality to draw, or None (default) for all of them, the given ones included.
            num_samples: K, default 100.
            seed: int; the same seed gives the same draws. Default: a new one.
            refine_steps: of gradient steps by which each row's q(z | X) is refined first (see `impute`). Default 0: none.

        Returns:
            Tensor [K, N, E], or {name: tensor} if `to` is None.

        Raises:
            ValueError: as of `translate`.
        """
        self.check_name("to", to)
        num_samples = check_count("num_samples", num_samples)
        refine_steps = check_count("refine_steps", refine_steps, low=0)
        names = self.modalities if to is None else (to,)

        def of_batch(batch, stream):
            draws = {name: [] for name in names}
            for name, distribution, own in self._predicted(batch, names, num_samples, stream, refine_steps):
                x = distribution.sample(seed=own.seed)
                draws[name].append(tf.reshape(x, [-1, batch_rows(batch), *self.event_shapes[name]]))
            made = {name: tf.concat(parts, axis=0) for name, parts in draws.items()}
            return made if to is None else made[to]

        return self.by_batches(inputs, as_stream(seed), of_batch, axis=1)

    def impute(
        self, inputs: Mapping[str, Any], num_samples: int = 100, refine_steps: int = 0, seed: int | None = None
    ) -> Imputation:
        """Fill what is missing, rows and cells, by the mean of its posterior predictive distribution.

        Args:
            inputs: dict of arrays; DataFrames come back as DataFrames with their index and columns. What is missing is NaN
                or marked by flags; modalities that are not given are filled as a whole.
            num_samples: K, of the draws that are averaged; default 100.
            refine_steps: of gradient steps by which each row's q(z | X) is refined first, the decoders held
                (`refinement.refined`): a few hundred help where cells are missing or encoders weak. Default 0: none.
            seed: int; the same seed gives the same numbers. Default: a new one.

        Returns:
            `Imputation`: a dict {name: filled}, what was observed as it was; its `std` has the standard deviation of
            each filled cell, of z and the noise of p(x | z) both, 0 where nothing was filled. Classes are filled by their
            probabilities (`likelihoods.Table.decode` returns the likeliest of them), tokens by the likeliest, of std NaN.

        Raises:
            ValueError: as of `translate`, or for what is no dict.
        """
        num_samples = check_count("num_samples", num_samples)
        refine_steps = check_count("refine_steps", refine_steps, low=0)
        check_names(inputs, self.specs)

        arrays = dense(read_arrays(inputs, self.specs))
        there = {name: self._there(name, arrays) for name in self.modalities}
        wanted = [name for name in self.modalities if not there[name].all()]

        def of_batch(batch, stream):
            sums = {}
            for name, distribution, own in self._predicted(batch, wanted, num_samples, stream, refine_steps):
                moments = self.decoders[name].likelihood.moments(distribution, own.seed)
                shape = [-1, batch_rows(batch), *self.event_shapes[name]]
                values = [tf.reduce_sum(tf.reshape(x, shape), axis=0) for x in moments]
                sums[name] = [a + b for a, b in zip(sums[name], values)] if name in sums else values
            result = {}
            for name, (mean, squares) in sums.items():
                mean = mean / num_samples
                std = tf.sqrt(tf.maximum(squares / num_samples - tf.square(mean), 0.0))
                if self.specs[name].dtype != "float32":  # the mean of classes' numbers is none of them
                    q = self.encode(batch)
                    mean = tf.cast(self.decode(q.mean(), name, batch=q.batch), tf.float32)
                    std = tf.fill(tf.shape(mean), math.nan)
                result[name] = (mean, std)
            return result

        made = self.by_batches(inputs, as_stream(seed), of_batch) if wanted else {}
        filled, std = {}, {}
        for name in self.modalities:
            zeros = np.zeros(there[name].shape, np.float32)
            mean, deviation = (np.asarray(part) for part in made.get(name, (zeros, zeros)))
            filled[name] = as_given(inputs.get(name), arrays.get(name), there[name], mean)
            std[name] = as_given(inputs.get(name), None, there[name], np.where(there[name], zeros, deviation))
        return Imputation(filled, std)

    def _there(self, name, arrays):
        """Which cells of a modality are there, bool [N, E]."""
        rows = len(next(iter(arrays.values())))
        shape = (rows, *self.event_shapes[name])
        if name not in arrays:
            return np.zeros(shape, bool)
        there = np.ones(shape, bool)
        if self.specs[name].cells:
            there &= ~np.isnan(arrays[name])
        flags = arrays.get(FLAG + name)
        return there if flags is None else there & np.reshape(flags, flags.shape + (1,) * (len(shape) - flags.ndim))

    def _predicted(self, batch, names, num_samples, stream, refine_steps):
        """Yield (name, p(x | z) of some draws of z for all rows, [k * B] x E, stream), until there are K of each."""
        q = self.encode(batch)
        p = self.generative.given(q.batch)
        posterior = refined(q, p, refine_steps, stream.child("refinement")) if refine_steps else q.maximal_components()
        z = posterior.sample(stream, num_samples).z  # [K, B, D]
        w = p.infer_private(q, z, stream.child("private"))
        largest = max(math.prod(self.event_shapes[name]) for name in names)
        size = max(NUMBERS // (largest * max(batch_rows(batch), 1)), 1)
        for start in range(0, num_samples, size):
            part = slice(start, start + size)
            flat = {"z": z[part], **{name: own[part] for name, own in w.items()}}
            flat = {key: tf.reshape(value, [-1, value.shape[-1]]) for key, value in flat.items()}
            for name in names:
                own = stream.child(f"x/{name}/{start}")
                yield name, p.decode(name, flat["z"], flat.get(name)), own


def batch_rows(batch):
    """Return the number of rows of a dict of arrays."""
    return int(np.shape(next(iter(batch.values())))[0])


def as_given(value, array, there, made):
    """Return an array or DataFrame, in its form, with generated values in place of the missing ones."""
    if array is not None:
        array = np.asarray(array)
        kind = array.dtype if array.dtype.kind == "f" and array.dtype.itemsize >= 4 else np.float32
        kind = array.dtype if there.all() else kind
        made = np.where(there, array, made).astype(kind)
    if hasattr(value, "iloc"):
        frame = value.to_frame() if len(value.shape) == 1 else value
        filled = type(frame)(made, index=frame.index, columns=frame.columns)
        return filled.iloc[:, 0] if len(value.shape) == 1 else filled
    return made
