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


def test_every_signature_equals_keras_and_no_row_depends_on_another(tmp_path):
    model = private_model(("word", "sensor"))
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
    # Nothing private is sent to `fuse`: of a given modality its w is another one, see the next test.
    given = rows["has_sensor"]
    apart = np.abs(whole["fuse"]["sensor"] - truth["fuse"]["sensor"]).max(axis=1)
    assert np.all(apart[given] > 1e-4)
    truth["fuse"]["sensor"] = np.where(given[:, None], whole["fuse"]["sensor"], truth["fuse"]["sensor"])
    signature_rows.assert_equal(whole, truth)
    for part in (slice(0, 1), slice(1, 4), [5, 2, 5]):
        cut = {signature: {key: value[part] for key, value in outputs.items()} for signature, outputs in whole.items()}
        signature_rows.assert_equal(run(part), cut)
    assert "every modality, private latent variables from their prior |" in (tmp_path / "m" / "README.md").read_text()


def test_fuse_draws_w_from_the_prior_for_a_given_modality_too(tmp_path):
    """A decoder that only hands on what it gets shows z and w in the answer."""
    encoder = mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(7, (8,)), 4, 3)
    shows = mopoe.Decoder(keras.Sequential([keras.Input((7,)), keras.layers.Identity()]), mopoe.likelihoods.Normal())
    model, count = mopoe.MultimodalVAE({"sensor": encoder}, {"sensor": shows}), 1000
    signatures = tf.saved_model.load(str(export.saved_model(model, tmp_path / "m"))).signatures
    seed = tf.stack([tf.range(count), tf.zeros([count], tf.int32)], axis=1)
    x, has = (
        draws.repeated({"sensor": np.ones((1, 7), np.float32)}, 0, count),
        {"has_sensor": tf.ones([count], tf.bool)},
    )
    encoded = model.encode(x)
    q, own = encoded.experts["sensor"], encoded.private["sensor"]
    translated = signatures["translate"](sensor=tf.constant(x["sensor"]), **has, seed=seed)["sensor"].numpy()
    fused = signatures["fuse"](loc_sensor=q.loc[:, 0], scale_sensor=q.scale[:, 0], **has, seed=seed)["sensor"].numpy()
    np.testing.assert_allclose(fused[:, :4], translated[:, :4], rtol=1e-5, atol=1e-6)
    assert_from(fused[:, :4], q)
    assert_from(translated[:, 4:], own)
    draws.assert_drawn_from(fused[:, 4:], [1.0], np.zeros((1, 3)), np.ones((1, 3)))


def test_a_tflite_encoder_emits_the_shared_expert_only(tmp_path):
    runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    model, x = private_model(("sensor",)), small.rows(3, ("sensor",))["sensor"]
    path = export.tflite_encoders(model, tmp_path)["sensor"]
    made = runtime.Interpreter(str(path)).get_signature_runner("encode")(sensor=x)
    assert set(made) == {"loc", "scale"} == set(json.loads((tmp_path / "sensor.json").read_text())["outputs"])
    expert = model.encoders["sensor"](x)
    np.testing.assert_allclose(made["loc"], expert.loc, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made["scale"], expert.stddev(), rtol=1e-4)
