"""Files: what fails does so before the training, by name; weights go to the modality of their name; other ways to export."""

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import priors
from tf_mopoe.objectives import ELBO, IWAE, Contrastive
from tf_mopoe.objectives.terms import Objective

NAMES = ("word", "sensor")


def two(names, objective=None, likelihood=mopoe.likelihoods.Normal, network=mopoe.networks.mlp_encoder):
    """A model of tables of one size."""
    encoders = {name: mopoe.GaussianEncoder(network(5, (4,)), 3) for name in names}
    decoders = {name: mopoe.Decoder(mopoe.networks.mlp_decoder(5, 3, (4,)), likelihood()) for name in names}
    return mopoe.MultimodalVAE(encoders, decoders, objective=objective, seed=0)


def rows(names, count=8):
    return {name: np.random.default_rng(0).normal(size=(count, 5)).astype(np.float32) for name in names}


# ---- configs that come back, or fail before the training


@keras.saving.register_keras_serializable(package="test_saving")
class Sum(Objective):
    """A list as argument, and an attribute that is none."""

    def __init__(self, objectives, powers=(1.0, 2.0)):
        self.objectives = list(objectives)
        self.powers = list(powers)
        self.total = sum(powers)

    def __call__(self, q, log_likelihood, weights, seed):
        return self.objectives[0](q, log_likelihood, weights, seed)


@keras.saving.register_keras_serializable(package="test_saving")
class Annealed(ELBO):
    """Hands on what it does not know."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate


@pytest.mark.parametrize(
    "objective",
    [
        Sum([ELBO(2.0), IWAE(3)]),
        Annealed(0.5, beta=2.0, kl="mixture"),
        Contrastive(Sum([ELBO(keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0))], (3.0,)), 0.5),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_objectives_of_lists_and_more_attributes_come_back(objective, tmp_path):
    model = two(NAMES, objective)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").objective
    assert keras.saving.serialize_keras_object(loaded) == keras.saving.serialize_keras_object(objective)
    assert type(loaded) is type(objective) and vars(loaded).keys() == vars(objective).keys()


class Weighted(ELBO):
    def __init__(self, weighting, **kwargs):
        super().__init__(**kwargs)
        self.weighting = weighting


class Forgetful(ELBO):
    def __init__(self, rate=1.0):
        super().__init__()
        self.twice = 2.0 * rate


class Doubling(ELBO):
    def __init__(self, rate=1.0):
        super().__init__()
        self.rate = 2.0 * rate


def with_an_attribute_from_outside():
    objective = ELBO()
    objective.extra = 3.0
    return objective


@pytest.mark.parametrize(
    "objective",
    [
        lambda: Weighted(lambda step: step),
        Forgetful,
        Doubling,
        with_an_attribute_from_outside,
        lambda: lambda q, log_likelihood, weights, seed: ELBO()(q, log_likelihood, weights, seed),
        lambda: Sum([ELBO(), object()]),
    ],
    ids=["lambda argument", "argument not kept", "argument changed", "attribute from outside", "lambda", "no config"],
)
def test_objectives_that_would_not_come_back_fail_in_the_constructor(objective):
    with pytest.raises(ValueError, match="`objective` must be made again by its class from its config.*Received"):
        two(NAMES, objective())


class Unkept(keras.layers.Layer):
    """Its config lacks the argument."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def call(self, x):
        return x[:, : self.units]

    def get_config(self):
        return super().get_config()


class Shrinking(keras.layers.Layer):
    """Comes back with a variable of another shape."""

    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units))
        self.built = True

    def call(self, x):
        return tf.matmul(x, self.kernel)

    def get_config(self):
        return super().get_config()


class NoConfig(keras.layers.Layer):
    def __init__(self, something, **kwargs):
        super().__init__(**kwargs)

    def call(self, x):
        return x


@pytest.mark.parametrize("layer", [lambda: Unkept(3), lambda: Shrinking(3), lambda: NoConfig(object())])
def test_layers_that_would_not_come_back_are_named_in_the_constructor_and_not_saved(layer, tmp_path):
    def network(shape, units):
        return keras.Sequential([keras.Input((shape,)), layer()])

    with pytest.warns(UserWarning, match=r"encoders\['word'\] must be made again from the config"):
        model = two(NAMES, network=network)
    with pytest.raises(ValueError, match=r"encoders\['word'\] must be made again from the config"):
        model.save(tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())
    model.save_weights(tmp_path / "w.weights.h5")


class OwnLikelihood(mopoe.likelihoods.Normal):
    pass


class OwnObjective(ELBO):
    pass


def own_activation(x):
    return tf.nn.relu(x)


def own_network(shape, units):
    layers = [keras.layers.Dense(units[0], activation=own_activation)]
    return keras.Sequential([keras.Input((shape,)), *layers])


@pytest.mark.parametrize(
    "kind, text, arguments, custom",
    [
        ("likelihood", r"decoders\['word'\]", {"likelihood": OwnLikelihood}, OwnLikelihood),
        ("objective", "objective", {"objective": OwnObjective()}, OwnObjective),
        ("function", r"encoders\['word'\]", {"network": own_network}, own_activation),
    ],
)
def test_what_is_not_registered_is_named_at_save(kind, text, arguments, custom, tmp_path):
    model = two(NAMES, **arguments)
    with pytest.warns(UserWarning, match=rf"not registered.*custom_objects.*{text}.*{custom.__name__}"):
        model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={custom.__name__: custom})
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one, other)


# ---- weights by name


def test_weights_go_to_the_modality_of_their_name(tmp_path):
    """A model that names them in another order gives the same, from every kind of file and from arrays."""
    model, other = two(("sound", "depth")), two(("depth", "sound"))
    model.save_weights(tmp_path / "model.weights.h5")
    model.save(tmp_path / "model.keras")
    x = rows(("sound",))
    expected = model(x)
    assert np.any(other(x)["sound"] != expected["sound"])
    for read in (
        lambda fresh: fresh.load_weights(tmp_path / "model.weights.h5"),
        lambda fresh: fresh.load_weights(tmp_path / "model.keras"),
        lambda fresh: fresh.set_weights(model.get_weights()),
    ):
        fresh = two(("depth", "sound"))
        read(fresh)
        made = fresh(x)
        for name in ("sound", "depth"):
            np.testing.assert_allclose(made[name], expected[name], rtol=1e-5, atol=1e-6)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.modalities == ("sound", "depth") and list(loaded(x)) == ["sound", "depth"]
    np.testing.assert_array_equal(loaded.translate(x, "depth", seed=3), model.translate(x, "depth", seed=3))


IN_ORDER = {
    "auxiliary priors": {"private_dim": 2},
    "private priors": {"private_dim": 2, "private_prior": priors.LearnedScale()},
    "weighted product": {"joint_posterior": mopoe.MixtureOfProducts("full", pooling=mopoe.pooling.WeightedProduct())},
    "learned weights": {"joint_posterior": mopoe.MixtureOfProducts("unimodal", learned_weights=True)},
    "learned weights of all subsets": {"joint_posterior": mopoe.MixtureOfProducts("powerset", learned_weights=True)},
    "pseudo-inputs": {"prior": priors.PseudoInputs(4)},
    "set encoder": {"joint_posterior": mopoe.SetEncoder("sum", 8)},
}


@pytest.mark.parametrize("part", IN_ORDER)
def test_weights_of_every_part_go_by_the_modalities_names(part):
    """Two models that name their modalities in another order are one with the same weights: densities and posteriors."""

    def make(names, private_dim=0, **kwargs):
        kwargs = {n: type(v).from_config(v.get_config()) if n != "private_dim" else v for n, v in kwargs.items()}
        mlp = mopoe.networks.mlp_encoder, mopoe.networks.mlp_decoder
        encoders = {name: mopoe.GaussianEncoder(mlp[0](4, (5,)), 3, private_dim) for name in names}
        decoders = {name: mopoe.Decoder(mlp[1](4, 3 + private_dim, (5,)), mopoe.likelihoods.Normal()) for name in names}
        return mopoe.MultimodalVAE(encoders, decoders, seed=0, **kwargs)

    names = ("sound", "depth", "air")
    model, other = make(names, **IN_ORDER[part]), make(names[::-1], **IN_ORDER[part])
    rng = np.random.default_rng(0)
    values = [rng.normal(0.0, 0.3, weight.shape) for weight in model.get_weights()]
    for each in (model, other):
        each.set_weights(values)
    inputs = {name: rng.normal(size=(6, 4)).astype(np.float32) for name in names} | {"has_depth": np.arange(6) % 2 == 0}
    one, two = (each.encode(inputs) for each in (model, other))
    np.testing.assert_allclose(one.subset().loc, two.subset().loc, rtol=1e-4, atol=1e-5)
    z = rng.normal(size=(6, 3)).astype(np.float32)
    np.testing.assert_allclose(one.joint.log_prob(z), two.joint.log_prob(z), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.prior.log_prob(z), other.prior.log_prob(z), rtol=1e-4, atol=1e-4)
    for mine, its in ((model.private_priors, other.private_priors), (model.auxiliary_priors, other.auxiliary_priors)):
        for name in mine:
            w = rng.normal(size=(6, 2)).astype(np.float32)
            np.testing.assert_allclose(mine[name].log_prob(w), its[name].log_prob(w), rtol=1e-4, atol=1e-4)


def test_weights_of_other_modalities_are_an_error(tmp_path):
    two(("sound", "depth")).save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match=r"modalities \['lidar', 'radar'\]. Received: \['depth', 'sound'\]"):
        two(("radar", "lidar")).load_weights(tmp_path / "model.weights.h5")


# ---- other ways out


def test_quantize_and_export_say_what_there_is_instead():
    model = two(NAMES)
    with pytest.raises(ValueError, match=r'tf_mopoe.export.tflite_encoders\(model, path, quantization="int8"'):
        model.quantize("int8")
    with pytest.raises(ValueError, match=r"tf_mopoe.export.saved_model\(model, path\)"):
        model.export("path")


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_quantized_network_is_saved_and_loaded(tmp_path):
    model = two(NAMES)
    model.encoders["word"].network.quantize("int8")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = rows(NAMES)
    for name, made in model(x).items():
        np.testing.assert_array_equal(made, loaded(x)[name])


def test_tensorflows_own_saved_model_has_the_signature_of_predict(tmp_path):
    model = small.model(NAMES)
    tf.saved_model.save(model, str(tmp_path / "model"))
    signature = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    inputs = small.rows(3, NAMES) | {"has_word": np.array([True, False, True]), "has_sensor": np.ones(3, bool)}
    made = signature(**{name: tf.constant(x) for name, x in inputs.items()})
    expected = model.predict(inputs, verbose=0)
    for name in NAMES:
        np.testing.assert_allclose(made[name], expected[name], rtol=1e-5, atol=1e-6)


def test_a_model_saved_before_its_first_step_loads_without_a_warning(tmp_path, recwarn):
    small.compiled(NAMES).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not [warning for warning in recwarn if "Skipping variable loading" in str(warning.message)]
    loaded.fit(small.rows(8, NAMES), batch_size=8, verbose=0)
