"""The conflict between the experts of a row, on models where it is known and on digits where it is seen."""

import itertools
import pathlib

import keras
import numpy as np
import pytest
import small
from linear_gaussian import LATENT, NOISE, exact, linear_gaussian

import tf_mopoe as mopoe
from tf_mopoe.evaluation import expert_conflict

THREE = {"a": 3, "b": 5, "c": 4}


def test_with_true_posteriors_it_is_the_pointwise_mutual_information_negated():
    model, weights, inputs = linear_gaussian(THREE, perfect=True)
    for encoder in model.encoders.values():  # W has orthogonal rows: the posterior's precision is 1 / NOISE^2 + 1
        encoder.loc_head.kernel.assign(np.eye(LATENT) / (1.0 + NOISE**2))
        encoder.log_variance_head.bias.assign(np.full(LATENT, -np.log(1.0 + NOISE**-2)))
    apart = {name: exact(weights, inputs, [name]) for name in THREE}
    pairs = [apart[a] + apart[b] - exact(weights, inputs, [a, b]) for a, b in itertools.combinations(THREE, 2)]
    np.testing.assert_allclose(expert_conflict(model, inputs, batch_size=7), np.mean(pairs, axis=0), atol=1e-4)
    two = expert_conflict(model, {"b": inputs["b"], "a": inputs["a"]})
    np.testing.assert_allclose(two, pairs[0], atol=1e-4)


def test_it_is_the_loops_mean_over_the_pairs_that_a_row_has():
    model, inputs = small.model(), small.with_missing(small.rows(20))
    for encoder in model.encoders.values():
        encoder.loc_head.bias.assign(np.random.default_rng(1).normal(size=4))
    conflict = expert_conflict(model, inputs, batch_size=8)
    q = model.encode(inputs)
    grid = np.linspace(-12.0, 12.0, 4001)
    for row in range(20):
        names = [name for name in model.modalities if q.available[name][row]]
        values = []
        for a, b in itertools.combinations(names, 2):
            value = 0.0
            for d in range(4):  # the integral, by sums over a grid
                density = np.sqrt(2 * np.pi) * np.exp(0.5 * grid**2)  # 1 / p(z)
                for name in (a, b):
                    expert = q.expert(name)
                    loc, scale = float(expert.loc[row, 0, d]), min(float(expert.scale[row, 0, d]), 1.0)
                    density *= np.exp(-0.5 * ((grid - loc) / scale) ** 2) / (np.sqrt(2 * np.pi) * scale)
                value -= np.log(np.sum(density) * (grid[1] - grid[0]))
            values.append(value)
        if len(names) < 2:
            assert np.isnan(conflict[row])
        else:
            np.testing.assert_allclose(conflict[row], np.mean(values), rtol=1e-4, atol=1e-5)
    assert np.isnan(conflict).any() and not np.isnan(conflict).all()
    assert np.isnan(
        expert_conflict(model, {"word": inputs["word"], "has_word": np.ones(20, bool)} | small.rows(20, ("word",)))
    ).all()


def test_words_of_another_digit_stand_out():
    """1,000 test rows, their words mixed: the conflict of picture and word tells the wrong from the right."""
    folder = pathlib.Path(__file__).parents[1] / "saved_models" / "digits"
    model = keras.models.load_model(folder / "model.keras")
    inputs, labels = mopoe.datasets.load_digits(split="test")
    inputs, labels = {name: x[:1000] for name, x in inputs.items()}, labels[:1000]
    order = np.random.default_rng(0).permutation(1000)
    wrong = labels[order] != labels
    mixed = inputs | {"word": inputs["word"][order]}
    areas = {}
    for names in (("image", "word"), ("image", "speech", "word")):
        right, other = (expert_conflict(model, {n: x[n][wrong] for n in names}) for x in (inputs, mixed))
        areas[names] = np.mean(other[:, None] > right)  # the area under the ROC curve
    assert areas["image", "word"] > 0.93  # was 0.952
    # Of three pairs one, picture and speech, is as it was: 0.900
    assert areas["image", "speech", "word"] > 0.87


def test_only_gaussian_experts_have_it():
    network = mopoe.networks.mlp_encoder(7, (4,))
    decoder = mopoe.Decoder(mopoe.networks.mlp_decoder(7, 2, (4,)), mopoe.likelihoods.Normal())
    model = mopoe.MultimodalVAE({"sensor": mopoe.LaplaceEncoder(network, 2)}, {"sensor": decoder})
    with pytest.raises(ValueError, match="`model` must have Gaussian experts. Received: laplace ones"):
        expert_conflict(model, small.rows(3, ("sensor",)))
