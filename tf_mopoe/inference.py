"""Inference with a trained model: translations, new rows, embeddings, and log-likelihoods."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np
import tensorflow as tf

from tf_mopoe import arguments
from tf_mopoe.checks import check_count
from tf_mopoe.inputs import batches, is_symbolic
from tf_mopoe.marginal_likelihood import marginal_log_likelihood
from tf_mopoe.posteriors.posterior import Posterior
from tf_mopoe.streams import RowStream, Stream, as_stream
from tf_mopoe.typing import Inputs

NUMBERS, MOST_ROWS = 2**22, 2**14  # of x of one modality, and rows, at a time
DENSITIES = 2**25  # of importance samples under components, or numbers of latent variables, at a time


class Inference:
    """The inference methods of a `MultimodalVAE`. `inputs` are a dict, `Rows` or a data set, taken in batches.

    A dict's arrays may be of NumPy (any number type, masked), pandas, SciPy or TensorFlow (dense or sparse).
    """

    @property
    def private_temperature(self) -> float | dict[str, float]:
        """Of the spread of the private latent variables that are drawn; may be assigned. See `MultimodalVAE`."""
        return self._private_temperature

    @private_temperature.setter
    def private_temperature(self, value: float | Mapping[str, float]) -> None:
        self._private_temperature = arguments.checked_temperature(value, self.private_dims)

    @tf.autograph.experimental.do_not_convert
    def by_batches(
        self,
        inputs: Inputs,
        stream: Stream | RowStream,
        function: Callable[..., Any],
        axis: int = 0,
        most_rows: int = MOST_ROWS,
    ) -> Any:
        """Concatenate the results of `function(checked batch, stream)` for all batches along an axis of rows."""
        if isinstance(inputs, dict) and any(map(is_symbolic, inputs.values())):
            return function(self.check_rows(inputs), stream)
        parts = []
        for number, batch in enumerate(batches(inputs, self.specs, min(self.rows_at_a_time(), most_rows))):
            parts.append(function(self.check_rows(batch), stream.child(f"batch {number}") if number else stream))
        if not parts:
            raise ValueError("`inputs` must have one row or more. Received: none")
        return parts[0] if len(parts) == 1 else tf.nest.map_structure(lambda *part: tf.concat(part, axis), *parts)

    def rows_at_a_time(self) -> int:
        """Return the number of rows of arrays per batch in the methods here."""
        return max(min(NUMBERS // max(map(math.prod, self.event_shapes.values())), MOST_ROWS), 1)

    def embed(self, inputs: Inputs) -> np.ndarray:
        """Compute the mean of the posterior of all that each row has, `subset_posterior`: NumPy float32 [N, D].

        Raises:
            ValueError: for inputs that do not fit the model, a row that has nothing, NaN in a row that is present.
        """
        return np.asarray(self.by_batches(inputs, as_stream(0), lambda batch, _: self.encode(batch).mean()))

    @overload
    def translate(
        self,
        inputs: Inputs,
        to: None = ...,
        seed: int | None = ...,
        private_temperature: float | Mapping[str, float] | None = ...,
    ) -> dict[str, tf.Tensor]: ...

    @overload
    def translate(
        self,
        inputs: Inputs,
        to: str,
        seed: int | None = ...,
        private_temperature: float | Mapping[str, float] | None = ...,
    ) -> tf.Tensor: ...

    def translate(
        self,
        inputs: Inputs,
        to: str | None = None,
        seed: int | None = None,
        private_temperature: float | Mapping[str, float] | None = None,
    ) -> dict[str, tf.Tensor] | tf.Tensor:
        """Generate modalities conditioned on the given ones, using one latent sample per row.

        z is drawn from the joint posterior's largest components that the row can form: for "mopoe" and "mvae" the
        product of all it has, for "mmvae" one of its experts. Private latent variables come from a given modality's own
        posterior, those of the others from their prior.

        Args:
            inputs: dict of one or more modalities, with or without flags, `Rows` or a data set.
            to: name of the modality to generate, or None (default) for all of them, the given ones included.
            seed: int; the same seed gives the same z. Default: a new one.
            private_temperature: see `MultimodalVAE`. Default: the model's.

        Returns:
            The mean of p(x | z) through that one z, not an average over z: tensor [B, E], or {name: tensor} if `to` is None.

        Raises:
            ValueError: for inputs that do not fit the model, a row that has nothing, NaN in a row that is present, or a
                `to` that is not a modality.
        """
        self.check_name("to", to)

        def of_batch(batch, stream):
            q = self.encode(batch)
            z, private = self.sample_latents(q, stream, private_temperature)
            return self.decode(z, to, private, q.batch)

        return self.by_batches(inputs, as_stream(seed), of_batch)

    def sample_latents(
        self,
        q: Posterior,
        seed: int | Stream | RowStream | None = None,
        private_temperature: float | Mapping[str, float] | None = None,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Sample the latent variables that `translate` decodes: z [B, D], and the private ones, {name: w [B, P]}."""
        stream = as_stream(seed)
        z = q.maximal_components().sample(stream).z
        return z, self.private_latents(q, z, stream, private_temperature)

    def private_latents(
        self,
        q: Posterior | None,
        z: tf.Tensor,
        stream: Stream | RowStream,
        temperature: float | Mapping[str, float] | None,
    ) -> dict[str, tf.Tensor]:
        temperature = self.private_temperature if temperature is None else temperature
        temperature = arguments.checked_temperature(temperature, self.private_dims)
        return self.generative.infer_private(q, z, stream.child("private"), temperature)

    def generate(
        self,
        num_samples: int,
        seed: int | None = None,
        sampler: Callable[..., Any] | None = None,
        private_temperature: float | Mapping[str, float] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Generate `num_samples` rows of every modality from the prior: {name: mean of p(x | z), [num_samples, E]}.

        Args:
            num_samples: positive integer.
            seed: int; the same seed gives the same rows. Default: a new one.
            sampler: function (num_samples, seed) -> z [num_samples, D] in place of the prior, such as
                `evaluation.latent_mixture` returns.
            private_temperature: see `MultimodalVAE`. Default: the model's.

        Raises:
            ValueError: unless `num_samples` is a positive integer and `seed` an integer or None.
        """
        num_samples = check_count("num_samples", num_samples)
        stream = as_stream(seed)
        z = None
        if sampler is not None:
            z = arguments.checked_latents(
                "sampler", sampler(num_samples, int(stream.seed[0])), num_samples, self.latent_dim
            )
        return self.generate_rows(num_samples, stream, z, private_temperature)

    @tf.autograph.experimental.do_not_convert
    def generate_rows(
        self,
        rows: int | tf.Tensor,
        stream: Stream | RowStream,
        z: tf.Tensor | None = None,
        private_temperature: float | Mapping[str, float] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Generate as `generate`, for a number of rows that may be a tensor []; z [rows, D]: in place of the prior's."""
        z = self.prior.sample(stream, [rows]) if z is None else z
        return self.decode(z, private=self.private_latents(None, z, stream, private_temperature))

    def log_likelihood(
        self, inputs: Inputs, num_samples: int = 64, seed: int | None = None, given: Sequence[str] | None = None
    ) -> tf.Tensor:
        """Estimate log p(X) of what each row has by importance sampling, in nats: [B].

            log 1/K sum{ p(X | z[k]) p(z[k]) / q(z[k] | X) : k },   z[1..K] from q, stratified over its components

        with the whole mixture's density in the denominator (Burda et al. 2016, eq. 8; Shi et al. 2019, eq. 3). A lower bound
        in expectation that tightens with K. Reconstruction weights and beta play no part.

        Args:
            inputs: dict of one or more modalities, with or without flags, `Rows` or a data set.
            num_samples: K, default 64. All K samples of a row are its own.
            seed: int; the same seed gives the same estimate. Default: a new one.
            given: names of modalities. Then z comes from these only, and from the distribution of which `translate`
                draws: the q(z | X[given]) of Sutter et al. 2021, table 2. X stays all that the row has. Default: the
                joint posterior of all that the row has.

        Raises:
            ValueError: for inputs that do not fit the model, a row that has nothing (or nothing of `given`), NaN in a row
                that is present, a `num_samples` that is not a positive integer, or a `given` that names none of, or more
                than, the modalities in `inputs`.
        """
        num_samples = check_count("num_samples", num_samples)

        def of_batch(batch, stream):
            if given is not None:
                arguments.check_given(given, batch, [name for name in self.modalities if name in batch])
            q = self.encode(batch, seed=stream)
            p = self.generative.given(q.batch)
            q = q if given is None else q.select(given)
            posterior = q.joint if given is None else q.maximal_components()
            return marginal_log_likelihood(q, p, posterior, num_samples, stream)

        names = self.modalities
        drawn = self.mixture.draws(names)
        components = self.mixture.num_components if drawn else len(self.mixture.available_subsets(names))
        per_row = num_samples * max(components, self.latent_dim)
        return self.by_batches(inputs, as_stream(seed), of_batch, most_rows=max(DENSITIES // per_row, 1))
