"""The importance-weighted estimate on a model whose log p(X) is known, and its order in K."""

import keras
import numpy as np
import pytest

import tf_mopoe as mopoe

RNG = np.random.default_rng(0)
SIZES = {"a": 3, "b": 5}
LATENT, NOISE = 2, 0.7


@keras.saving.register_keras_serializable(package="test")
class Linear(keras.layers.Layer):
    """x -> x @ matrix, fixed."""

    def __init__(self, matrix, **kwargs):
        super().__init__(**kwargs)
        self.matrix = matrix

    def call(self, x):
        return keras.ops.matmul(x, keras.ops.convert_to_tensor(self.matrix))


def linear_gaussian():
    """x = z W + noise, a modality each; encoders are rough, so that the estimate has work to do."""
    weights = {name: RNG.normal(size=(LATENT, size)).astype(np.float32) for name, size in SIZES.items()}
    model = mopoe.MultimodalVAE(
        {n: mopoe.GaussianEncoder(Linear(w.T), LATENT) for n, w in weights.items()},
        {n: mopoe.Decoder(Linear(w), mopoe.likelihoods.Normal(NOISE)) for n, w in weights.items()},
        reconstruction_weights="dimension",  # plays no part in log p(X)
        objective=mopoe.objectives.ELBO(beta=3.0),
    )
    for name, encoder in model.encoders.items():
        inverse = np.linalg.inv(weights[name] @ weights[name].T + NOISE**2 * np.eye(LATENT))
        # near the true posterior, and wider: the exact one would leave the estimate nothing to do
        encoder.loc_head.kernel.assign(0.9 * inverse)
        encoder.log_variance_head.kernel.assign(np.zeros((LATENT, LATENT)))
        encoder.log_variance_head.bias.assign(np.log(1.5 * NOISE**2 * np.diag(inverse)))
    z = RNG.normal(size=(20, LATENT)).astype(np.float32)
    inputs = {n: (z @ w + NOISE * RNG.normal(size=(20, SIZES[n]))).astype(np.float32) for n, w in weights.items()}
    return model, weights, inputs


def exact(weights, inputs, names):
    """log N(x; 0, W'W + noise^2 I) of the stacked modalities."""
    w = np.concatenate([weights[name] for name in names], axis=1).astype(float)
    x = np.concatenate([inputs[name] for name in names], axis=1).astype(float)
    covariance = w.T @ w + NOISE**2 * np.eye(w.shape[1])
    quadratic = np.einsum("bi,ij,bj->b", x, np.linalg.inv(covariance), x)
    return -0.5 * (quadratic + np.linalg.slogdet(covariance)[1] + w.shape[1] * np.log(2 * np.pi))


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
    with pytest.raises(ValueError, match="`num_samples` must be a positive integer. Received: num_samples=0"):
        model.log_likelihood(inputs, num_samples=0)
