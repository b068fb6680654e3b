"""Clusters of a mixture prior: assignments and pruning against loops, and on clusters that are known."""

import keras
import numpy as np
import pytest
import reference
import small
import tables
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import evaluation
from tf_mopoe.datasets import Rows

CENTERS = np.array([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0]], np.float32)


def model(components=6, **kwargs):
    """Its experts' means are x itself, of two tables of two numbers; the first 3 components are where the rows are."""
    prior = mopoe.priors.Mixture(components, learn_weights=True, learn_scale=False)
    one = tables.model(2, latent_dim=2, prior=prior, **kwargs)
    for encoder in one.encoders.values():
        encoder.loc_head.kernel.assign(tf.eye(2))
        encoder.loc_head.bias.assign(tf.zeros([2]))
    loc = np.random.default_rng(1).normal(size=(components, 2)) * 0.5 + [0.0, -9.0]
    loc[:3] = CENTERS
    prior.loc.assign(loc)
    prior.logits.assign(np.linspace(0.0, 0.5, components))
    return one


def rows(count=60, missing=False):
    rng = np.random.default_rng(0)
    label = np.arange(count) % 3
    inputs = {name: CENTERS[label] + 0.3 * rng.normal(size=(count, 2)).astype(np.float32) for name in ("m0", "m1")}
    return (small.with_missing(inputs) if missing else inputs), label


def shares(one, inputs, row, active):
    """{name: p(c | z)} of the modalities that a row has, and log p(z), by the densities."""
    loc, logits = one.prior.loc.numpy().astype(float), one.prior.logits.numpy().astype(float)
    weights = np.exp(logits[active]) / np.exp(logits[active]).sum()
    result = {}
    for name in ("m0", "m1"):
        if inputs.get("has_" + name, np.ones(99, bool))[row]:
            z = inputs[name][row].astype(float)
            joint = [w * np.exp(reference.normal_log_density(z, loc[c], np.ones(2))) for w, c in zip(weights, active)]
            result[name] = np.array(joint) / sum(joint), np.log(sum(joint))
    return result


def winner(found):
    """The mode of the likeliest, of equals that of the larger sum."""
    likeliest = [int(np.argmax(share)) for share, _ in found.values()]
    total = sum(share for share, _ in found.values())
    return max(set(likeliest), key=lambda c: (likeliest.count(c), total[c]))


@pytest.mark.parametrize("missing", [False, True])
def test_assignments_are_the_mode_over_what_a_row_has(missing):
    one, (inputs, label) = model(), rows(missing=missing)
    found = evaluation.cluster_assignments(one, inputs, batch_size=25)
    np.testing.assert_array_equal(found, label)
    np.testing.assert_array_equal(evaluation.cluster_assignments(one, Rows.of(inputs), batch_size=25), label)
    other, _ = rows()
    other["m1"] = np.roll(other["m1"], 1, axis=0)  # the modalities disagree
    other = small.with_missing(other) if missing else other
    found = evaluation.cluster_assignments(one, other)
    active = np.arange(6)
    for row in range(60):
        assert found[row] == winner(shares(one, other, row, active))


@pytest.mark.parametrize("missing", [False, True])
def test_the_scores_and_what_goes_are_those_of_the_loop(missing):
    one, (inputs, _) = model(objective=mopoe.objectives.ELBO(2.0)), rows(30, missing)
    scores = evaluation.prune_clusters(model(objective=mopoe.objectives.ELBO(2.0)), inputs)
    assert list(scores) == [6, 5, 4, 3, 2]
    active = np.arange(6)
    for number, score in scores.items():
        assert len(active) == number
        values, mass = [], np.zeros(number)
        for row in range(30):
            found = shares(one, inputs, row, active)
            for share, log_prob in found.values():
                entropy = -np.sum(share * np.log(np.maximum(share, 1e-300)))
                values.append(2.0 * entropy / np.log(number) - log_prob / 2.0)
            best = winner(found)
            mass[best] += np.mean([share[best] for share, _ in found.values()])
        np.testing.assert_allclose(score, np.mean(values), rtol=1e-4)
        active = np.delete(active, np.argmin(mass))


def test_what_is_left_are_the_clusters_of_the_rows():
    one, (inputs, label) = model(), rows()
    scores = evaluation.prune_clusters(one, inputs, beta=1.0)
    assert min(scores, key=scores.get) == 3
    weights = tf.exp(one.prior.components()[0]).numpy()
    np.testing.assert_allclose(weights[:3].sum(), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(weights[3:], np.zeros(3))
    np.testing.assert_array_equal(evaluation.cluster_assignments(one, inputs), label)
    again = evaluation.prune_clusters(one, inputs, beta=1.0)  # what is pruned stays so
    assert list(again) == [3, 2]
    z = one.prior.sample(mopoe.streams.as_stream(0), [200]).numpy()
    assert z[:, 1].min() > -6.0  # none of the components that went
    one.compile(keras.optimizers.Lion(1e-3))
    assert np.isfinite(one.fit(inputs, batch_size=30, verbose=0).history["loss"]).all()


def test_beta_is_that_of_the_objective():
    schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 5.0)
    inputs, _ = rows(9)
    for objective in (mopoe.objectives.ELBO(schedule), mopoe.objectives.InfoNCE(mopoe.objectives.ELBO(2.5))):
        one = model(objective=objective)
        one.step.assign(5)
        found = evaluation.prune_clusters(one, inputs)
        assert found == pytest.approx(evaluation.prune_clusters(model(), inputs, beta=2.5), rel=1e-6)


def test_what_they_refuse():
    inputs, _ = rows(6)
    plain = tables.model(2, latent_dim=2)
    for use in (evaluation.cluster_assignments, evaluation.prune_clusters):
        with pytest.raises(ValueError, match="`model` must have .*Received: Standard"):
            use(plain, inputs)
        with pytest.raises(ValueError, match="Received: "):
            use(model(), {"m0": inputs["m0"][:, :1]})
        with pytest.raises(ValueError, match="`inputs` must have one row or more|must .*Received: "):
            use(model(), {name: x[:0] for name, x in inputs.items()})
    with pytest.raises(ValueError, match="`beta` must be a number, 0 or more. Received: beta=-1"):
        evaluation.prune_clusters(model(), inputs, beta=-1)
    with pytest.raises(ValueError, match="of 2 or more"):
        evaluation.prune_clusters(tables.model(2, latent_dim=2, prior=mopoe.priors.Mixture(1)), inputs)
