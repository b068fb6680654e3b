"""What is frozen stays frozen: from the constructor on, and through every way in which a model is saved and copied."""

import copy

import keras
import numpy as np
import pytest
import small
import tensorflow as tf
from running import no_flags

import tf_mopoe as mopoe
from tf_mopoe.families import Normal
from trainers import checkpoints

with no_flags():  # another main, which other tests import, has flags of the same names
    from trainers import publish

NAMES = ("word", "sensor")


@keras.saving.register_keras_serializable(package="test_freezing")
class Block(keras.layers.Layer):
    """A user's layer of a layer that its constructor makes."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units)

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return super().get_config() | {"units": self.units}


def model(**kwargs):
    """With private latent variables, a learned scale, batch normalisation, and a user's layer."""
    network = keras.Sequential(
        [keras.Input((7,)), Block(6), keras.layers.BatchNormalization(), keras.layers.Dense(5)], name="network"
    )
    word = mopoe.networks.mlp_encoder(small.SHAPES["word"], (5,))
    encoders = {"word": mopoe.GaussianEncoder(word, 3, 1), "sensor": mopoe.GaussianEncoder(network, 3, 1)}
    decoders = {
        "word": mopoe.Decoder(mopoe.networks.mlp_decoder((3, 4), 4, (5,)), mopoe.likelihoods.Categorical()),
        "sensor": mopoe.Decoder(mopoe.networks.mlp_decoder(7, 4, (5,)), mopoe.likelihoods.Normal("learned")),
    }
    result = mopoe.MultimodalVAE(encoders, decoders, seed=0, **kwargs)
    result.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    return result


def flags(model):
    layers = [layer.trainable for layer in model._flatten_layers()]
    return layers, [variable.trainable for variable in model.variables]


def frozen_encoder(model):
    model.encoders["sensor"].trainable = False


def frozen_network(model):
    model.encoders["sensor"].network.trainable = False


def frozen_heads(model):
    model.encoders["word"].loc_head.trainable = False
    model.encoders["sensor"].private_log_variance_head.trainable = False


def frozen_layer_of_a_network(model):
    model.encoders["sensor"].network.layers[0].trainable = False


def frozen_likelihood(model):
    model.decoders["sensor"].likelihood.trainable = False


def frozen_variable(model):
    model.decoders["word"].network.layers[0].bias.trainable = False


def frozen_but_for_a_layer(model):
    model.encoders["sensor"].trainable = False
    model.encoders["sensor"].network.layers[0].trainable = True


def frozen_decoders(model):
    for decoder in model.decoders.values():
        decoder.trainable = False


CASES = [
    frozen_encoder,
    frozen_network,
    frozen_heads,
    frozen_layer_of_a_network,
    frozen_likelihood,
    frozen_variable,
    frozen_but_for_a_layer,
    frozen_decoders,
]


@pytest.mark.parametrize("freeze", CASES, ids=lambda case: case.__name__)
def test_it_stays_frozen_through_files_and_copies(freeze, tmp_path):
    first, rows = model(), small.rows(8, NAMES)
    every = len(first.trainable_variables)
    freeze(first)
    first.fit(rows, batch_size=8, verbose=0)
    assert 0 < len(first.trainable_variables) < every
    first.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(first)
    others = [loaded, clone, copy.deepcopy(first), type(first).from_config(first.get_config())]
    others.append(publish.without_optimizer(loaded))
    for other in others:
        assert flags(other) == flags(first)
    for one, two in zip(first.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, two)
    before = loaded.get_weights()
    loaded.fit(rows, batch_size=8, verbose=0)
    trainable = {id(variable) for variable in loaded.trainable_variables}
    for variable, old in zip(loaded.weights, before):
        if variable.trainable:
            assert id(variable) in trainable
        elif "moving" not in variable.path:
            np.testing.assert_array_equal(variable, old)


def test_the_optimizers_state_comes_back_where_layers_were_frozen_after_it_was_built(tmp_path):
    first, rows = model(), small.rows(8, NAMES)
    first.fit(rows, batch_size=8, verbose=0)
    frozen_encoder(first)
    first.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 1
    for one, two in zip(first.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, two)
    loaded.fit(rows, batch_size=8, verbose=0)
    assert int(loaded.optimizer.iterations) == 2


def test_a_checkpoint_of_a_trainer_and_of_keras(tmp_path):
    first, rows = model(), small.rows(16, NAMES)
    frozen_encoder(first)
    best = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="loss", save_best_only=True)
    first.fit(rows, batch_size=8, epochs=2, callbacks=[best], verbose=0)
    loaded = keras.models.load_model(tmp_path / "best.keras")
    assert flags(loaded) == flags(first)
    checkpoints.save(first, tmp_path, 2)
    loaded = checkpoints.load(tmp_path, 2)
    assert flags(loaded) == flags(first)
    made, again = first.predict(rows, verbose=0), loaded.predict(rows, verbose=0)
    for name in NAMES:
        np.testing.assert_array_equal(made[name], again[name])


@pytest.mark.parametrize("kind", ["encoder", "decoder", "joint", "model"])
def test_made_frozen(kind):
    """`trainable=False` freezes all that a layer is made of, its network, likelihood and heads."""
    encoders = {n: mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(small.SHAPES[n], (5,)), 3) for n in NAMES}
    decoders = {
        n: mopoe.Decoder(mopoe.networks.mlp_decoder(small.SHAPES[n], 3, (5,)), small.LIKELIHOODS[n]()) for n in NAMES
    }
    joint = mopoe.JointEncoder(
        mopoe.networks.joint_encoder({n: mopoe.networks.mlp_encoder(small.SHAPES[n], (5,)) for n in NAMES}, (4,)),
        3,
        trainable=kind != "joint",
    )
    if kind == "encoder":
        network = mopoe.networks.mlp_encoder(7, (5,))
        encoders["sensor"] = mopoe.GaussianEncoder(network, 3, 0, trainable=False)
    if kind == "decoder":
        network, likelihood = mopoe.networks.mlp_decoder(7, 3, (5,)), mopoe.likelihoods.Normal("learned")
        decoders["sensor"] = mopoe.Decoder(network, likelihood, trainable=False)
    first = mopoe.MultimodalVAE(encoders, decoders, joint, seed=0, trainable=kind != "model")
    frozen = {"encoder": encoders["sensor"], "decoder": decoders["sensor"], "joint": joint, "model": first}[kind]
    assert frozen.variables and not any(variable.trainable for variable in frozen.variables)
    count = len(first.variables)
    assert len(first.trainable_variables) == (0 if kind == "model" else count - len(frozen.variables))
    again = type(first).from_config(first.get_config())
    assert flags(again) == flags(first)
    for layer in (*again.encoders.values(), *again.decoders.values(), again.mixture, again):
        if not layer.trainable:
            layer.trainable = True  # what is frozen can be unfrozen
    assert len(again.trainable_variables) == count


def test_with_all_frozen_fit_measures_and_warns_as_keras_does(tmp_path):
    first, rows = model(trainable=False), small.rows(8, NAMES)
    before = first.get_weights()
    with pytest.warns(UserWarning, match="all its variables are frozen"):
        history = first.fit(rows, batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"][0])
    for variable, old in zip(first.weights, before):
        np.testing.assert_array_equal(variable, old)
    first.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.trainable = True
    loaded.fit(rows, batch_size=8, verbose=0)
    assert all(np.any(old != new) for old, new in zip(before, loaded.get_weights()) if old.size > 1)


def test_a_file_of_an_earlier_version_says_nothing_of_heads(tmp_path):
    config = model().get_config()
    del config["frozen"]
    assert tf.reduce_all(flags(mopoe.MultimodalVAE.from_config(config))[0])


def test_made_frozen_what_is_built_later():
    """Layers that are made in `build`, when the latent size is known, are frozen with the rest."""
    layer = mopoe.SetEncoder("sum", 8, trainable=False)
    model = small.model(joint_posterior=layer)
    assert layer.weights and not layer.trainable_variables and model.trainable_variables
    prior = mopoe.priors.GivenShared(trainable=False)
    prior.build_for(2, Normal, 3)
    assert prior.weights and not prior.trainable_variables
