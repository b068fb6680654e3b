"""What is exact on one processor is exact on another: the prior of a row that has nothing, and the KL to the prior."""

import numpy as np
import perturbed
import pytest
import tables
import tensorflow as tf

from tf_mopoe import export, families, objectives, rounding, sampling

CASES = {
    "mopoe": objectives.ELBO(),
    "mvae": objectives.MVAE(),
    "mmjsd": objectives.MMJSD(),
    "mvtcae": objectives.MVTCAE(),
}


@pytest.fixture
def other_processor():
    with perturbed.operations():
        assert tf.math.rsqrt(tf.ones([])) < 1.0
        yield


def of_nothing(names):
    """Three rows that have no modality at all."""
    rows = {name: np.full((3, 2), np.nan, np.float32) for name in names}
    return rows | {"has_" + name: np.zeros(3, bool) for name in names}


@pytest.mark.parametrize("method", CASES)
def test_a_row_with_nothing_has_the_prior_and_a_kl_of_0(other_processor, method):
    model = tables.model(2, joint_posterior=method, objective=CASES[method])
    for eagerly in (True, False):
        model.compile(run_eagerly=eagerly)
        found = model.evaluate(of_nothing(model.modalities), verbose=0, return_dict=True)
        assert found["kl"] == found["loss"] == 0.0


def test_an_export_gives_the_prior_to_a_row_with_nothing(other_processor, tmp_path):
    model = tables.model(2)
    path = export.saved_model(model, tmp_path / "model", num_samples=1)
    signatures = tf.saved_model.load(str(path)).signatures
    inputs = {name: tf.constant(value) for name, value in of_nothing(model.modalities).items()}
    for signature in ("encode", "joint_posterior"):
        answer = signatures[signature](**inputs)
        np.testing.assert_array_equal(answer["loc"], 0.0)
        np.testing.assert_array_equal(answer["scale"], 1.0)


@pytest.mark.parametrize("family", families.FAMILIES.values(), ids=families.FAMILIES)
@pytest.mark.parametrize("other", [False, True])
def test_no_kl_to_the_prior_is_negative_and_the_priors_own_is_0(request, family, other):
    if other:
        request.getfixturevalue("other_processor")
    rng = np.random.default_rng(0)
    away = 10.0 ** rng.uniform(-8, 0, size=(2000, 1)) * rng.normal(size=(2000, 4))
    loc, scale = (0.1 * away).astype(np.float32), np.exp(away[::-1]).astype(np.float32)
    assert np.min(family.kl_to_standard(loc, scale)) >= 0.0
    np.testing.assert_array_equal(family.kl_to_standard(tf.zeros([3, 4]), tf.ones([3, 4])), 0.0)


def test_what_is_exact_at_1_has_its_own_gradients(other_processor):
    x = tf.constant([0.25, 1.0, 4.0])
    for function, power in ((rounding.rsqrt, -0.5), (rounding.reciprocal, -1.0)):
        with tf.GradientTape() as second:
            second.watch(x)
            with tf.GradientTape() as first:
                first.watch(x)
                y = function(x)
            slope = first.gradient(y, x)
        assert float(y[1]) == 1.0
        np.testing.assert_allclose(y, x.numpy() ** power, rtol=4e-7)
        np.testing.assert_allclose(slope, power * x.numpy() ** (power - 1.0), rtol=1e-6)
        np.testing.assert_allclose(
            second.gradient(slope, x), power * (power - 1.0) * x.numpy() ** (power - 2.0), rtol=1e-5
        )


def test_a_component_without_weight_is_never_drawn_however_a_quotient_is_rounded(other_processor):
    """The largest u that there is, 1 - 2^-24, for weights that hardly sum to 1 and end with a 0."""
    for count in range(1, 60):
        weights = np.r_[np.full(count, 1.0 / count), 0.0].astype(np.float32)[None]
        index = sampling.inverse_cdf(tf.constant(weights), tf.constant([0.0, 1.0 - 2.0**-24])[:, None])
        np.testing.assert_array_equal(index[:, 0], [0, count - 1])
