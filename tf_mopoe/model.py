"""The model: wires encoders, joint posterior, decoders, priors and objective. It knows no data set, no disk and no plot."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import keras
import numpy as np
import tensorflow as tf

from tf_mopoe import arguments, config_checks, construction, freezing
from tf_mopoe.adaptation import Adapting
from tf_mopoe.batch import Batch, read
from tf_mopoe.datasets.rows import Rows
from tf_mopoe.decoders import Decoder
from tf_mopoe.encoders import GaussianEncoder
from tf_mopoe.families import tfd
from tf_mopoe.generative import Generative
from tf_mopoe.hyperparameters import Fixed
from tf_mopoe.inference import Inference
from tf_mopoe.inputs import Spec, check_inputs, check_not_empty, check_values, dense, is_symbolic, read_arrays
from tf_mopoe.methods.method import Method
from tf_mopoe.network_losses import weight_losses
from tf_mopoe.not_finite import check_weights
from tf_mopoe.objectives import ELBO, Objective
from tf_mopoe.objectives.terms import LossTerms
from tf_mopoe.posteriors import mixture_of_products
from tf_mopoe.posteriors.joint_posterior import JointPosterior
from tf_mopoe.posteriors.posterior import Posterior, one_component
from tf_mopoe.predictive import Predictive
from tf_mopoe.priors import Prior
from tf_mopoe.saving import Saved
from tf_mopoe.streams import RowStream, Stream, as_stream
from tf_mopoe.training import BATCH_SIZE, BoundModel
from tf_mopoe.typing import Inputs, Number


@keras.saving.register_keras_serializable(package="tf_mopoe")
class MultimodalVAE(Saved, Inference, Predictive, Adapting, BoundModel):
    """A variational autoencoder of several modalities, any of which may be missing in any row.

    Inputs are dicts: `{name: x [B, E]}`, numbers of any type, and optionally `has_<name>`, bool [B], False in the rows that
    lack the modality (which may hold anything there, NaN included), or bool [B, E], False in the cells that are missing
    (`GaussianEncoder(cells=True)`). A modality that is not in the dict is missing for all rows. A row never reaches the
    networks of a modality that it lacks, in training nor after: it adds nothing to any term, gradient or batch statistic.

    The model is built when it is created: the decoders define the shape of each modality.

    Args:
        encoders: {name: GaussianEncoder}, all with the same `latent_dim`. The names' order is that of the experts.
        decoders: {name: Decoder}, of the same names.
        joint_posterior: "mopoe" (default; Sutter et al. 2021), "mvae" (Wu & Goodman 2018: the product of all), "mmvae"
            (Shi et al. 2019: the mixture of the single ones), "mmjsd" (Sutter et al. 2020: of these and the prior), "mvtcae"
            (Hwang et al. 2021: the product without prior), a `MixtureOfProducts` layer, or a `JointEncoder`.
        objective: what is minimised, one of `tf_mopoe.objectives`; default `ELBO()`.
        reconstruction_weights: weight of each modality's reconstruction term. "dimension": the largest modality's number
            of variables over this one's (Sutter et al. 2021, appendix); None (default): all 1; {name: float}; or
            "impartial": all 1, and in training the modalities' gradients at a z that they decode together are scaled to the
            size of the largest, so that none outweighs another in what the encoders learn (after Javaloy et al. 2022).
        private_beta: weight of the KL of private latent variables (`GaussianEncoder(private_dim=P)`) in the loss. Default:
            that of the objective for the KL of z. This, `reconstruction_weights` and the float attributes of `objective` may
            be assigned during the training, as in `model.objective.beta = 2.0` in a callback; or be scalar variables.
        seed: int, of the draws in training and evaluation. Default: a new one, from Python's `random` (so that
            `keras.utils.set_random_seed` sets it).
        prior: p(z), of `tf_mopoe.priors`. Default: `priors.Standard()`.
        private_prior: p(w) of the private latent variables, one of `tf_mopoe.priors` (of which each modality gets a copy),
            or {name: prior}. Default: `priors.Standard()`.
        private_source: where the w of a modality comes from that a drawn z does not come from. "auxiliary" (default): a
            narrow density around its prior's mean, of learned scale, so that nothing shared can hide in w. "own": its own
            posterior, wherever a row has it; then w can carry what is shared, and coherence falls.
        private_temperature: of the spread of the private latent variables that `translate` and `generate` draw from their
            prior, from 0 (its mean: the most coherent) to 1 (default; the most varied); a number or {name: number}.
        method: one of `tf_mopoe.methods`, or its name, such as "mopoe_plus": `joint_posterior`, `objective` and priors
            with published defaults; what it sets must not be given besides.

    Raises:
        ValueError: if encoders and decoders do not fit each other, or an argument is not one of the above.
    """

    seed, private_source = Fixed(), Fixed()

    def __init__(
        self,
        encoders: Mapping[str, GaussianEncoder],
        decoders: Mapping[str, Decoder],
        joint_posterior: str | JointPosterior | None = None,
        objective: Objective | Callable[..., LossTerms] | None = None,
        reconstruction_weights: str | Mapping[str, Number] | None = None,
        private_beta: Number | None = None,
        seed: int | None = None,
        prior: Prior | None = None,
        private_prior: Prior | Mapping[str, Prior] | None = None,
        private_source: str | None = None,
        private_temperature: float | Mapping[str, float] = 1.0,
        method: str | Method | None = None,
        **kwargs,
    ):
        arguments.check_parts(encoders, decoders)
        if method is not None:
            given = {"joint_posterior": joint_posterior, "objective": objective, "prior": prior}
            given |= {"private_prior": private_prior, "private_source": private_source}
            given = construction.with_method(method, encoders, given)
            joint_posterior, objective, prior, private_prior, private_source = given.values()
        super().__init__(**{"autocast": False} | kwargs)
        self.modalities = tuple(encoders)
        # By name: weights go by their order, and have to fit a model that names the same modalities in another one.
        self.encoders, self.decoders = dict(sorted(encoders.items())), dict(sorted(decoders.items()))
        first = encoders[self.modalities[0]]
        self.latent_dim, self.family = first.latent_dim, first.family
        self.private_dims = {name: encoder.private_dim for name, encoder in encoders.items() if encoder.private_dim}
        self.objective = ELBO() if objective is None else objective
        base_seed = as_stream(seed).seed.numpy()
        self.seed = int(base_seed[0]) if seed is None else int(seed)
        self.mixture = mixture_of_products.from_name("mopoe" if joint_posterior is None else joint_posterior)
        self.mixture.bind(self.modalities, self.family, self.latent_dim)
        if isinstance(self.objective, Objective):
            self.objective.check(self.mixture)
        self.event_shapes = construction.build_networks(encoders, decoders, self.latent_dim)
        reads = {name: encoders[name].network_input_shape(shape) for name, shape in self.event_shapes.items()}
        self.mixture.build_for(reads, self.latent_dim)
        self.prior = construction.shared_prior(prior, self)
        self.private_priors = construction.private_priors(private_prior, self.private_dims, self.latent_dim)
        self.private_source = "auxiliary" if private_source is None else private_source
        self.auxiliary_priors = construction.auxiliary_priors(self.private_source, self.private_dims)
        self.private_temperature = private_temperature
        self.set_private_beta(private_beta)
        self.set_reconstruction_weights(reconstruction_weights)
        self.make_training_state(base_seed)
        self.built = True
        freezing.hand_down(self)
        self.save_fault = config_checks.fault_of_parts(self.layer_parts(), lambda parts: MultimodalVAE(**parts))
        if self.save_fault:
            warnings.warn(self.save_fault, stacklevel=2)

    def build(self, input_shape: Any = None) -> None:
        """No-op: all parts are built when the model is created."""

    @property
    def generative(self) -> Generative:
        """The generative side p, before it is given a batch: `Generative`."""
        priors = self.prior, self.private_priors, self.auxiliary_priors
        impartial = self.reconstruction_weights == "impartial"
        return Generative(self.decoders, *priors, self._term_weights, self._private_beta, impartial)

    # ---- from inputs to distributions

    def encode(
        self, inputs: Mapping[str, Any], training: bool = False, seed: int | Stream | RowStream | None = None
    ) -> Posterior:
        """Return q, the `Posterior` of a dict of inputs: of the joint latent variables, of any subset, the private ones.

        Args:
            inputs: dict of one or more modalities, with or without flags.
            training: whether the networks are in training mode.
            seed: int or stream, of the subsets that the joint posterior draws, if it does. Default: fixed ones.
        """
        if not all(map(tf.is_tensor, inputs.values())) if isinstance(inputs, dict) else True:
            inputs = dense(read_arrays(inputs, self.specs))
        check_inputs(inputs, self.specs)
        # Keras' steps compiled by XLA, its default on GPUs.
        static = bool(self.compiled and self.jit_compile) and not tf.executing_eagerly()
        batch = read(inputs, self.specs, static)
        stream = None if seed is None else as_stream(seed)
        hiding = stream.child("hidden cells") if training and stream is not None else None
        reads = {}
        for name in batch.names:
            reads[name] = self.encoders[name].network_input(batch.x[name], hiding and hiding.child(name))
        return self.posterior_of(batch._replace(network_inputs=reads), training, stream)

    def posterior_of(self, batch: Batch, training: bool = False, stream: Stream | RowStream | None = None) -> Posterior:
        """Encode a `Batch` of what the networks read, as `encode` does for a dict of inputs."""
        experts, private, losses = {}, {}, []
        for name in batch.names:
            shared, own, loss = self.encode_modality(name, batch, training)
            experts[name] = one_component(*shared, self.family, name)
            if own:
                private[name] = one_component(*own, construction.PRIVATE_FAMILY, name)
            losses.append(loss)
        q = Posterior(self.mixture, batch, experts, private, stream, self.step, training)
        q.losses += losses
        return q

    def encode_modality(
        self, name: str, batch: Batch, training: bool
    ) -> tuple[Sequence[tf.Tensor], Sequence[tf.Tensor], tf.Tensor]:
        """Return (loc, scale) [B, D] and [B, P] or (), of the standard density in rows without x; and the losses, []."""
        encoder, x = self.encoders[name], batch.network_inputs[name]
        sizes = [self.latent_dim] + [encoder.private_dim] * (encoder.private_dim > 0)
        empty = [(tf.zeros([0, size]), tf.zeros([0, size])) for size in sizes] + [()] * (2 - len(sizes))
        pairs, loss = batch.on_available(
            (name,), encoder, lambda x, _: encoder.posteriors(x, training=training), x, tuple(empty)
        )
        if name not in batch.complete:
            has = batch.available[name][:, None]
            pairs = [(pair[0], tf.where(has, pair[1], 1.0)) if pair else () for pair in pairs]
        return *pairs, loss

    @overload
    def decode(
        self, z: tf.Tensor, to: None = ..., private: Mapping[str, tf.Tensor] | None = ..., batch: Batch | None = ...
    ) -> dict[str, tf.Tensor]: ...

    @overload
    def decode(
        self, z: tf.Tensor, to: str, private: Mapping[str, tf.Tensor] | None = ..., batch: Batch | None = ...
    ) -> tf.Tensor: ...

    def decode(
        self,
        z: tf.Tensor,
        to: str | None = None,
        private: Mapping[str, tf.Tensor] | None = None,
        batch: Batch | None = None,
    ) -> dict[str, tf.Tensor] | tf.Tensor:
        """Decode z [B, D] to the value reported of p(x | z), mostly its mean: {name: [B, E]}, or one tensor by `to`.

        Args:
            z: latent variables.
            to: name of the one modality to decode. Default: all.
            private: {name: w [B, P]} of the private latent variables; the prior's mean for those that are not named.
            batch: `Batch` of the rows, whose totals a count likelihood with a size factor takes. Default: the mean total.

        Raises:
            ValueError: for latent variables of another shape, or an unknown modality.
        """
        self.check_name("to", to)
        z = arguments.check_latents("z", z, self.latent_dim)
        private = arguments.check_private(private, self.private_dims)
        names, p = self.modalities if to is None else (to,), self.generative
        p = p if batch is None else p.given(batch)
        made = {}
        for name in names:
            distribution = p.decode(name, z, private.get(name))
            made[name] = self.decoders[name].likelihood.mean(distribution)
        return made if to is None else made[to]

    def joint_posterior(self, inputs: Mapping[str, Any], seed: int | None = None) -> tfd.Mixture:
        """Return q(z | X), the mixture over the subsets of the modalities that are given: `tfd.Mixture`, [B] x [D].

        A subset that a row cannot form has weight 0 in that row. Where the subsets are too many (`MixtureOfProducts`), the
        mixture is that of some, drawn with `seed` (int; default: a new one).

        Raises:
            ValueError: for inputs that do not fit the model, a row that has nothing, NaN in a row that is present.
        """
        return self.encode(self.check_rows(inputs), seed=as_stream(seed)).joint.distribution()

    def subset_posterior(self, inputs: Mapping[str, Any]) -> tfd.Distribution:
        """Return the product of all the experts that each row has: `tfd.MultivariateNormalDiag`, [B] x [D].

        The prior expert joins by the joint posterior's rule. Raises as `joint_posterior`.
        """
        return self.encode(self.check_rows(inputs)).subset().component(0)

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        """Reconstruct every modality, {name: mean of p(x | z) [B, E]}, z the mean of the subset posterior.

        (Of the joint posterior, where experts have no product: Laplace.)
        """
        q = self.encode(inputs, training=training)
        z = q.mean()
        return self.decode(z, private=self.generative.mean_private(q, z), batch=q.batch)

    # ---- training

    @tf.autograph.experimental.do_not_convert
    def terms_and_posterior(
        self, inputs: Mapping[str, Any], stream: int | Stream | RowStream | None, training: bool = False
    ) -> tuple[LossTerms, Posterior]:
        """Compute the objective's `LossTerms` [B] for a batch of inputs, see `loss_terms`, and q."""
        stream = as_stream(stream, argument="stream")
        q = self.encode(inputs, training=training, seed=stream)
        p = self.generative.given(q.batch, training)
        # A row that has nothing has no loss, whatever the prior and the objective make of its posterior, N(0, I).
        terms = tf.nest.map_structure(lambda x: tf.where(q.count > 0.0, x, 0.0), self.objective(q, p, stream))
        losses = [*q.losses, *p.losses, weight_losses(self)]
        return terms._replace(loss=terms.loss + tf.add_n(losses)), q

    def predict(self, x: Inputs, batch_size: int | None = None, *args, **kwargs) -> dict[str, np.ndarray]:
        """Reconstruct, as `keras.Model.predict`: {name: reconstruction mean}, NumPy arrays [N, E], see `call`.

        Raises:
            ValueError: for inputs that do not fit the model, or a model whose weights are not finite.
        """
        arguments.check_data(x)
        check_weights(self)
        x = self.checked_rows(x, every_row=True)
        if isinstance(x, Rows):
            x, batch_size = x.dataset(batch_size or BATCH_SIZE), None
        return super().predict(x, batch_size, *args, **kwargs)

    # ---- errors before the work

    @property
    def specs(self) -> dict[str, Spec]:
        """The shape and dtype of each modality's input: {name: `inputs.Spec`}."""
        return {
            name: Spec(shape, self.decoders[name].likelihood.x_dtype, self.encoders[name].cells)
            for name, shape in self.event_shapes.items()
        }

    def checked_rows(self, x: Any, every_row: bool = False) -> Any:
        """Return a dict of arrays as `Rows`, after a check of all its values; any other x unchanged."""
        if not isinstance(x, dict):
            return x
        arrays = read_arrays(x, self.specs)
        if any(map(is_symbolic, arrays.values())):
            return arrays
        check_not_empty(arrays)
        supports = {name: decoder.likelihood.check for name, decoder in self.decoders.items()}
        check_values(arrays, self.specs, every_row, None if every_row else supports)
        return Rows.of(arrays)

    def checked_batch(self, x: Any) -> Any:
        """Return a dict of arrays after the checks of `checked_rows`."""
        rows = self.checked_rows(x)
        return rows[:] if isinstance(rows, Rows) else rows

    def check_rows(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs as a dict of NumPy arrays, or of tensors in a graph, after checks: every row has something."""
        arrays = dense(read_arrays(inputs, self.specs))
        if not any(map(is_symbolic, arrays.values())):
            check_values(arrays, self.specs)
        return arrays

    def check_name(self, argument: str, name: str | None) -> None:
        if name is not None and not (isinstance(name, str) and name in self.modalities):
            raise ValueError(f"`{argument}` must be one of {list(self.modalities)} or None. Received: {name!r}")
