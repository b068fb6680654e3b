"""The joint posterior layer: a tfd.Mixture that equals the paper's definition, with any rows missing."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
import tensorflow_probability as tfp

import tf_mopoe as mopoe

tfd = tfp.distributions
NAMES = ("a", "b", "c")
FAMILIES = ["powerset", "unimodal", "full", [("a", "b"), ("c",)]]


def random_experts(names=NAMES, rows=4, latent_dim=3, seed=0):
    rng = np.random.default_rng(seed)
    values = {
        name: (
            rng.normal(size=(rows, latent_dim)).astype(np.float32),
            np.exp(rng.normal(size=(rows, latent_dim))).astype(np.float32),
        )
        for name in names
    }
    return values, {name: tfd.MultivariateNormalDiag(*pair) for name, pair in values.items()}


AVAILABLE = {"a": np.array([1, 1, 0, 0], bool), "b": np.array([1, 0, 1, 0], bool), "c": np.array([1, 0, 0, 1], bool)}


@pytest.mark.parametrize("prior", ["full", "all", "none"])
@pytest.mark.parametrize("family", FAMILIES)
def test_log_prob_equals_the_definition_in_every_row_with_missing_modalities(family, prior):
    values, experts = random_experts()
    layer = mopoe.MixtureOfProducts(family, prior, modalities=NAMES)
    q = layer(experts, AVAILABLE)
    assert isinstance(q, tfd.Mixture)
    z = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    subsets = {"powerset": reference.powerset(NAMES), "unimodal": [(n,) for n in NAMES], "full": [NAMES]}
    for row in range(4):
        present = [name for name in NAMES if AVAILABLE[name][row]]
        listed = subsets[family] if isinstance(family, str) else family
        parts = reference.components(values, row, present, listed, NAMES, prior)
        # atol: a log density near 0 is a difference of terms near 1
        expected = reference.mixture_log_density(z[row], parts)
        np.testing.assert_allclose(q.log_prob(z)[row], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(q.mean()[row], sum(w * loc for w, loc, _ in parts), rtol=1e-5, atol=1e-6)


def test_the_batched_parameters_and_the_mixture_are_the_same():
    _, experts = random_experts()
    layer = mopoe.MixtureOfProducts(modalities=NAMES)
    components = layer.joint(layer.stack(experts, AVAILABLE))
    weights, loc, scale = components.weights, components.loc, components.scale
    q = layer(experts, AVAILABLE)
    z = tf.random.normal([4, 3])
    np.testing.assert_allclose(q.cat.probs_parameter(), weights, rtol=1e-6)
    for s, component in enumerate(q.components):
        np.testing.assert_allclose(component.mean(), loc[:, s], rtol=1e-6)
        np.testing.assert_allclose(component.stddev(), scale[:, s], rtol=1e-6)
    np.testing.assert_allclose(components.log_prob(z), q.log_prob(z), rtol=1e-5)
    np.testing.assert_allclose(np.sum(weights, axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_modality_masked_for_all_rows_equals_one_left_out(family):
    _values, experts = random_experts()
    layer = mopoe.MixtureOfProducts(family, modalities=NAMES)
    masked = layer(experts, {"b": np.zeros(4, bool)})
    left_out = layer({name: experts[name] for name in ("a", "c")})
    z = tf.random.normal([4, 3])
    np.testing.assert_allclose(masked.log_prob(z), left_out.log_prob(z), rtol=1e-5)
    for get in (layer.product, lambda *a: layer.maximal_components(layer.stack(*a)).distribution()):
        np.testing.assert_allclose(
            get(experts, {"b": np.zeros(4, bool)}).log_prob(z),
            get({name: experts[name] for name in ("a", "c")}, None).log_prob(z),
            rtol=1e-5,
        )


def test_product_is_the_largest_component():
    values, experts = random_experts()
    layer = mopoe.MixtureOfProducts(modalities=NAMES)
    product = layer.product(experts, AVAILABLE)
    for row in range(4):
        present = [name for name in NAMES if AVAILABLE[name][row]]
        expected = reference.product(
            [values[n][0][row] for n in present], [values[n][1][row] for n in present], with_prior=len(present) == 3
        )
        np.testing.assert_allclose(product.mean()[row], expected[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(product.stddev()[row], expected[1], rtol=1e-5)
    pairs = mopoe.MixtureOfProducts([("a",), ("b",), ("c",), ("a", "b")], modalities=NAMES)
    weights = pairs.maximal_components(pairs.stack(experts, AVAILABLE)).weights
    np.testing.assert_allclose(weights, [[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])


@pytest.mark.parametrize("rule", ["full", "all", "none", "conjunctive"])
def test_the_product_of_one_modality_is_that_of_the_definition(rule):
    values, experts = random_experts(("b",))
    layer = mopoe.MixtureOfProducts("full", rule, modalities=NAMES)
    have = np.array([1, 0, 1, 1], bool)
    q = layer.product(experts, {"b": have})
    loc, scale = (x.astype(np.float64) for x in values["b"])
    precision = scale**-2.0 + (rule in ("all", "conjunctive"))
    expected = np.where(have[:, None], (loc * scale**-2.0 / precision, precision**-0.5), ([[0.0]], [[1.0]]))
    np.testing.assert_allclose((q.loc, q.stddev()), expected, rtol=1e-6)


def test_the_prior_rule_of_a_subclass_holds_for_one_modality():
    class Twice(mopoe.pooling.Product):
        def prior_power(self, membership, available):
            return tf.fill(tf.shape(membership)[:-1], 2.0)

    values, experts = random_experts(("b",))
    q = mopoe.MixtureOfProducts(modalities=NAMES, pooling=Twice()).product(experts)
    np.testing.assert_allclose(q.stddev(), (values["b"][1] ** -2.0 + 2.0) ** -0.5, rtol=1e-6)

    class Half(mopoe.pooling.Product):
        def prior_power(self, membership, available):
            return 0.5 * super().prior_power(membership, available)

    for rule, power in (("all", 0.5), ("none", 0.0)):
        q = mopoe.MixtureOfProducts("full", modalities=NAMES, pooling=Half(rule)).product(experts)
        np.testing.assert_allclose(q.stddev(), (values["b"][1] ** -2.0 + power) ** -0.5, rtol=1e-6)


@pytest.mark.parametrize("rank", [1, 2])
def test_experts_whose_parameters_broadcast(rank):
    values, experts = random_experts(("a", "b"))
    loc, scale = values["a"]
    layer = mopoe.MixtureOfProducts(modalities=NAMES)

    @tf.function(input_signature=[tf.TensorSpec([None, 3]), tf.TensorSpec([None, 3][-rank:])])
    def product(loc, scale):
        q = layer.product(experts | {"a": tfd.MultivariateNormalDiag(loc, -scale)})  # a scale may have any sign
        return q.loc, q.stddev()

    expected = layer.product(experts | {"a": tfd.MultivariateNormalDiag(loc, np.broadcast_to(scale[0], loc.shape))})
    result = product(loc, scale[:1] if rank == 2 else scale[0])
    np.testing.assert_allclose(result, (expected.loc, expected.stddev()), rtol=1e-6)


def test_a_row_with_nothing_has_the_prior():
    _, experts = random_experts()
    nothing = {name: np.zeros(4, bool) for name in NAMES}
    for family in FAMILIES:
        q = mopoe.MixtureOfProducts(family, modalities=NAMES)(experts, nothing)
        prior = tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3))
        z = tf.random.normal([4, 3])
        np.testing.assert_allclose(q.log_prob(z), prior.log_prob(z), rtol=1e-5)


def test_it_works_in_a_graph_and_samples_from_its_density():
    _, experts = random_experts(rows=1)
    layer = mopoe.MixtureOfProducts(modalities=NAMES)
    sample = tf.function(lambda: layer(experts).sample(20000, seed=1))()[:, 0]
    q = layer(experts)
    error = 5.0 * np.std(sample, axis=0) / np.sqrt(20000)  # 5 standard errors
    assert np.all(np.abs(np.mean(sample, axis=0) - q.mean()[0]) < error)


def test_config_round_trip():
    layer = mopoe.MixtureOfProducts([("a",), ("a", "c")], "all", modalities=NAMES)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (copy.subsets, copy.prior_expert, copy.modalities) == ([("a",), ("a", "c")], "all", NAMES)


def test_errors_name_what_was_expected_and_received():
    _, experts = random_experts()
    with pytest.raises(ValueError, match="`prior_expert` must be one of 'full', .*'conjunctive'. Received: .*'some'"):
        mopoe.MixtureOfProducts(prior_expert="some")
    with pytest.raises(
        ValueError, match="`num_components` must be an integer, 1 or more. Received: num_components=True"
    ):
        mopoe.MixtureOfProducts(num_components=True)
    assert mopoe.MixtureOfProducts(max_components=np.int64(5)).get_config()["max_components"] == 5
    with pytest.raises(ValueError, match="`subsets` must be one of .*Received: subsets='everything'"):
        mopoe.MixtureOfProducts("everything")
    with pytest.raises(ValueError, match=r"\['a', 'b'\].*Received: \['a', 'b', 'c'\], in which \['c'\] are unknown"):
        mopoe.MixtureOfProducts(modalities=("a", "b"))(experts)
    with pytest.raises(ValueError, match="subset.*'x'.*unknown"):
        mopoe.MixtureOfProducts([("x",)], modalities=NAMES)
    _, other = random_experts(latent_dim=5)
    with pytest.raises(ValueError, match="same latent size. Received: {'a': 3, 'b': 5}"):
        mopoe.MixtureOfProducts()({"a": experts["a"], "b": other["b"]})
    layer = mopoe.MixtureOfProducts(modalities=NAMES)
    with pytest.raises(ValueError, match="already joins"):
        layer.bind(("x", "y"))


def test_a_name_alone_is_the_subset_of_it():
    layer = mopoe.MixtureOfProducts(["image", ("image", "word")])
    assert layer.subsets == [("image",), ("image", "word")]
