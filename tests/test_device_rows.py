"""What must not be fused: rows that an encoder on a device cannot read, and experts that are none."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import export

CARD = {"input": {"shape": [None, 2, 3], "range": [-1.0, 3.0]}}
GOOD = {"loc": np.full((3, 2), 0.5), "scale": np.full((3, 2), 0.6)}
# What the two fusions must not take, in row 1: loc, scale.
BAD = {
    "scale of 0": (0.5, 0.0),
    "scale of -0.0": (0.5, -0.0),
    "negative scale": (0.5, -0.6),
    "NaN in scale": (0.5, np.nan),
    "infinite scale": (0.5, np.inf),
    "scale too small for float32": (0.5, 1e-46),
    "NaN in loc": (np.nan, 0.6),
    "infinite loc": (-np.inf, 0.6),
}


def bad(case):
    expert = {key: value.copy() for key, value in GOOD.items()}
    expert["loc"][1, 1], expert["scale"][1, 1] = BAD[case]
    return expert


@pytest.mark.parametrize("card_range", [[-1.0, 3.0], None])
def test_usable_rows(card_range):
    card = {"input": {"shape": [None, 2, 3], "range": card_range}}
    x = np.zeros((8, 2, 3), np.float32)
    for row, value in enumerate((0.0, 3.39, 3.41, -1.41, 1e6, np.nan, np.inf, -np.inf)):
        x[row, 1, 2] = value
    near, far = [True, True, False, False, False], [False, False, False]
    expected = near + far if card_range else [True] * 5 + far
    assert export.usable_rows(x, card).tolist() == expected
    assert export.usable_rows(x[:0], card).shape == (0,)
    if card_range:
        assert export.usable_rows(x, card, margin=0).tolist() == [True] + [False] * 7
        assert export.usable_rows(x, card, margin=np.float64(1)).tolist() == [True] * 4 + [False] * 4
    wide = np.full((1, 2, 3), 1e39)  # finite, but not in the encoder's float32
    assert not export.usable_rows(wide, {"input": {"shape": [None, 2, 3], "range": None}}).any()


@pytest.mark.parametrize("x", [np.zeros((2, 3)), np.zeros((1, 3, 2)), np.zeros(()), np.full((1, 2, 3), "1"), None])
def test_usable_rows_of_something_else(x):
    with pytest.raises(ValueError, match=r"`x` must be numbers of shape \('rows', 2, 3\). Received: "):
        export.usable_rows(x, CARD)
    for margin in (-0.1, True, None, np.nan):
        with pytest.raises(ValueError, match="`margin` must be a number, 0 or more. Received: margin="):
            export.usable_rows(np.zeros((1, 2, 3)), CARD, margin)


def test_a_dead_sensor_is_sure_in_int8_and_is_caught(tmp_path):
    pytest.importorskip("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    keras.utils.set_random_seed(0)
    encoder = mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(7, (8,)), 4)
    decoder = mopoe.Decoder(mopoe.networks.mlp_decoder(7, 4, (8,)), mopoe.likelihoods.Normal())
    model = mopoe.MultimodalVAE({"sensor": encoder}, {"sensor": decoder})
    seen = small.rows(200)["sensor"]
    files = export.tflite_encoders(model, tmp_path, "int8", {"sensor": seen})
    x = seen[:4].copy()
    x[1], x[2], x[3, 0] = np.nan, np.inf, -999.0
    made = Interpreter(model_path=str(files["sensor"])).get_signature_runner("encode")(sensor=x)
    finite = np.isfinite(made["loc"]).all(axis=1) & np.isfinite(made["scale"]).all(axis=1)
    assert finite[3] and finite[1:3].any()  # so nothing in loc and scale shows it
    card = json.loads((tmp_path / "sensor.json").read_text())
    assert card["input"]["range"] == [float(seen.min()), float(seen.max())]
    usable = export.usable_rows(x, card)
    assert usable.tolist() == [True, False, False, False]
    loc, scale = export.fuse({"sensor": made}, has={"sensor": usable}, **card["fusion"])
    assert not loc[1:].any() and (scale[1:] == 1.0).all()  # the prior
    script = (
        "import sys, json, numpy as np\n"
        "sys.modules['tensorflow'] = None\n"
        "from fusion import fuse, usable_rows\n"
        "card = json.load(open('sensor.json'))\n"
        "print(usable_rows(np.full((1, 7), np.nan), card), usable_rows(np.zeros((1, 7)), card))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["[False]", "[", "True]"] or result.stdout.strip() == "[False] [ True]"


@pytest.mark.parametrize("case", BAD)
def test_the_numpy_fusion_refuses_an_expert_that_is_none(case):
    with pytest.raises(ValueError, match="finite loc and a positive, finite scale in every row.*others of 'a'"):
        export.fuse({"a": bad(case), "b": GOOD}, ["a", "b"])
    loc, scale = export.fuse({"a": bad(case), "b": GOOD}, ["a", "b"], has={"a": np.array([True, False, True])})
    assert np.isfinite(loc).all() and (scale > 0.0).all()


@pytest.mark.parametrize("wrong", [None, [], {"a": None}, {"a": {"loc": GOOD["loc"]}}, GOOD])
def test_the_numpy_fusion_names_what_it_does_not_take(wrong):
    with pytest.raises(ValueError, match="`experts` must be .*Received: "):
        export.fuse(wrong, ["a", "b"])
    with pytest.raises(ValueError, match="`has` must be a dict.*Received: "):
        export.fuse({"a": GOOD}, ["a", "b"], has=[True])


@pytest.fixture(scope="module", params=["mopoe", "mmvae"])
def signature(request, tmp_path_factory):
    model = small.model(("word", "sensor"), latent_dim=2, joint_posterior=request.param)
    path = export.saved_model(model, tmp_path_factory.mktemp("served") / request.param)
    return tf.saved_model.load(path).signatures["fuse"]


@pytest.mark.parametrize("case", BAD)
def test_the_served_fusion_takes_such_an_expert_as_absent_in_its_row(case, signature):
    def call(expert, has):
        inputs = {f"{key}_word": value for key, value in expert.items()}
        inputs |= {f"{key}_sensor": value for key, value in GOOD.items()}
        tensors = {key: tf.constant(value, tf.float32) for key, value in inputs.items()}
        flags = {"has_word": tf.constant(has), "has_sensor": tf.constant([True] * 3)}
        return signature(**tensors, **flags, seed=tf.constant([[1, 0], [2, 0], [3, 0]]))

    made, expected = call(bad(case), [True] * 3), call(GOOD, [True, False, True])
    for name, value in expected.items():
        assert np.isfinite(value).all()
        np.testing.assert_allclose(made[name], value, rtol=1e-5, atol=1e-6)
    both = call(GOOD, [True] * 3)
    np.testing.assert_allclose(made["sensor"][0], both["sensor"][0], rtol=1e-5, atol=1e-6)
