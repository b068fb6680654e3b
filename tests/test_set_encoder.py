"""The joint posterior of a network on sets: any subset against the loop, order, files, what is exported."""

import family_reference as family
import numpy as np
import objective_reference as loops
import pytest
import reference
import signature_rows
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import evaluation, export
from tf_mopoe.export import tflite

NAMES = tuple(small.SHAPES)
LAYERS = {
    "sum": lambda: mopoe.SetEncoder(units=6),
    "attention": lambda: mopoe.SetEncoder("attention", units=6, num_blocks=1, num_heads=2),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_the_posterior_of_every_subset_is_the_network_on_its_members_alone(layer):
    model, rows = small.model(joint_posterior=LAYERS[layer]()), small.rows(4)
    model.mixture.head.kernel.assign(30.0 * model.mixture.head.kernel)  # it starts near N(0, I)
    for subset in reference.powerset(NAMES):
        given = {name: rows[name] for name in subset}
        q, mixture = model.subset_posterior(given), model.joint_posterior(given)
        batch = loops.Batch(model, given)
        for row in range(4):
            loc, scale = family.set_encoder(batch, subset, row)
            np.testing.assert_allclose(q.loc[row], loc, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(q.stddev()[row], scale, rtol=1e-4)
        np.testing.assert_allclose(mixture.mean(), q.loc, rtol=1e-6, atol=1e-7)
    assert model.mixture.available_subsets(NAMES) == (NAMES,)


@pytest.mark.parametrize("layer", LAYERS)
def test_it_depends_on_the_set_and_not_on_its_order_nor_on_what_is_missing(layer):
    rng, layer = np.random.default_rng(0), LAYERS[layer]()
    loc, scale = rng.normal(size=(3, 5, 4)).astype(np.float32), rng.random((3, 5, 4), np.float32) + 0.5
    has = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0]], bool)
    found = []
    for order in ([0, 1, 2], [2, 0, 1]):
        experts, flags = {}, {}
        for place, number in enumerate(order):
            kept = np.where(has[:, number, None], loc[number], 99.0), np.where(has[:, number, None], scale[number], 9.0)
            experts[f"m{place}"] = mopoe.families.Normal.distribution(*map(tf.constant, kept))
            flags[f"m{place}"] = has[:, number]
        found.append(layer(experts, flags).components[0])
    np.testing.assert_allclose(found[0].loc, found[1].loc, rtol=1e-5, atol=1e-6)
    assert np.std(found[0].loc[:4], axis=0).min() > 1e-3
    np.testing.assert_array_equal(found[0].loc[4], np.zeros(4))
    np.testing.assert_array_equal(found[0].stddev()[4], np.ones(4))


def test_an_export_fuses_features_and_a_device_card_has_no_rule(tmp_path):
    names = ("word", "sensor")
    model = small.model(names, joint_posterior=LAYERS["attention"](), objective=mopoe.objectives.Masked())
    path = export.saved_model(model, tmp_path / "m", num_samples=signature_rows.SAMPLES)
    signatures = tf.saved_model.load(str(path)).signatures
    rows = signature_rows.every_subset(model.modalities)
    requests, truth = signature_rows.requests(model, rows), signature_rows.expected(model, rows)
    assert set(signatures) == set(requests)
    made = {
        name: {k: v.numpy() for k, v in signatures[name](**{k: tf.constant(v) for k, v in values.items()}).items()}
        for name, values in requests.items()
    }
    signature_rows.assert_equal(made, truth)
    assert tflite.card(model, "word", None, None)["fusion"] is None


def test_what_it_refuses():
    with pytest.raises(
        ValueError, match=r"`aggregation` must be \"sum\" or \"attention\". Received: aggregation='mean'"
    ):
        mopoe.SetEncoder("mean")
    with pytest.raises(ValueError, match="`num_heads` must be an integer, 1 or more. Received: num_heads=0"):
        mopoe.SetEncoder(num_heads=0)
    encoder = mopoe.LaplaceEncoder(mopoe.networks.mlp_encoder(7, (4,)), 3)
    decoder = mopoe.Decoder(mopoe.networks.mlp_decoder(7, 3, (4,)), mopoe.likelihoods.Normal())
    with pytest.raises(ValueError, match="A SetEncoder needs normal experts. Received: laplace ones"):
        mopoe.MultimodalVAE({"a": encoder}, {"a": decoder}, joint_posterior=mopoe.SetEncoder())
    model = small.model(joint_posterior=mopoe.SetEncoder(units=4))
    with pytest.raises(ValueError, match="`model` must have experts that are posteriors. Received: features of"):
        evaluation.expert_conflict(model, small.rows(4))
