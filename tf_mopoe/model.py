"""The model: wires encoders, joint posterior, decoders and objective. It knows no data set, no disk and no plot."""

import re

import keras
import numpy as np
import tensorflow as tf

from tf_mopoe import arguments, config_checks, freezing, sampling
from tf_mopoe import inputs as reading
from tf_mopoe.checks import check_count
from tf_mopoe.layers import mixture_of_products
from tf_mopoe.layers.decoder import weights_of_decoder
from tf_mopoe.names import plain_name
from tf_mopoe.objectives import ELBO
from tf_mopoe.posterior import Encoded
from tf_mopoe.private import Private
from tf_mopoe.saving import Saved
from tf_mopoe.training import BoundTrained


@keras.saving.register_keras_serializable(package="tf_mopoe")
class MultimodalVAE(Saved, BoundTrained):
    """A variational autoencoder of several modalities, any of which may be missing in any row.

    Inputs are dicts: `{name: x [B, E]}`, floating dtype, and optionally `has_<name>`, bool [B], False in the rows that
    lack the modality (which may hold anything there, NaN included). A modality that is not in the dict is missing for
    all rows. Zeros stand in for missing rows, add nothing to any term and no gradient; a network whose rows see each
    other in training (batch normalisation) does see those zeros.

    The model is built when it is made: the decoders tell the shape of each modality.

    Args:
        encoders: {name: GaussianEncoder}, all with the same `latent_dim`. The names' order is that of the experts.
        decoders: {name: Decoder}, of the same names.
        joint_posterior: "mopoe" (default; Sutter et al. 2021), "mvae" (Wu & Goodman 2018: the product of all), "mmvae"
            (Shi et al. 2019: the mixture of the single ones), "mmjsd" (Sutter et al. 2020: of these and the prior), "mvtcae"
            (Hwang et al. 2021: the product without prior), a `MixtureOfProducts` layer, or a `JointEncoder`.
        objective: what is minimised, one of `tf_mopoe.objectives`; default `ELBO()`.
        reconstruction_weights: weight of each modality's reconstruction term. "dimension": the largest modality's number
            of variables over this one's (Sutter et al. 2021, appendix); None (default): all 1; or {name: float}.
        private_beta: weight of the KL of private latent variables (`GaussianEncoder(private_dim=P)`) in the loss.
            This, `reconstruction_weights` and the float attributes of `objective` may be assigned during the training,
            as in `model.objective.beta = 2.0` in a callback; or be scalar variables (`tf.Variable`, `keras.Variable`).
        seed: int, of the draws in training and evaluation. Default: a new one, from Python's `random` (so that
            `keras.utils.set_random_seed` sets it).

    Raises:
        ValueError: if encoders and decoders do not fit each other, or an argument is not one of the above.
    """

    def __init__(
        self,
        encoders,
        decoders,
        joint_posterior="mopoe",
        objective=None,
        reconstruction_weights=None,
        private_beta=1.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**{"autocast": False} | kwargs)
        arguments.check_parts(encoders, decoders)
        self.modalities = tuple(encoders)
        # By name: weights go by their order, and have to fit a model that names the same modalities in another one.
        self.encoders = dict(sorted(encoders.items()))
        self.decoders = dict(sorted(decoders.items()))
        self.latent_dim = next(iter(encoders.values())).latent_dim
        self.objective = ELBO() if objective is None else objective
        config_checks.check_objective(self.objective)
        self.base_seed = sampling.as_seed(seed).numpy()
        self.seed = int(self.base_seed[0]) if seed is None else int(seed)
        self.mixture = mixture_of_products.from_name(joint_posterior)
        self.mixture.bind(self.modalities, next(iter(encoders.values())).density)
        self.mixture.check_latent_dim(self.latent_dim)
        self.private = Private({name: encoder.private_dim for name, encoder in encoders.items()}, private_beta)
        self.private.make_live()
        self.build_parts()
        self.set_reconstruction_weights(reconstruction_weights)
        self.make_training_state()
        freezing.hand_down(self)
        config_checks.check_parts(self.layer_parts(), lambda parts: MultimodalVAE(**parts))

    def build_parts(self):
        self.event_shapes = {}
        for part in ("encoder", "decoder"):
            for name in self.modalities:
                layer = getattr(self, part + "s")[name]
                if re.fullmatch(r"(gaussian_en|de)coder(_\d+)?", layer.name):  # not a name that the user gave
                    layer.name = f"{plain_name(name)}_{part}"
        for name in self.modalities:
            decoder = self.decoders[name]
            shape = (None, self.latent_dim + self.private.sizes[name])
            try:
                if not decoder.built:
                    decoder.build(shape)
            except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
                raise ValueError(
                    f"decoders[{name!r}] must take the latent variables, shared and private, shape {shape}. "
                    f"Received: {error}"
                ) from error
            self.event_shapes[name] = decoder.event_shape
        for name in self.modalities:
            encoder = self.encoders[name]
            shape = (None, *self.event_shapes[name])
            try:
                if not encoder.built:
                    encoder.build(shape)
            except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
                raise ValueError(
                    f"encoders[{name!r}] must take what decoders[{name!r}] makes, shape {shape}. Received: {error}"
                ) from error
        self.mixture.build_for(self.event_shapes)
        self.built = True

    def build(self, input_shape=None):
        """Nothing is left to do: all parts are built when the model is made."""

    # ---- from inputs to distributions

    def encode(self, inputs, training=False):
        """The given modalities, `Encoded`: experts, who has them, their x with zeros where missing, private posteriors."""
        reading.check(inputs, self.event_shapes)
        x, available = reading.read(inputs, self.event_shapes)
        pairs = {name: self.encoders[name].both(x[name], training=training) for name in x}
        private = {name: own for name, (_, own) in pairs.items() if own is not None}
        return Encoded({name: shared for name, (shared, _) in pairs.items()}, available, x, private)

    def decode(self, z, to=None, private=None):
        """The mean of p(x | z), z [B, D]: {name: [B, E]}, or one tensor if `to` names a modality.

        `private`: {name: w [B, P]} of the private latent variables; the prior's mean for those that are not named.
        """
        self.check_name("to", to)
        w = {name: (private or {}).get(name) for name in self.modalities}
        if to is None:
            return {name: self.decoders[name](self.private.join(name, z, w[name])).mean() for name in self.modalities}
        return self.decoders[to](self.private.join(to, z, w[to])).mean()

    def joint_posterior(self, inputs, seed=None):
        """q(z | X), the mixture over the subsets of the modalities that are given: `tfd.Mixture`, [B] x [D].

        A subset that a row cannot form has weight 0 in that row. Where the subsets are too many (`MixtureOfProducts`), the
        mixture is that of some, drawn with `seed` (int; default: a new one).

        Raises:
            ValueError: for inputs that do not fit the model, a row that has nothing, NaN in a row that is present.
        """
        self.check_rows(inputs)
        return self.mixture.components(*self.encode(inputs)[:3], seed=sampling.as_seed(seed)).distribution()

    def subset_posterior(self, inputs):
        """The product of all the experts that each row has: `tfd.MultivariateNormalDiag`, [B] x [D].

        The prior expert joins by the joint posterior's rule. Raises as `joint_posterior`.
        """
        self.check_rows(inputs)
        return self.mixture.product(*self.encode(inputs)[:3])

    def call(self, inputs, training=False):
        """{name: mean of p(x | z) [B, E]} of every modality, z the mean of the subset posterior.

        (Of the joint posterior, where experts have no product: Laplace.)
        """
        encoded = self.encode(inputs, training=training)
        return self.decode(self.mixture.center(*encoded[:3]), private=self.private.means(encoded))

    # ---- what it is used for

    def translate(self, inputs, to=None, seed=None):
        """Makes modalities from those that are given, through one sample z a row.

        z is drawn from the joint posterior's largest components that the row can form: for "mopoe" and "mvae" the
        product of all it has, for "mmvae" one of its experts. Private latent variables come from a given modality's own
        posterior, those of the others from their prior.

        Args:
            inputs: dict of one or more modalities, with or without flags.
            to: name of the modality to make, or None (default) for all of them, the given ones included.
            seed: int; the same seed gives the same z. Default: a new one.

        Returns:
            The mean of p(x | z): tensor [B, E], or {name: tensor} if `to` is None.

        Raises:
            ValueError: for inputs that do not fit the model, a row that has nothing, NaN in a row that is present, or a
                `to` that is not a modality.
        """
        self.check_name("to", to)
        self.check_rows(inputs)
        z, private = self.draw(self.encode(inputs), sampling.as_seed(seed))
        return self.decode(z, to, private)

    def draw(self, encoded, seed):
        """What `translate` decodes, of an `Encoded`: z [B, D], and {name: w [B, P]} of private latent variables."""
        z = self.mixture.largest(*encoded[:3]).sample(seed)
        return z, self.private.draw(encoded, tf.shape(z)[:1], seed)

    def generate(self, num_samples, seed=None):
        """Makes `num_samples` rows of every modality from the prior: {name: mean of p(x | z), [num_samples, E]}.

        Raises:
            ValueError: unless `num_samples` is a positive integer and `seed` an integer or None.
        """
        num_samples = check_count("num_samples", num_samples)
        seed = sampling.as_seed(seed)
        z = self.mixture.density.noise([num_samples, self.latent_dim], seed)
        return self.decode(z, private=self.private.draw(NOTHING, [num_samples], seed))

    def log_likelihood(self, inputs, num_samples=64, seed=None, given=None):
        """Importance-weighted estimate of log p(X) of what each row has, in nats: [B].

            log 1/K sum{ p(X | z[k]) p(z[k]) / q(z[k] | X) : k },   z[1..K] from q, stratified over its components

        with the whole mixture's density in the denominator (Burda et al. 2016, eq. 8; Shi et al. 2019, eq. 3). Lower than
        log p(X) in expectation, and closer with larger K. Reconstruction weights and beta play no part.

        Args:
            inputs: dict of one or more modalities, with or without flags.
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
        self.check_rows(inputs)
        if given is not None:
            arguments.check_given(given, inputs, [name for name in self.modalities if name in inputs])
        encoded, seed = self.encode(inputs), sampling.as_seed(seed)
        if given is None:
            components = self.mixture.components(*encoded[:3], seed)
        else:
            components = self.mixture.largest(*encoded.of(given)[:3])
            encoded = encoded._replace(private=encoded.of(given).private)
        return self.importance_weighted(components, encoded, num_samples, seed)

    def importance_weighted(self, components, encoded, num_samples, seed):
        """`log_likelihood` [B] by K samples from `Components`, of what `encode` read; seed int32 [2]."""
        z = components.samples(num_samples, seed)  # [K, B, D]
        log_weights = []
        sizes = parts_of(z)
        for part, own_seed in zip(tf.split(z, sizes, axis=0), tf.unstack(tf.random.split(seed, len(sizes)))):
            w = self.private.draw(encoded, tf.shape(part)[:-1], own_seed)  # part [k, B, D]
            terms = self.log_likelihood_terms(part, encoded, w)
            log_weight = components.prior_log_prob(part) - components.log_prob(part) + sum(terms.values())
            log_weights.append(log_weight + self.private.log_ratio(encoded, w))
        return tf.reduce_logsumexp(tf.concat(log_weights, axis=0), axis=0) - float(np.log(num_samples))

    # ---- what objectives and estimates are made of

    def log_likelihood_terms(self, z, encoded, private=None, training=False, frozen=False):
        """{name: log p(x | z)}, [..., B] nats, of the modalities of `encoded`; 0 where a row does not have it.

        Args:
            z: [..., B, D]; the decoders see all leading axes as one.
            encoded: `Encoded`, of which x and available are read.
            private: {name: w [..., B, P]}.
            frozen: whether gradients stop before the decoders' weights.
        """
        terms = {}
        shape = tf.shape(z)[:-1]
        for name, x in encoded.x.items():
            joined = self.private.join(name, z, (private or {}).get(name))
            flat = tf.reshape(joined, [-1, joined.shape[-1]])
            if len(z.shape) > 2:
                x = tf.broadcast_to(x, tf.concat([shape, tf.shape(x)[1:]], axis=0))
                x = tf.reshape(x, [-1, *self.event_shapes[name]])
            have = tf.reshape(tf.broadcast_to(encoded.available[name], shape), [-1])
            with weights_of_decoder(self.decoders[name], frozen):
                likelihood = self.decoders[name](flat, training=training)
            # The mean where x is missing: zero need not be in the support, and 0 * infinity is NaN in the gradient.
            x = tf.where(reading.over(have, x), x, tf.stop_gradient(likelihood.mean()))
            terms[name] = tf.reshape(tf.where(have, likelihood.log_prob(x), 0.0), shape)
        return terms

    # ---- errors before the work

    def check_rows(self, inputs):
        reading.check(inputs, self.event_shapes)
        if tf.executing_eagerly():
            reading.check_values(inputs, self.event_shapes)

    def check_name(self, argument, name):
        if name is not None and not (isinstance(name, str) and name in self.modalities):
            raise ValueError(f"`{argument}` must be one of {list(self.modalities)} or None. Received: {name!r}")


NOTHING = Encoded({}, {}, {}, {})


def parts_of(z, rows=4096):
    """Sizes of the parts in which K samples are decoded, about `rows` rows at a time: z [K, B, D] -> ints summing to K."""
    size = max(1, rows // max(1, z.shape[1] or rows))
    whole, rest = divmod(z.shape[0], size)
    return [size] * whole + [rest] * (rest > 0)
