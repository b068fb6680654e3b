"""Every method that the trainer names, on real rows of digits; every preset, on tiny ones."""

import pathlib
import re

import keras
import numpy as np
import pytest
import small
import tables
import tensorflow as tf
from absl import app

import tf_mopoe as mopoe
from tf_mopoe import methods
from trainers import experiments, train
from trainers.methods import METHODS

ROOT = pathlib.Path(__file__).parents[1]
SEED = tf.constant([1, 2])


def digits_model(name, **kwargs):
    return experiments.Digits().model(8, method=METHODS[name](2.5), seed=0, **kwargs)


@pytest.mark.parametrize("name", METHODS)
def test_it_learns_from_digits_with_missing_rows(name):
    """A step on one batch lowers its loss (same draws), and nothing of a missing row gets in."""
    private = name == "mopoe" or METHODS[name](2.5).needs_private
    model = digits_model(name, private_dim=2 * private)
    rows = {key: x[:8] for key, x in mopoe.datasets.load_digits("test")[0].items()}
    inputs = rows | {"has_image": np.arange(8) % 4 != 0, "has_word": np.arange(8) % 3 != 0}
    inputs["image"] = np.where(inputs["has_image"][:, None, None, None], rows["image"], np.nan).astype(np.float32)
    optimizer, losses = keras.optimizers.Adam(1e-3), []
    for _ in range(2):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.loss_terms(inputs, SEED, training=True).loss)
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply_gradients([(g, v) for g, v in zip(gradients, variables) if g is not None])
        losses.append(float(loss))
    assert np.all(np.isfinite(losses)) and losses[-1] < losses[0]


def test_the_trainer_has_private_latents_for_the_methods_that_are_about_them():
    wanted = {name for name in METHODS if experiments.private_dim(experiments.Digits, name)}
    assert wanted == {
        "mopoe_plus",
        "mopoe_plus_infonce",
        "mmvae_plus",
        "cmvae",
        "cmvae_infonce",
        "hoelder_plus",
        "dmvae",
        "mfm",
    }
    assert wanted == {n for n in METHODS if METHODS[n](1.0).needs_private}
    assert {experiments.private_dim(experiment, "cmvae") for experiment in experiments.EXPERIMENTS.values()} == {4, 32}


def test_the_trainer_sets_a_methods_numbers():
    def method(name, *changes):
        settings = {"method": name, "method_settings": changes, "beta": 2.0, "warm_up_epochs": 0}
        return train.method(experiments.Digits, settings)

    assert method("mopoe_plus") == methods.MoPoEPlus(2.0)
    assert method("mopoe_plus", "num_components=10") == methods.MoPoEPlus(2.0, num_components=10)
    assert method("mopoe_plus_infonce", "weight=5", "temperature=0.5").weight == 5.0
    both = method("mopoe_plus_infonce", "num_components=10", "weight=5")
    assert both == methods.WithInfoNCE(methods.MoPoEPlus(2.0, num_components=10), weight=5.0)
    known = "--method=mopoe_plus: num_components=40. Received: "
    for wrong in ("num_components=ten", "num_components", "beta=1.0", "weight=3"):
        with pytest.raises(app.UsageError, match=f"--method_settings must be name=number, of {known}{wrong}"):
            method("mopoe_plus", wrong)
    with pytest.raises(app.UsageError, match="of --method=mopoe: none. Received: weight=3"):
        method("mopoe", "weight=3")


def test_each_has_a_line_in_the_documents():
    text = (ROOT / "docs" / "methods.md").read_text() + (ROOT / "BUILD.md").read_text()
    for name in METHODS:
        assert re.search(rf"\b{name}\b", text), name


# ---- presets of tf_mopoe.methods

PRESETS = methods.NAMES
PARTS = {"joint_posterior": lambda: "mopoe", "objective": mopoe.objectives.ELBO}
PARTS |= {"private_source": lambda: "own", "prior": mopoe.priors.Standard, "private_prior": mopoe.priors.Standard}


def tiny_parts(preset, private_dim=None):
    """Encoders, of the preset's class, and decoders of two tables."""
    private_dim = 2 * preset.needs_private if private_dim is None else private_dim
    keras.utils.set_random_seed(0)
    networks = mopoe.networks
    encoders = {name: preset.encoder(networks.mlp_encoder(2, (4,)), 3, private_dim) for name in tables.names(2)}
    decoders = {
        name: mopoe.Decoder(networks.mlp_decoder(2, 3 + private_dim, (4,)), mopoe.likelihoods.Normal())
        for name in encoders
    }
    return encoders, decoders


def tiny_model(preset, private_dim=None, **kwargs):
    return mopoe.MultimodalVAE(*tiny_parts(preset, private_dim), seed=0, **kwargs)


@pytest.mark.usefixtures("eagerly")  # a traced step of each objective is in test_objectives.py and test_family.py
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_trains(name, tmp_path):
    """Three steps; by its name or by its class is the same."""
    assert methods.from_name(name) == PRESETS[name]()
    model = tiny_model(PRESETS[name], method=name)
    model.compile(keras.optimizers.SGD(1e-2))
    inputs = small.with_missing(tables.rows(24, 2), rate=0.3)
    before = [variable.numpy() for variable in model.trainable_variables]
    losses = model.fit(inputs, batch_size=8, verbose=0).history["loss"]
    assert int(model.step) == 3 and np.isfinite(losses).all()
    still = [v.path for v, old in zip(model.trainable_variables, before) if not np.any(v.numpy() != old)]
    # Of the two modalities of "mfm" the first always decodes with its own private latents, the label never.
    assert still == [] or (name == "mfm" and len(still) == 1 and "learned_scale" in still[0])
    assert np.isfinite(model.translate({"m0": inputs["m0"][:1] * 0.0}, to="m1", seed=0)).all()
    model.save(tmp_path / "m.keras")
    copy = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(copy.loss_terms(inputs, SEED).loss, model.loss_terms(inputs, SEED).loss)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_refuses_what_it_sets_itself(name):
    encoders, decoders = tiny_parts(PRESETS[name])  # shared by all models here
    parts = PRESETS[name]().arguments(encoders)
    assert {"joint_posterior", "objective"} <= set(parts) <= set(PARTS)
    for argument in parts:
        with pytest.raises(ValueError, match=rf"`method` sets \['{argument}'\], which must not be given besides"):
            mopoe.MultimodalVAE(encoders, decoders, method=name, **{argument: PARTS[argument]()})
    for argument in set(PARTS) - set(parts):
        mopoe.MultimodalVAE(encoders, decoders, method=name, **{argument: PARTS[argument]()})


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.needs_private])
def test_a_preset_about_private_latents_says_so_where_there_are_none(name):
    needs = f"methods.{PRESETS[name].__name__} needs `encoders` with private latent variables"
    with pytest.raises(ValueError, match=needs):
        tiny_model(PRESETS[name], private_dim=0, method=name)


def test_a_presets_numbers_are_the_objectives():
    for name, preset in PRESETS.items():
        model = tiny_model(preset, method=preset(beta=0.25))
        assert model.objective.beta == 0.25, name
    assert {name for name, preset in PRESETS.items() if preset.needs_private} == {
        "mmvae_plus",
        "cmvae",
        "hoelder_plus",
        "mopoe_plus",
        "dmvae",
        "mfm",
    }
    for classes in (methods.MoPoE, methods.MVAE, methods.MMVAE, methods.MMJSD, methods.MVTCAE, methods.JMVAE):
        assert methods.from_name(classes()) == classes()
    for classes in (methods.TELBO, methods.MMVAEPlus, methods.CMVAE, methods.MoPoEPlus, methods.GPoE):
        assert isinstance(classes(), methods.Method)
    assert issubclass(methods.HoelderPlus, methods.Hoelder)
    assert (methods.HELVAE.subsets, methods.MoHELVAE.subsets) == ("full", "powerset")


def test_kurles_rules_by_name():
    """Conjunctive: one component, the prior times what all encoders emit; disjunctive: each with the prior."""
    inputs = tables.rows(6, 2)
    models = {
        rule: tiny_model(methods.Kurle, method=methods.Kurle(rule=rule)) for rule in ("conjunctive", "disjunctive")
    }
    q = {rule: model.encode(inputs) for rule, model in models.items()}
    emitted = {name: q["disjunctive"].expert(name).scale[:, 0].numpy() ** -2.0 for name in tables.names(2)}
    assert [q[rule].joint.num_components for rule in q] == [1, 2]
    np.testing.assert_allclose(q["conjunctive"].joint.scale[:, 0] ** -2.0, 1.0 + sum(emitted.values()), rtol=1e-5)
    for number, precision in enumerate(emitted.values()):
        np.testing.assert_allclose(q["disjunctive"].joint.scale[:, number] ** -2.0, 1.0 + precision, rtol=1e-5)
    with pytest.raises(ValueError, match="`rule` must be .*conjunctive.* or .*disjunctive.* Received: rule='both'"):
        methods.Kurle(rule="both")


def test_info_nce_goes_on_top_of_any_preset():
    method = methods.WithInfoNCE(methods.MMVAEPlus(beta=2.0), weight=5.0, temperature=0.5)
    assert method.needs_private and method.encoder is mopoe.LaplaceEncoder
    model = tiny_model(method, method=method)
    assert (model.objective.weight, model.objective.temperature, model.objective.objective.beta) == (5.0, 0.5, 2.0)
    with pytest.raises(ValueError, match="methods.WithInfoNCE needs `encoders` with private latent variables"):
        tiny_model(method, private_dim=0, method=method)


def test_an_unknown_preset_is_an_error():
    for method in ("mopoes", 3, methods.MoPoE):
        with pytest.raises(
            ValueError, match="`method` must be one of 'cmvae', .*, or one of tf_mopoe.methods.*Received"
        ):
            tiny_model(methods.MoPoE, method=method)
