"""Names of modalities: one rule, checked in the constructor, that training, files and exports all take."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import export

# User's name -> its name in exported inputs and files.
NAMES = {
    "RNA-seq": "RNA_seq",
    "cell type": "cell_type",
    "größe": "gr_xf6_xdfe",
    "图像": "u56fe_u50cf",
    "_x": "x",
    "class": "m_class",
    "self": "m_self",
    "seed": "m_seed",
    "loc": "m_loc",
    "Scale": "m_Scale",
    "10x": "m_10x",
    "a.b:c\\d%{e}": "a_b_c_d_e_",
    "image": "image",
}


def model_of(names, latent_dim=2):
    encoders = {n: mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(3, ()), latent_dim) for n in names}
    decoders = {
        n: mopoe.Decoder(mopoe.networks.mlp_decoder(3, latent_dim, ()), mopoe.likelihoods.Normal()) for n in names
    }
    return mopoe.MultimodalVAE(encoders, decoders, joint_posterior="mvae", seed=0)


def rows_of(names, count=6):
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(count, 3)).astype(np.float32) for name in names}
    return rows | {f"has_{name}": np.arange(count) != index % count for index, name in enumerate(names)}


@pytest.fixture(scope="module")
def model():
    model = model_of(NAMES)
    model.compile("sgd", run_eagerly=True)
    return model


def test_users_see_their_own_names(model):
    rows = rows_of(NAMES)
    history = model.fit(rows, epochs=1, verbose=0).history
    assert {f"reconstruction_{name}" for name in NAMES} <= set(history)
    assert set(model.translate(rows, seed=0)) == set(model.predict(rows, verbose=0)) == set(NAMES)
    assert model.translate(rows, to="cell type", seed=0).shape == (6, 3)


def test_it_trains_in_a_loop_under_a_strategy():
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = model_of(["RNA-seq", "图像", "class"])
        model.compile("sgd")
    assert np.isfinite(model.fit(rows_of(model.modalities), verbose=0).history["reconstruction_图像"]).all()


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_files_of_keras(model, tmp_path, file):
    rows = rows_of(NAMES)
    if file == "model.keras":
        model.save(tmp_path / file)
        loaded = keras.models.load_model(tmp_path / file)
    else:
        model.save_weights(tmp_path / file)
        loaded = model_of(NAMES)
        loaded.load_weights(tmp_path / file)
    assert loaded.modalities == tuple(NAMES)
    np.testing.assert_array_equal(loaded.subset_posterior(rows).mean(), model.subset_posterior(rows).mean())


def test_saved_model_has_plain_names(model, tmp_path):
    signatures = tf.saved_model.load(export.saved_model(model, tmp_path / "served")).signatures
    rows = rows_of(NAMES)
    flat = {plain: rows[name] for name, plain in NAMES.items()}
    flat |= {f"has_{plain}": rows[f"has_{name}"] for name, plain in NAMES.items()}
    made = signatures["encode"](**{key: tf.constant(value) for key, value in flat.items()})
    np.testing.assert_allclose(made["loc"], model.subset_posterior(rows).mean(), rtol=1e-5, atol=1e-6)
    seed = tf.constant([[4, 0]])
    made = signatures["generate"](seed=seed)
    expected = model.generate(1, seed=4)
    assert set(made) == set(NAMES.values())
    for name, plain in NAMES.items():
        np.testing.assert_allclose(made[plain], expected[name], rtol=1e-5, atol=1e-6)
    readme = (tmp_path / "served" / "README.md").read_text()
    assert "`RNA_seq` [B, 3]" in readme and "RNA-seq" not in readme


def test_files_of_devices_have_plain_names(tmp_path):
    pytest.importorskip("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    model = model_of(["RNA-seq", "图像"])
    files = export.tflite_encoders(model, tmp_path)
    assert {name: path.name for name, path in files.items()} == {
        "RNA-seq": "RNA_seq.tflite",
        "图像": "u56fe_u50cf.tflite",
    }
    x = rows_of(["图像"])["图像"]
    made = Interpreter(model_path=str(files["图像"])).get_signature_runner("encode")(u56fe_u50cf=x)
    np.testing.assert_allclose(made["loc"], model.encoders["图像"](x).mean(), rtol=1e-4, atol=1e-5)
    card = json.loads((tmp_path / "u56fe_u50cf.json").read_text())
    assert (card["modality"], card["input"]["name"]) == ("图像", "u56fe_u50cf")
    assert card["fusion"]["modalities"] == ["RNA-seq", "图像"]


@pytest.mark.usefixtures("eagerly")
def test_a_joint_encoder_takes_them():
    names = ["RNA-seq", "图像", "class"]
    network = mopoe.networks.joint_encoder({n: mopoe.networks.mlp_encoder(3, ()) for n in names}, ())
    parts = model_of(names)
    model = mopoe.MultimodalVAE(parts.encoders, parts.decoders, joint_posterior=mopoe.JointEncoder(network, 2))
    model.compile("sgd")
    model.fit(rows_of(names), verbose=0)


@pytest.mark.parametrize("names", [["x", "X"], ["RNA-seq", "RNA_seq"], ["class", "m_class"], ["a b", "a-b"]])
def test_names_that_would_be_one_name_are_an_error_that_names_both(names):
    with pytest.raises(ValueError, match="Modalities must differ by more than case") as error:
        model_of(names)
    assert str(names) in str(error.value)


@pytest.mark.parametrize("name", ["", "a/b", "has_x", "Has_x", "-has_x", "a\nb", "\ud800", "图" * 50, 3, None, ("a",)])
def test_names_that_are_refused(name):
    with pytest.raises(ValueError, match=r"A modality's name must be a string .*Received: \["):
        model_of([name])
