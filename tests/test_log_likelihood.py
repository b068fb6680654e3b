"""The importance-weighted estimate on a model whose log p(X) is known, and its order in K."""

import os
import subprocess
import sys

import draws
import numpy as np
import pytest
import small
import tensorflow as tf
import tensorflow_probability as tfp
from linear_gaussian import exact, linear_gaussian

tfd = tfp.distributions


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_it_agrees_with_the_closed_form_within_its_standard_error(names):
    model, weights, inputs = linear_gaussian()
    given = {name: inputs[name] for name in names}
    truth = exact(weights, inputs, names)
    repeats = np.stack([model.log_likelihood(given, num_samples=512, seed=s).numpy() for s in range(12)])
    # The estimate of p(X) itself is unbiased: average the exponentials, and compare within 5 standard errors.
    ratio = np.exp(repeats.astype(float) - truth)
    error = ratio.std(axis=0, ddof=1) / np.sqrt(len(ratio))
    assert np.all(np.abs(ratio.mean(axis=0) - 1.0) < 5 * error + 1e-4)
    assert np.mean(np.abs(repeats.mean(axis=0) - truth)) < 0.05


def test_it_grows_with_the_number_of_samples_and_stays_below_the_truth():
    model, weights, inputs = linear_gaussian()
    truth = exact(weights, inputs, ("a", "b")).mean()
    means = [
        np.mean([model.log_likelihood(inputs, num_samples=k, seed=s).numpy().mean() for s in range(20)])
        for k in (1, 4, 16, 128)
    ]
    assert means[0] < means[1] < means[2] < means[3] < truth + 0.02


def test_rows_with_missing_modalities_get_the_likelihood_of_what_they_have():
    model, weights, inputs = linear_gaussian()
    masked = {**inputs, "b": np.full_like(inputs["b"], np.nan), "has_b": np.zeros(20, bool)}
    masked["b"][:10], masked["has_b"][:10] = inputs["b"][:10], True
    estimate = model.log_likelihood(masked, num_samples=2000, seed=0).numpy()
    # 0.2 nats: about 5 standard errors of a single row's estimate at K = 2000
    np.testing.assert_allclose(estimate[:10], exact(weights, inputs, ("a", "b"))[:10], atol=0.2)
    np.testing.assert_allclose(estimate[10:], exact(weights, inputs, ("a",))[10:], atol=0.2)


def test_the_seed_decides_and_samples_of_a_row_are_its_own():
    model, _, inputs = linear_gaussian()
    np.testing.assert_array_equal(model.log_likelihood(inputs, 8, seed=3), model.log_likelihood(inputs, 8, seed=3))
    assert np.any(model.log_likelihood(inputs, 8, seed=3) != model.log_likelihood(inputs, 8, seed=4))
    with pytest.raises(ValueError, match="`num_samples` must be an integer, 1 or more. Received: num_samples=0"):
        model.log_likelihood(inputs, num_samples=0)


@pytest.mark.parametrize("given", [("a",), ("b",), ("a", "b")])
def test_z_may_come_from_some_of_the_modalities_only(given):
    model, weights, inputs = linear_gaussian()
    truth = exact(weights, inputs, ("a", "b"))
    repeats = np.stack([model.log_likelihood(inputs, 1000, seed=s, given=given).numpy() for s in range(12)])
    ratio = np.exp(repeats.astype(float) - truth)  # unbiased for 1, whatever z is drawn from
    error = ratio.std(axis=0, ddof=1) / np.sqrt(len(ratio))
    assert np.all(np.abs(ratio.mean(axis=0) - 1.0) < 5 * error + 1e-4)
    assert np.mean(np.abs(repeats.mean(axis=0) - truth)) < 0.05


@pytest.mark.parametrize("method", ["mopoe", "mvae", "mmvae"])
def test_with_given_z_is_from_what_the_method_translates_from(method):
    model, _, inputs = linear_gaussian(joint_posterior=method)
    for given in (("a",), ("b", "a")):
        values, z = draws.decoded(model, lambda: model.log_likelihood(inputs, 8, seed=3, given=given).numpy())  # noqa: B023
        if method == "mmvae" and len(given) == 2:  # there it is the joint posterior itself
            # their weights are two quotients: some units in the last place
            np.testing.assert_allclose(values, model.log_likelihood(inputs, 8, seed=3), rtol=1e-6)
        else:  # K = 8 draws from one Gaussian: log p(X | z) + log p(z) - log q(z), from the parts
            q = model.subset_posterior({name: inputs[name] for name in given})
            z = np.concatenate(z).reshape(8, 20, 2)
            rows = (np.tile(part, (8, 1))[:, None] for part in (q.loc, q.stddev()))
            draws.assert_drawn_from(z.reshape(160, 2), [1.0], *rows)
            prior = tfd.MultivariateNormalDiag(tf.zeros([2]), tf.ones([2]))
            terms = prior.log_prob(z) - q.log_prob(z)
            for name, decoder in model.decoders.items():
                terms += np.stack([decoder(part).log_prob(inputs[name]) for part in z])
            np.testing.assert_allclose(values, np.log(np.mean(np.exp(terms), axis=0)), rtol=1e-4)


def test_modalities_that_are_not_given_draw_nothing_and_those_that_are_missing_add_nothing():
    model, _, inputs = linear_gaussian()
    absent = {**inputs, "b": np.full_like(inputs["b"], np.nan), "has_b": np.zeros(20, bool)}
    alone = model.log_likelihood({"a": inputs["a"]}, 8, seed=3, given=("a",))
    np.testing.assert_allclose(model.log_likelihood(absent, 8, seed=3, given=("a",)), alone, rtol=1e-5)
    both = model.log_likelihood({**absent, "has_a": np.ones(20, bool)}, 8, seed=3, given=("a", "b"))
    np.testing.assert_allclose(both, alone, rtol=1e-5)


def test_given_that_does_not_fit():
    model, inputs = small.model(), small.rows(6)
    for given in ("image", (), ("smell",), 3):
        with pytest.raises(
            ValueError, match="`given` must be .* one or more of the modalities in `inputs`.*Received: "
        ):
            model.log_likelihood(inputs, given=given)
    with pytest.raises(ValueError, match=r"modalities in `inputs`, \['image'\]. Received: given=\('word',\)"):
        model.log_likelihood({"image": inputs["image"]}, given=("word",))
    flagged = {**inputs, "has_image": np.arange(6) != 2, "has_word": np.arange(6) < 2}
    with pytest.raises(ValueError, match=r"at least one of the `given` modalities \['image', 'word'\].*1 rows.*row 2"):
        model.log_likelihood(flagged, given=("image", "word"))
    assert np.isfinite(model.log_likelihood(flagged, 4, given=("image", "sensor"))).all()


MEMORY = """
import resource

import tables

model, inputs = tables.model(10, latent_dim=512), tables.rows(100, 10)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.log_likelihood(inputs, num_samples=64, seed=0)
print(before / 2**20, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
def test_no_array_has_rows_times_components_times_latent_variables():
    """1,023 components, 6,400 draws of 512 numbers: 13 GB, were the densities formed one by one."""
    pytest.importorskip("resource", reason="needs the resource module of Unix")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", MEMORY], env=environment, capture_output=True, text=True, check=True)
    before, after = map(float, run.stdout.split()[-2:])
    assert after < 2.0, f"{before:.2f} GiB before, {after:.2f} at the most"
