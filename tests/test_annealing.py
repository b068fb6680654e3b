"""Hyper-parameters that are assigned during the training: the step has the new value, and so has the file."""

import types

import every_objective
import keras
import numpy as np
import pytest
import small
import tables
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import objectives

NAMES = ("word", "sensor")


class Assign(keras.callbacks.Callback):
    """Sets a value at the begin of an epoch: {epoch: function of the model}."""

    def __init__(self, changes):
        super().__init__()
        self.changes = changes

    def on_epoch_begin(self, epoch, logs=None):
        self.changes.get(epoch, lambda model: None)(self.model)


def still(**kwargs):
    """A model that is traced, and whose weights stay."""
    model = small.model(NAMES, **kwargs)
    model.compile(keras.optimizers.SGD(0.0))
    return model


def weighted(history, epoch, beta, weights=(1.0, 1.0)):
    terms = [history["reconstruction_" + name][epoch] for name in NAMES]
    return weights[0] * terms[0] + weights[1] * terms[1] + beta * history["kl"][epoch]


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_callback_anneals_beta_and_the_weights_and_the_file_has_them(jit_compile, tmp_path):
    model = still(objective=objectives.ELBO(beta=0.0))
    model.compile(keras.optimizers.SGD(0.0), jit_compile=jit_compile)
    changes = {
        1: lambda model: setattr(model.objective, "beta", 3.0),
        2: lambda model: setattr(model, "reconstruction_weights", {"word": 2.0, "sensor": 0.5}),
    }
    history = model.fit(small.rows(8, NAMES), batch_size=8, epochs=3, callbacks=[Assign(changes)], verbose=0).history
    for epoch, (beta, weights) in enumerate([(0.0, (1.0, 1.0)), (3.0, (1.0, 1.0)), (3.0, (2.0, 0.5))]):
        np.testing.assert_allclose(history["loss"][epoch], weighted(history, epoch, beta, weights), rtol=1e-5)
    assert model.objective.beta == 3.0 and dict(model.reconstruction_weights) == {"word": 2.0, "sensor": 0.5}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    assert loaded.objective.beta == 3.0 and dict(loaded.reconstruction_weights) == {"word": 2.0, "sensor": 0.5}
    history = loaded.fit(small.rows(8, NAMES), batch_size=8, verbose=0).history
    np.testing.assert_allclose(history["loss"][0], weighted(history, 0, 3.0, (2.0, 0.5)), rtol=1e-5)


@pytest.mark.parametrize("case", every_objective.CASES)
def test_every_number_of_every_objective_is_live(case):
    """A traced graph with the number assigned equals an objective that was made with it."""
    inputs, seed = small.rows(6, NAMES), tf.constant([3, 4])
    own = every_objective.model(case, NAMES).objective.get_config()
    live = [name for name, value in own.items() if isinstance(value, float)]
    assert live
    for name in [*live, *(["objective.beta"] if "objective" in own else [])]:
        model, other = (every_objective.model(case, NAMES) for _ in range(2))
        loss = tf.function(lambda model=model: model.loss_terms(inputs, seed).loss)
        before = loss().numpy()
        owner = model.objective.objective if "." in name else model.objective
        setattr(owner, name.split(".")[-1], 0.3)
        after = loss().numpy()
        assert np.any(np.abs(after - before) > 1e-3 * np.abs(before)), name
        if "." in name:
            inner = {"objective": objectives.ELBO(0.3)}
        else:
            inner = {"objective": objectives.ELBO()} if "objective" in own else {}
            inner[name] = 0.3
        other.objective = type(model.objective)(**own | inner)
        other.set_weights(model.get_weights())
        np.testing.assert_allclose(after, other.loss_terms(inputs, seed).loss, rtol=1e-5)


@keras.saving.register_keras_serializable(package="test_annealing")
class Own(objectives.Objective):
    """A user's: it reads its number as any attribute."""

    def __init__(self, gamma=1.0):
        self.gamma = gamma

    def __call__(self, q, p, stream):
        terms = objectives.ELBO()(q, p, stream)
        return terms._replace(loss=self.gamma * terms.loss)


def test_the_private_beta_and_a_users_own_number_are_live():
    model = tables.model(2, private_dim=1, objective=Own(), private_beta=0.0)
    model.compile(keras.optimizers.SGD(0.0))

    def change(model):
        model.objective.gamma, model.private_beta = 2.0, 0.5

    history = model.fit(tables.rows(8, 2), batch_size=8, epochs=2, callbacks=[Assign({1: change})], verbose=0).history
    for epoch, (gamma, beta) in enumerate([(1.0, 0.0), (2.0, 0.5)]):
        plain = history["reconstruction_m0"][epoch] + history["reconstruction_m1"][epoch] + history["kl"][epoch]
        expected = gamma * (plain + beta * history["private_kl"][epoch])  # what an objective returns has it
        np.testing.assert_allclose(history["loss"][epoch], expected, rtol=1e-5)
    assert model.get_config()["private_beta"] == 0.5


@pytest.mark.parametrize("kind", [tf.Variable, keras.Variable])
def test_a_variable_in_the_place_of_a_number(kind):
    beta, weight = kind(0.0), kind(1.0)
    model = still(objective=objectives.ELBO(beta=beta), reconstruction_weights={"word": weight, "sensor": 1.0})
    count = len(model.weights)

    def change(model):
        beta.assign(2.0)
        weight.assign(0.5)

    history = model.fit(
        small.rows(8, NAMES), batch_size=8, epochs=2, callbacks=[Assign({1: change})], verbose=0
    ).history
    np.testing.assert_allclose(history["loss"][0], weighted(history, 0, 0.0), rtol=1e-5)
    np.testing.assert_allclose(history["loss"][1], weighted(history, 1, 2.0, (0.5, 1.0)), rtol=1e-5)
    config = model.get_config()
    assert config["objective"]["config"]["beta"] == 2.0 and config["reconstruction_weights"]["word"] == 0.5
    model.objective.beta = 0.25
    assert float(beta.numpy()) == 0.25 and len(model.weights) == count


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_under_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    model = still(objective=objectives.ELBO(beta=0.0))
    changes = {1: lambda model: setattr(model.objective, "beta", 3.0)}
    history = model.fit(small.rows(8, NAMES), batch_size=8, epochs=2, callbacks=[Assign(changes)], verbose=0).history
    np.testing.assert_allclose(history["loss"][1], weighted(history, 1, 3.0), rtol=1e-4)


def test_what_cannot_be_assigned_is_refused():
    model = still(objective=objectives.IWAE(num_samples=2))
    with pytest.raises(ValueError, match="`num_samples` cannot be assigned.*Received: num_samples=5"):
        model.objective.num_samples = 5
    with pytest.raises(ValueError, match="`beta` must be a number, 0 or more. Received: beta=-1.0"):
        model.objective.beta = -1.0
    with pytest.raises(ValueError, match="`beta` cannot be assigned.*a schedule included.*Received: beta=<"):
        model.objective.beta = keras.optimizers.schedules.PolynomialDecay(0.0, 20, 2.0)
    with pytest.raises(ValueError, match="`reconstruction_weights` must be None"):
        model.reconstruction_weights = {"word": 1.0}
    with pytest.raises(TypeError):
        model.reconstruction_weights = {"word": 1.0, "sensor": 1.0}
        model.reconstruction_weights["word"] = 2.0
    with pytest.raises(ValueError, match="float scalar"):
        objectives.ELBO(beta=tf.Variable([1.0, 2.0]))
    with pytest.raises(ValueError, match="`objective` must be made again by its class"):
        model.objective = lambda q, p, stream: None
    with pytest.raises(ValueError, match="MVTCAE needs"):
        model.objective = objectives.MVTCAE()
    with pytest.raises(
        ValueError, match="`scale` of a likelihood cannot be assigned after the model is made.*scale=0.1"
    ):
        model.decoders["sensor"].likelihood.scale = 0.1
    for name in ("seed", "private_source"):
        with pytest.raises(
            ValueError, match=f"`{name}` cannot be assigned after the model is made. Received: {name}=9"
        ):
            setattr(model, name, 9)
    with pytest.raises(ValueError, match="`private_temperature` must be a number, 0 or more. Received: .*-3"):
        model.private_temperature = -3
    for objective, subsets in (
        (objectives.MMVM(), "unimodal"),
        (objectives.JMVAE(), "full"),
    ):  # experts are likelihoods there
        with pytest.raises(ValueError, match="needs `joint_posterior=.*'conjunctive'"):
            still(joint_posterior=mopoe.MixtureOfProducts(subsets, "conjunctive"), objective=objective)
    assert isinstance(model.reconstruction_weights, types.MappingProxyType)
    model.objective.beta = tf.constant(0.5)
    assert model.objective.beta == 0.5


def test_another_objective_takes_the_place_of_one_that_was_traced():
    model = still(objective=objectives.ELBO(beta=0.0))
    changes = {1: lambda model: setattr(model, "objective", objectives.ELBO(beta=2.0))}
    history = model.fit(small.rows(8, NAMES), batch_size=8, epochs=2, callbacks=[Assign(changes)], verbose=0).history
    np.testing.assert_allclose(history["loss"][1], weighted(history, 1, 2.0), rtol=1e-5)


def test_another_objective_brings_its_own_metrics():
    model = still(joint_posterior="mvtcae")
    changes = {1: lambda model: setattr(model, "objective", objectives.MVTCAE())}
    logs = []
    log = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs_: logs.append(dict(logs_)))
    model.fit(small.rows(8, NAMES), batch_size=8, epochs=2, callbacks=[Assign(changes), log], verbose=0)
    assert set(logs[1]) - set(logs[0]) == {"kl_to_experts"} and logs[1]["kl_to_experts"] > 0.0
    model.objective = objectives.ELBO()
    assert "kl_to_experts" not in model.evaluate(small.rows(8, NAMES), verbose=0, return_dict=True)


# ---- the bound to watch meanwhile

ELBO_CASES = {
    "elbo": ("mopoe", lambda: objectives.ELBO(beta=0.1)),
    "mvtcae": ("mvtcae", lambda: objectives.MVTCAE(beta=0.1)),
    "mmjsd": ("mmjsd", lambda: objectives.MMJSD(beta=0.1)),
    "mvae": ("mvae", lambda: objectives.MVAE(beta=0.1)),
}


@pytest.mark.parametrize("case", ELBO_CASES)
def test_elbo_is_the_bound_at_beta_one_and_weights_one(case):
    """It equals that of `ELBO(beta=1)` at the same draw, whatever the objective, its beta and the weights."""
    joint, make = ELBO_CASES[case]
    settings = {"private_dim": 1, "joint_posterior": joint}
    weights = {"m0": 3.0, "m1": 0.5}
    model = tables.model(2, objective=make(), reconstruction_weights=weights, private_beta=0.2, **settings)
    plain = tables.model(2, objective=objectives.ELBO(), **settings)
    plain.set_weights(model.get_weights())
    inputs = small.with_missing(tables.rows(64, 2), rate=0.3)
    found = []
    for one in (model, plain):
        one.compile("sgd")
        found.append(one.evaluate(inputs, batch_size=64, num_samples=50, verbose=0, return_dict=True))
    np.testing.assert_allclose(found[1]["elbo"], -found[1]["loss"], rtol=1e-5)
    # MVAE draws its z from another seed: 64 rows of 50 draws.
    np.testing.assert_allclose(found[0]["elbo"], found[1]["elbo"], rtol=0.03 if case == "mvae" else 1e-5)
    assert abs(found[0]["loss"] + found[0]["elbo"]) > 0.05 * abs(found[0]["elbo"])


@pytest.mark.parametrize("gradient", ["iwae", "dreg"])
def test_elbo_of_iwae_is_its_bound_at_beta_one_and_weights_one(gradient):
    inputs, found = tables.rows(16, 2), {}
    for beta, weights in ((1.0, None), (0.3, {"m0": 3.0, "m1": 0.5})):
        objective = objectives.IWAE(4, beta, gradient)
        model = tables.model(2, joint_posterior="mmvae", objective=objective, reconstruction_weights=weights)
        model.compile("sgd")
        found[beta] = model.evaluate(inputs, verbose=0, return_dict=True)
    np.testing.assert_allclose(found[1.0]["elbo"], -found[1.0]["loss"], rtol=1e-5)
    np.testing.assert_allclose(found[0.3]["elbo"], found[1.0]["elbo"], rtol=1e-5)


def test_early_stopping_with_a_warm_up():
    """beta grows, so the loss gets worse by itself: its best epoch is the first. By the bound it is a later one."""
    warm_up = {epoch: lambda model, e=epoch: setattr(model.objective, "beta", 2.0 * e) for epoch in range(6)}
    model = tables.model(2, objective=objectives.ELBO(beta=0.0))
    model.compile(keras.optimizers.Lion(0.02))
    stop = keras.callbacks.EarlyStopping("val_elbo", mode="max", patience=6, restore_best_weights=True)
    rows, test = tables.rows(128, 2), tables.rows(32, 2, seed=1)
    arguments = {"batch_size": 16, "epochs": 6, "verbose": 0, "validation_data": test}
    history = model.fit(rows, callbacks=[Assign(warm_up), stop], **arguments).history
    assert np.argmin(history["val_loss"]) < np.argmax(history["val_elbo"]) == stop.best_epoch
