"""A linear-Gaussian model whose log p(X) is known, and rows drawn from it."""

import keras
import numpy as np

import tf_mopoe as mopoe

SIZES = {"a": 3, "b": 5}
LATENT, NOISE = 2, 0.7


@keras.saving.register_keras_serializable(package="test")
class Linear(keras.layers.Layer):
    """x -> x @ matrix, fixed."""

    def __init__(self, matrix, **kwargs):
        super().__init__(**kwargs)
        self.matrix = np.asarray(matrix, np.float32)

    def call(self, x):
        return keras.ops.matmul(x, keras.ops.convert_to_tensor(self.matrix))

    def get_config(self):
        return super().get_config() | {"matrix": self.matrix.tolist()}


def linear_gaussian(sizes=None, rows=20, seed=0, perfect=False, **kwargs):
    """x = z W + noise, a modality each; encoders are rough, so that the estimate has work to do.

    With `perfect` experts the product of any of them and the prior is the true posterior: W has orthogonal rows, so that
    it is a Gaussian with a diagonal covariance.
    """
    rng = np.random.default_rng(seed)
    sizes = sizes or SIZES
    weights = {name: rng.normal(size=(LATENT, size)).astype(np.float32) for name, size in sizes.items()}
    if perfect:
        weights = {name: np.ascontiguousarray(np.linalg.qr(w.T)[0].T) for name, w in weights.items()}
    model = mopoe.MultimodalVAE(
        {n: mopoe.GaussianEncoder(Linear(w.T), LATENT) for n, w in weights.items()},
        {n: mopoe.Decoder(Linear(w), mopoe.likelihoods.Normal(NOISE)) for n, w in weights.items()},
        reconstruction_weights="dimension",  # plays no part in log p(X)
        objective=mopoe.objectives.ELBO(beta=3.0),
        **kwargs,
    )
    for name, encoder in model.encoders.items():
        inverse = np.linalg.inv(weights[name] @ weights[name].T + NOISE**2 * np.eye(LATENT))
        # near the true posterior, and wider: the exact one would leave the estimate nothing to do
        encoder.loc_head.kernel.assign(0.9 * inverse)
        encoder.log_variance_head.kernel.assign(np.zeros((LATENT, LATENT)))
        encoder.log_variance_head.bias.assign(np.log(1.5 * NOISE**2 * np.diag(inverse)))
        if perfect:
            encoder.loc_head.kernel.assign(np.eye(LATENT))
            encoder.log_variance_head.bias.assign(np.full(LATENT, 2 * np.log(NOISE)))
    z = rng.normal(size=(rows, LATENT)).astype(np.float32)
    inputs = {n: (z @ w + NOISE * rng.normal(size=(rows, sizes[n]))).astype(np.float32) for n, w in weights.items()}
    return model, weights, inputs


def exact(weights, inputs, names):
    """log N(x; 0, W'W + noise^2 I) of the stacked modalities."""
    w = np.concatenate([weights[name] for name in names], axis=1).astype(float)
    x = np.concatenate([inputs[name] for name in names], axis=1).astype(float)
    covariance = w.T @ w + NOISE**2 * np.eye(w.shape[1])
    quadratic = np.einsum("bi,ij,bj->b", x, np.linalg.inv(covariance), x)
    return -0.5 * (quadratic + np.linalg.slogdet(covariance)[1] + w.shape[1] * np.log(2 * np.pi))
