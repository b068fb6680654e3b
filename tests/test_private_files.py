"""Private latent variables in files, exports and encoders for devices."""

import json

import draws
import keras
import numpy as np
import pytest
import signature_rows
import small
import tensorflow as tf
from private_models import SEED, assert_from, private_model

import tf_mopoe as mopoe
from tf_mopoe import export


def test_a_keras_file_keeps_all(tmp_path):
    model, inputs = private_model(private_beta=0.3), small.with_missing(small.rows(4))
    model.save(tmp_path / "m.keras")
    copy = keras.models.load_model(tmp_path / "m.keras")
    assert copy.private_dims == {"image": 2, "sensor": 3} and copy.private_beta == 0.3
    assert [copy.encoders[name].private_dim for name in copy.modalities] == [2, 0, 3]
    np.testing.assert_array_equal(copy.loss_terms(inputs, SEED).loss, model.loss_terms(inputs, SEED).loss)
    model.save_weights(tmp_path / "w.weights.h5")
    other = private_model(private_beta=0.3, seed=1)
    other.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(other.loss_terms(inputs, SEED).loss, model.loss_terms(inputs, SEED).loss)


def test_bad_arguments():
    network = mopoe.networks.mlp_encoder(3, (4,))
    with pytest.raises(ValueError, match="`private_dim` must be an integer, 0 or more. Received: private_dim=-1"):
        mopoe.GaussianEncoder(network, 2, -1)
    with pytest.raises(ValueError, match="`private_beta` must be a number, 0 or more. Received: private_beta=-1"):
        private_model(private_beta=-1)
    decoder = mopoe.Decoder(mopoe.networks.mlp_decoder(3, 2, (4,)), mopoe.likelihoods.Normal())
    with pytest.raises(
        ValueError, match=r"decoders\['x'\] must take the latent variables, shared and private, shape \(None, 3\)"
    ):
        mopoe.MultimodalVAE({"x": mopoe.GaussianEncoder(network, 2, 1)}, {"x": decoder})


PRIORS = {
    "standard": lambda: {},
    "mixture": lambda: {
        "prior": mopoe.priors.Mixture(3),
        "private_prior": mopoe.priors.GivenShared(8),
        "private_temperature": {"sensor": 0.5},
    },
    "pseudo-inputs": lambda: {"prior": mopoe.priors.PseudoInputs(4), "private_prior": mopoe.priors.LearnedScale(2.0)},
}


@pytest.mark.parametrize("prior", PRIORS)
def test_every_signature_equals_keras_and_no_row_depends_on_another(prior, tmp_path):
    model = private_model(("word", "sensor"), **PRIORS[prior]())
    rng = np.random.default_rng(0)
    for part in (model.prior, *model.private_priors.values()):  # as after a training
        for variable in part.trainable_variables:
            variable.assign(variable + 0.3 * rng.normal(size=variable.shape))
    path = export.saved_model(model, tmp_path / "m", num_samples=signature_rows.SAMPLES)
    signatures = tf.saved_model.load(str(path)).signatures
    rows = signature_rows.every_subset(model.modalities, repeats=3)
    requests, truth = signature_rows.requests(model, rows), signature_rows.expected(model, rows)

    def run(rows):
        return {
            signature: {
                key: value.numpy()
                for key, value in signatures[signature](**{k: tf.constant(v[rows]) for k, v in values.items()}).items()
            }
            for signature, values in requests.items()
        }

    whole = run(slice(None))
    signature_rows.assert_equal(whole, truth)
    for part in (slice(0, 1), slice(1, 4), [5, 2, 5]):
        cut = {signature: {key: value[part] for key, value in outputs.items()} for signature, outputs in whole.items()}
        signature_rows.assert_equal(run(part), cut)
    readme = (tmp_path / "m" / "README.md").read_text()
    assert (
        "`private_scale_sensor` [B, 3], flags, `seed`" in readme and '"private_scale_sensor": np.ones([2, 3]' in readme
    )


@pytest.mark.parametrize("learned", [False, True], ids=["standard", "learned priors"])
def test_fuse_takes_w_from_what_was_sent_and_from_the_prior_for_what_is_absent(learned, tmp_path):
    """A decoder that only hands on what it gets shows z and w in the answer. A row of a wrong w has nothing."""
    encoder = mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(7, (8,)), 4, 3)
    shows = mopoe.Decoder(keras.Sequential([keras.Input((7,)), keras.layers.Identity()]), mopoe.likelihoods.Normal())
    prior = {"prior": mopoe.priors.Mixture(3), "private_prior": mopoe.priors.LearnedScale(2.0)} if learned else {}
    model, count = mopoe.MultimodalVAE({"sensor": encoder}, {"sensor": shows}, **prior), 1000
    signatures = tf.saved_model.load(str(export.saved_model(model, tmp_path / "m"))).signatures
    seed = tf.stack([tf.range(count), tf.zeros([count], tf.int32)], axis=1)
    x = draws.repeated({"sensor": np.ones((1, 7), np.float32)}, 0, count)
    q, w = (own["sensor"] for own in (model.encode(x).experts, model.encode(x).private))
    sent = {"loc_sensor": q.loc[:, 0], "scale_sensor": q.scale[:, 0]}
    sent |= {"private_loc_sensor": w.loc[:, 0], "private_scale_sensor": w.scale[:, 0], "seed": seed}
    there = {"has_sensor": tf.ones([count], tf.bool)}
    translated = signatures["translate"](sensor=tf.constant(x["sensor"]), **there, seed=seed)["sensor"].numpy()
    fused = signatures["fuse"](**sent, **there)["sensor"].numpy()
    np.testing.assert_allclose(fused, translated, rtol=1e-5, atol=1e-6)
    assert_from(fused[:, :4], q)
    assert_from(fused[:, 4:], w)
    absent = signatures["fuse"](**sent, has_sensor=tf.zeros([count], tf.bool))["sensor"].numpy()
    draws.assert_drawn_from(absent[:, 4:], [1.0], np.zeros((1, 3)), np.full((1, 3), 2.0 if learned else 1.0))
    for wrong in (0.0, np.nan):
        made = signatures["fuse"](**sent | {"private_scale_sensor": tf.fill([count, 3], wrong)}, **there)
        np.testing.assert_allclose(made["sensor"], absent, rtol=1e-5, atol=1e-6)


def test_a_tflite_encoder_gives_both_posteriors(tmp_path):
    runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    model, x = private_model(("sensor",)), small.rows(3, ("sensor",))["sensor"]
    path = export.tflite_encoders(model, tmp_path)["sensor"]
    made = runtime.Interpreter(str(path)).get_signature_runner("encode")(sensor=x)
    sizes = {"loc": 4, "scale": 4, "private_loc": 3, "private_scale": 3}
    assert json.loads((tmp_path / "sensor.json").read_text())["outputs"] == {
        n: [None, size] for n, size in sizes.items()
    }
    (loc, scale), (private_loc, private_scale) = model.encoders["sensor"].posteriors(x)
    expected = {"loc": loc, "scale": scale, "private_loc": private_loc, "private_scale": private_scale}
    assert set(made) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(made[name], value, rtol=1e-4, atol=1e-5)
