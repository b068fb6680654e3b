"""A network for every subset: components against the heads, exact sets, missing rows, files, exports."""

import keras
import numpy as np
import objective_reference as loops
import pytest
import reference
import signature_rows
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import export

SEED = tf.constant([3, 4])
NAMES = tuple(small.SHAPES)


def layer(names=NAMES, latent_dim=4):
    """In another order than that of the model."""
    networks = {}
    for subset in reversed(reference.powerset(names[::-1])):
        if len(subset) > 1:
            parts = {name: mopoe.networks.mlp_encoder(small.SHAPES[name], (5,)) for name in subset}
            networks[subset] = mopoe.networks.joint_encoder(parts, (6,))
    return mopoe.SubsetEncoders(networks, latent_dim)


def model(names=NAMES, **kwargs):
    keras.utils.set_random_seed(0)
    return small.model(names, joint_posterior=layer(names), **kwargs)


def posterior(batch, subset, row):
    """loc, scale of a subset of what a row has, by the heads of its network."""
    if len(subset) < 2:
        return batch.expert(subset[0], row) if subset else (np.zeros(4), np.ones(4))
    joint = batch.model.mixture
    encoder = next(e for names, e in zip(joint.subsets_read, joint.encoders) if set(names) == set(subset))
    loc, scale = loops.heads(encoder, encoder.network({name: batch.x[name][row : row + 1] for name in subset}))
    return loc[0], scale[0]


def test_components_and_the_posterior_of_exactly_what_a_row_has():
    one, inputs = model(), small.with_missing(small.rows(12))
    for name in NAMES:
        inputs["has_" + name][0] = False
    batch, q = loops.Batch(one, inputs), one.encode(inputs)
    all_of, word = q.subset(), q.subset(("word", "sensor"))
    subsets = reference.powerset(NAMES)
    for row in range(12):
        present = batch.present(row)
        formed = [number for number, subset in enumerate(subsets) if set(subset) <= set(present)]
        weights = np.isin(np.arange(7), formed or [0]) / max(len(formed), 1)
        np.testing.assert_allclose(q.joint.weights[row], weights, rtol=1e-6)
        for number in formed:
            loc, scale = posterior(batch, subsets[number], row)
            np.testing.assert_allclose(q.joint.loc[row, number], loc, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(q.joint.scale[row, number], scale, rtol=1e-5)
        for found, names in ((all_of, NAMES), (word, ("word", "sensor"))):
            loc, scale = posterior(batch, [name for name in names if name in present], row)
            np.testing.assert_allclose(found.loc[row, 0], loc, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found.scale[row, 0], scale, rtol=1e-5)
    complete = small.rows(3)
    loc, scale = posterior(loops.Batch(one, complete), NAMES, 1)
    np.testing.assert_allclose(one.subset_posterior(complete).loc[1], loc, rtol=1e-5, atol=1e-6)
    assert one.mixture.available_subsets(("word",)) == (("word",),)


def test_nan_in_missing_rows_reaches_nothing():
    results, one = [], model()
    for fill in (np.nan, 0.0):
        inputs = small.with_missing(small.rows(8), fill=fill)
        with tf.GradientTape() as tape:
            terms = one.loss_terms(inputs, SEED, training=True)
            loss = tf.reduce_sum(terms.loss)
        results.append([terms.loss, *(g for g in tape.gradient(loss, one.trainable_variables) if g is not None)])
    assert len(results[0]) > 20
    for value, expected in zip(*results):
        assert np.all(np.isfinite(value))
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-6)


def test_a_network_without_rows_is_not_run():
    parts = {name: mopoe.networks.mlp_encoder(small.SHAPES[name], (5,)) for name in ("word", "sensor")}
    network = mopoe.networks.joint_encoder(parts, (6,))
    normalisation = keras.layers.BatchNormalization()
    network = keras.Model(network.input, normalisation(network.output))
    one = small.model(("word", "sensor"), joint_posterior=mopoe.SubsetEncoders({("sensor", "word"): network}, 4))
    inputs = small.rows(4, ("word", "sensor")) | {"has_word": np.array([1, 1, 0, 0], bool)}
    inputs["has_sensor"] = ~inputs["has_word"]
    one.loss_terms(inputs, SEED, training=True)
    assert np.all(normalisation.moving_mean.numpy() == 0.0)
    one.loss_terms(small.rows(4, ("word", "sensor")), SEED, training=True)
    assert np.any(normalisation.moving_mean.numpy() != 0.0)


def test_it_trains_and_survives_a_file_and_an_export(tmp_path):
    names = ("word", "sensor")
    one, inputs = model(names), small.with_missing(small.rows(16, names), rate=0.2)
    one.compile(keras.optimizers.Lion(0.03))
    before = [variable.numpy() for variable in one.trainable_variables]
    losses = one.fit(inputs, epochs=4, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert all(np.any(variable.numpy() != old) for variable, old in zip(one.trainable_variables, before))
    one.save(tmp_path / "m.keras")
    copy = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(copy.loss_terms(inputs, SEED).loss, one.loss_terms(inputs, SEED).loss)
    path = export.saved_model(one, tmp_path / "m", num_samples=signature_rows.SAMPLES)
    signatures = tf.saved_model.load(str(path)).signatures
    rows = signature_rows.every_subset(one.modalities)
    requests, truth = signature_rows.requests(one, rows), signature_rows.expected(one, rows)
    del requests["fuse"], truth["fuse"]
    assert set(signatures) == set(requests)
    made = {
        name: {k: v.numpy() for k, v in signatures[name](**{k: tf.constant(v) for k, v in values.items()}).items()}
        for name, values in requests.items()
    }
    signature_rows.assert_equal(made, truth)


@pytest.mark.slow
def test_it_compiles_with_xla():
    one = model(("word", "sensor"))
    one.compile("sgd", jit_compile=True)
    for rows in (1, 2, 3):
        inputs = small.with_missing(small.rows(rows, ("word", "sensor")), rate=0.3)
        assert np.isfinite(one.fit(inputs, batch_size=8, verbose=0).history["loss"]).all()


def test_what_it_refuses():
    with pytest.raises(ValueError, match="`networks` must be a dict by subset.*Received: networks=None"):
        mopoe.SubsetEncoders(None, 4)
    with pytest.raises(ValueError, match="`networks` must have one for each subset of two or more of at most 5"):
        small.model(joint_posterior=layer(("word", "sensor")))
    with pytest.raises(ValueError, match="`latent_dim` must be that of the encoders, 4. Received: latent_dim=3"):
        small.model(joint_posterior=layer(latent_dim=3))
    with pytest.raises(ValueError, match="objectives.TELBO needs `joint_posterior=JointEncoder"):
        small.model(joint_posterior=layer(), objective=mopoe.objectives.TELBO())


def test_the_preset_has_a_network_of_its_own_for_each_subset():
    encoders = {n: mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(small.SHAPES[n], (5,)), 4) for n in NAMES}
    joint = mopoe.methods.EverySubset().arguments(encoders)["joint_posterior"]
    assert set(joint.subsets_read) == {s for s in reference.powerset(NAMES) if len(s) > 1}
    networks = [encoder.network for encoder in joint.encoders]
    assert len({id(layer) for network in networks for layer in network.layers}) == sum(len(n.layers) for n in networks)
