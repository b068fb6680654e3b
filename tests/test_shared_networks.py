"""One network in several parts of a model: trains, and comes back as one, with each variable once."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mopoe as mopoe

NAMES = ("left", "right")
SIZE, D = 5, 3


def rows(count=8):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(count, SIZE)).astype(np.float32) for name in NAMES}


def encoder_network():
    return mopoe.networks.mlp_encoder(SIZE, (4,))


def decoder_network():
    return mopoe.networks.mlp_decoder(SIZE, D, (4,))


def functional(trunk):
    x = keras.Input((SIZE,))
    return keras.Model(x, trunk(keras.layers.Dense(4, activation="relu")(x)))


def parts(encoder_networks=None, decoder_networks=None, likelihoods=None):
    encoder_networks = encoder_networks or [encoder_network() for _ in NAMES]
    decoder_networks = decoder_networks or [decoder_network() for _ in NAMES]
    likelihoods = likelihoods or [mopoe.likelihoods.Normal() for _ in NAMES]
    encoders = {name: mopoe.GaussianEncoder(network, D) for name, network in zip(NAMES, encoder_networks)}
    decoders = {
        name: mopoe.Decoder(network, likelihood)
        for name, network, likelihood in zip(NAMES, decoder_networks, likelihoods)
    }
    return encoders, decoders


def one_encoder_network():
    return parts([encoder_network()] * 2)


def one_functional_encoder_network():
    return parts([functional(keras.layers.Dense(4))] * 2)


def one_decoder_network():
    return parts(decoder_networks=[decoder_network()] * 2)


def one_likelihood():
    return parts(likelihoods=[mopoe.likelihoods.Normal("learned")] * 2)


def one_encoder_and_decoder():
    encoders, decoders = parts()
    return dict.fromkeys(NAMES, encoders["left"]), dict.fromkeys(NAMES, decoders["left"])


def a_layer_of_sequential_networks():
    trunk = keras.layers.Dense(4)
    stems = [keras.Sequential([keras.Input((SIZE,)), keras.layers.Dense(4), trunk]) for _ in NAMES]
    return parts(stems)


def a_layer_of_functional_networks():
    trunk = keras.layers.Dense(4)
    return parts([functional(trunk) for _ in NAMES])


def a_network_of_functional_networks():
    trunk = functional(keras.layers.Dense(SIZE))
    x = [keras.Input((SIZE,)) for _ in NAMES]
    return parts([keras.Model(x[0], trunk(x[0])), keras.Model(x[1], keras.layers.Dense(4)(trunk(trunk(x[1]))))])


def networks_of_one_input():
    x = keras.Input((SIZE,))
    hidden = keras.layers.Dense(4)(x)
    return parts([keras.Model(x, keras.layers.Dense(4)(hidden)) for _ in NAMES])


def a_layer_of_all():
    trunk = keras.layers.Dense(SIZE)
    encoder = keras.Sequential([keras.Input((SIZE,)), trunk])
    decoder = keras.Sequential([keras.Input((D,)), keras.layers.Dense(SIZE), trunk])
    return parts([encoder, functional(keras.layers.Dense(SIZE))], [decoder, decoder_network()])


def a_joint_encoder_of_the_encoders_networks():
    encoders, decoders = parts()
    networks = {name: encoder.network for name, encoder in encoders.items()}
    return (
        encoders,
        decoders,
        mopoe.JointEncoder(mopoe.networks.joint_encoder(networks, (4,)), D),
        mopoe.objectives.JMVAE(),
    )


@keras.saving.register_keras_serializable(package="test_shared_networks")
class Transposed(keras.layers.Layer):
    """The transpose of a dense layer, by its own kernel."""

    def __init__(self, dense, **kwargs):
        super().__init__(**kwargs)
        self.dense = dense

    def build(self, input_shape):
        self.built = True

    def call(self, x):
        return tf.matmul(x, self.dense.kernel, transpose_b=True)

    def get_config(self):
        return super().get_config() | {"dense": keras.saving.serialize_keras_object(self.dense)}

    @classmethod
    def from_config(cls, config):
        return cls(**config | {"dense": keras.saving.deserialize_keras_object(config["dense"])})


def tied_encoder_and_decoder():
    dense = keras.layers.Dense(4)
    encoder = keras.Sequential([keras.Input((SIZE,)), dense])
    decoder = keras.Sequential([keras.Input((D,)), keras.layers.Dense(4, activation="relu"), Transposed(dense)])
    return parts([encoder, encoder_network()], [decoder, decoder_network()])


CASES = [
    one_encoder_network,
    one_functional_encoder_network,
    one_decoder_network,
    one_likelihood,
    one_encoder_and_decoder,
    a_layer_of_sequential_networks,
    a_layer_of_functional_networks,
    a_network_of_functional_networks,
    networks_of_one_input,
    a_layer_of_all,
    a_joint_encoder_of_the_encoders_networks,
    tied_encoder_and_decoder,
]


def pattern(model):
    """Which variables of the model's parts are the same one: for each, the place of its first occurrence."""
    layers = [*model.encoders.values(), *model.decoders.values(), model.mixture]
    variables = [id(variable) for layer in layers for variable in layer.variables]
    return [variables.index(variable) for variable in variables]


def check_same(model, other, weights=True):
    assert pattern(model) == pattern(other)
    assert len(model.weights) == len(other.weights) == len({id(variable) for variable in other.weights})
    if weights:
        for one, two in zip(model.weights, other.weights):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_parts_share_comes_back_as_one(case, tmp_path):
    model = mopoe.MultimodalVAE(*case(), seed=0)
    count = len(pattern(model))
    assert len(model.trainable_variables) == len(set(pattern(model))) < count  # something is shared
    model.compile("adam", run_eagerly=True)
    before = model.get_weights()
    model.fit(rows(), batch_size=8, verbose=0)
    assert all(np.any(old != new) for old, new in zip(before, model.get_weights()) if old.size > 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    check_same(model, loaded)
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for one, two in zip(model.optimizer.variables, loaded.optimizer.variables):
        np.testing.assert_array_equal(one, two)
    for one in (model, loaded):
        one.fit(rows(), batch_size=8, shuffle=False, verbose=0)
    check_same(model, loaded)
    loaded.save(tmp_path / "again.keras")  # what was loaded can be saved and loaded once more
    check_same(loaded, keras.models.load_model(tmp_path / "again.keras"))
    made, again = (one(rows()) for one in (model, loaded))
    for name in NAMES:
        np.testing.assert_array_equal(made[name], again[name])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_copies_share_what_the_model_shares(case, tmp_path):
    model = mopoe.MultimodalVAE(*case(), seed=0)
    check_same(model, copy.deepcopy(model))
    clone = keras.models.clone_model(model)
    check_same(model, clone, weights=False)
    fresh = mopoe.MultimodalVAE.from_config(model.get_config())
    check_same(model, fresh, weights=False)
    model.save_weights(tmp_path / "model.weights.h5")
    fresh.load_weights(tmp_path / "model.weights.h5")
    check_same(model, fresh)
    clone.set_weights(model.get_weights())
    check_same(model, clone)


def test_objects_come_back_as_one(tmp_path):
    model = mopoe.MultimodalVAE(*one_encoder_network(), seed=0)
    model.save(tmp_path / "model.keras")
    encoders = keras.models.load_model(tmp_path / "model.keras").encoders
    assert encoders["left"].network is encoders["right"].network
    assert encoders["left"].loc_head is not encoders["right"].loc_head


def test_two_models_in_one_file_keep_apart(tmp_path):
    """The numbers of shared layers are those of one model."""
    models = [mopoe.MultimodalVAE(*one_encoder_network(), seed=0) for _ in range(2)]
    configs = [keras.saving.serialize_keras_object(model) for model in models]
    one, two = keras.saving.deserialize_keras_object(configs)
    assert one.encoders["left"].network is not two.encoders["left"].network


@keras.saving.register_keras_serializable(package="test_shared_networks")
class Borrowing(keras.layers.Layer):
    """A product with a matrix, which may be another layer's: no config says that it is the same one."""

    def __init__(self, kernel=None, **kwargs):
        super().__init__(**kwargs)
        self.kernel = self.add_weight(shape=(SIZE, 4)) if kernel is None else kernel

    def build(self, input_shape):
        self.built = True

    def call(self, x):
        return tf.matmul(x, tf.convert_to_tensor(self.kernel))

    def get_config(self):
        return super().get_config()


def test_what_cannot_come_back_as_one_is_refused_by_the_names_of_both_parts():
    lender = keras.layers.Dense(4, name="lender")
    one = keras.Sequential([keras.Input((SIZE,)), lender])
    other = keras.Sequential([keras.Input((SIZE,)), Borrowing(lender.kernel)])
    text = r"encoders\['left'\] and encoders\['right'\] may share layers .*Received: both have \['.*lender/kernel'\]"
    with pytest.raises(ValueError, match=text):
        mopoe.MultimodalVAE(*parts([one, other]))
