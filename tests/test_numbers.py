"""Numbers as arguments: NumPy's are taken everywhere, True is refused everywhere."""

import fractions

import numpy as np
import pytest
import small

import tf_mopoe as mopoe
from tf_mopoe import datasets, evaluation, export, networks, objectives

ONE, TWO = np.int64(1), np.int32(2)
network = networks.mlp_encoder(3, ())


def test_numbers_of_numpy_are_numbers(tmp_path):
    encoders = {
        "x": mopoe.GaussianEncoder(networks.mlp_encoder((np.int64(3),), (TWO,)), TWO, private_dim=ONE),
        "y": mopoe.GaussianEncoder(networks.mlp_encoder(np.int16(3), [TWO]), np.int64(2), private_dim=np.uint8(0)),
    }
    decoders = {
        "x": mopoe.Decoder(networks.mlp_decoder(np.int64(3), np.int64(3)), mopoe.likelihoods.Normal(np.float32(0.5))),
        "y": mopoe.Decoder(networks.mlp_decoder(3, TWO), mopoe.likelihoods.Laplace(fractions.Fraction(1, 2))),
    }
    objective = objectives.MVAE(beta=np.float64(0.5), num_subsets=ONE)
    weights = {"x": np.float32(2.0), "y": TWO}
    model = mopoe.MultimodalVAE(encoders, decoders, "mvae", objective, weights, np.float16(0.5), seed=np.int64(3))
    model.compile("sgd")
    x = np.zeros((4, 3), np.float32)
    model.fit({"x": x, "y": x}, verbose=0)
    assert model.generate(TWO, seed=np.uint8(1))["x"].shape == (2, 3)
    assert model.log_likelihood({"x": x}, num_samples=TWO, seed=ONE).shape == (4,)
    model.save(tmp_path / "m.keras")  # JSON knows no numbers of NumPy
    assert export.saved_model(model, tmp_path / "served", version=TWO, num_samples=TWO).name == "2"


@pytest.mark.parametrize(
    "networks_of", [networks.digits, networks.celeba, networks.mnist_svhn_text, networks.polymnist]
)
def test_decoders_of_the_published_networks(networks_of):
    makers = [value for name, value in vars(networks_of).items() if name.endswith("decoder")]
    assert makers
    for maker in makers:
        assert maker(np.int64(2)).input_shape == (None, 2)
        for wrong in (True, 0, 2.0, "2", None):
            with pytest.raises(ValueError, match="`latent_dim` must be an integer, 1 or more. Received: latent_dim="):
                maker(wrong)


@pytest.fixture(scope="module")
def model():
    return small.model()


REFUSED = {
    "latent_dim": lambda value, *_: mopoe.GaussianEncoder(network, value),
    "private_dim": lambda value, *_: mopoe.GaussianEncoder(network, 2, private_dim=value),
    "shape": lambda value, *_: networks.mlp_encoder(value),
    "hidden_units": lambda value, *_: networks.mlp_encoder(3, (value,)),
    "filters": lambda value, *_: networks.polymnist.encoder(value),
    "scale": lambda value, *_: mopoe.likelihoods.Normal(value),
    "beta": lambda value, *_: objectives.ELBO(beta=value),
    "alpha": lambda value, *_: objectives.MVTCAE(alpha=value),
    "num_subsets": lambda value, *_: objectives.MVAE(num_subsets=value),
    "weight": lambda value, *_: objectives.Contrastive(objectives.ELBO(), weight=value),
    "max_components": lambda value, *_: mopoe.MixtureOfProducts(max_components=value),
    "private_beta": lambda value, *_: small.model(private_beta=value),
    "reconstruction_weights": lambda value, *_: small.model(
        reconstruction_weights=dict.fromkeys(small.SHAPES, 1.0) | {"word": value}
    ),
    "seed": lambda value, *_: small.model(seed=value),
    "num_samples": lambda value, model, _: model.generate(value),
    "num_samples of log_likelihood": lambda value, model, _: model.log_likelihood(small.rows(), num_samples=value),
    "version": lambda value, model, path: export.saved_model(model, path / "m", version=value),
    "num_samples of an export": lambda value, model, path: export.saved_model(model, path / "m", num_samples=value),
    "batch_size": lambda value, model, _: evaluation.joint_log_likelihoods(model, small.rows(), batch_size=value),
    "num_train": lambda value, model, _: evaluation.linear_accuracy(
        model, small.rows(), np.arange(12) % 2, small.rows(), np.arange(12) % 2, num_train=value
    ),
    "num_components": lambda value, model, _: evaluation.latent_mixture(model, small.rows(), num_components=value),
    "seed of a loader": lambda value, *_: datasets.load_digits(seed=value),
    "epoch": lambda value, *_: datasets.load_digits(epoch=value),
    "num_rows": lambda value, *_: datasets.pair_by_label({"a": np.arange(3)}, value),
    "batch_size of rows": lambda value, *_: datasets.Rows.of(small.rows()).dataset(value),
}


@pytest.mark.parametrize("argument", REFUSED)
@pytest.mark.parametrize("value", [True, np.True_, -1.5, "1", float("nan"), 1j, [1.0]], ids=str)
def test_what_is_no_such_number_is_refused_by_name(argument, value, model, tmp_path):
    name = argument.split()[0]
    value = (
        [[1.0], "x"] if argument == "scale" and isinstance(value, list) else value
    )  # numbers are one per variable there
    with pytest.raises(ValueError, match=rf"`?{name}(`|\[).* must be .*Received: "):
        REFUSED[argument](value, model, tmp_path)


@pytest.mark.parametrize("argument", ["scale", "beta", "alpha", "weight", "private_beta", "reconstruction_weights"])
def test_an_integer_beyond_all_floats(argument, model, tmp_path):
    with pytest.raises(ValueError, match=rf"`?{argument}(`|\[).* must be .*Received: "):
        REFUSED[argument](10**400, model, tmp_path)
