"""What Keras users expect: fit and its callbacks, files, configuration, precision, any kind of network."""

import json
import pathlib
import sys

import draws
import keras
import numpy as np
import pytest
import small
import tensorflow as tf
from running import finish, start

import tf_mopoe as mopoe
from tf_mopoe import export

KERNELS = ("loss", "reconstruction_image", "reconstruction_word", "reconstruction_sensor", "kl", "elbo")


def test_fit_on_arrays_learns_and_reports_every_term():
    model = small.compiled(reconstruction_weights="dimension", objective=mopoe.objectives.ELBO(beta=2.0))
    inputs = small.rows(64)
    history = model.fit(inputs, batch_size=16, epochs=30, verbose=0, validation_data=small.rows(16, seed=5)).history
    assert set(history) == {*KERNELS, *("val_" + name for name in KERNELS)}
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    weights = {"image": 1.0, "word": 10.0, "sensor": 30 / 7}
    for prefix in ("", "val_"):
        total = sum(weights[n] * np.array(history[f"{prefix}reconstruction_{n}"]) for n in weights)
        np.testing.assert_allclose(history[prefix + "loss"], total + 2.0 * np.array(history[prefix + "kl"]), rtol=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_fit_on_a_data_set_equals_fit_on_arrays():
    inputs = small.rows(32)
    losses, start = [], small.model().get_weights()
    for data in (inputs, tf.data.Dataset.from_tensor_slices(inputs).batch(8)):
        model = small.compiled()
        model.set_weights(start)
        arguments = {"batch_size": 8, "shuffle": False} if data is inputs else {}
        losses.append(model.fit(data, epochs=3, verbose=0, **arguments).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


@pytest.mark.usefixtures("eagerly")
def test_evaluate_is_reproducible_and_each_batch_has_its_own_draws():
    model, inputs = small.compiled(), small.rows(32)
    assert model.evaluate(inputs, batch_size=8, verbose=0) == model.evaluate(inputs, batch_size=8, verbose=0)
    same = {name: np.tile(array[:8], (2,) + (1,) * (array.ndim - 1)) for name, array in inputs.items()}
    once = model.evaluate({name: array[:8] for name, array in inputs.items()}, batch_size=8, verbose=0)
    assert model.evaluate(same, batch_size=8, verbose=0)[0] != once[0]


def test_callbacks(tmp_path):
    pytest.importorskip("tensorboard", reason="keras.callbacks.TensorBoard needs tensorboard")
    model = small.compiled()
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss", patience=0, min_delta=1e9),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "best.keras"), monitor="val_loss", save_best_only=True),
        keras.callbacks.BackupAndRestore(str(tmp_path / "backup"), delete_checkpoint=False),
        keras.callbacks.TensorBoard(str(tmp_path / "logs")),
        keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
    ]
    history = model.fit(small.rows(32), epochs=9, validation_split=0.25, callbacks=callbacks, verbose=0).history
    assert len(history["loss"]) == 2  # stopped early
    assert (tmp_path / "log.csv").read_text().splitlines()[0].startswith("epoch,elbo,kl,loss,reconstruction_image")
    assert list((tmp_path / "logs").rglob("events*")) and list((tmp_path / "backup").iterdir())
    best = keras.models.load_model(tmp_path / "best.keras")
    assert best.evaluate(small.rows(8), verbose=0) is not None


@pytest.mark.usefixtures("eagerly")
def test_backup_and_restore_goes_on_as_if_nothing_had_happened(tmp_path):
    inputs = small.rows(32)
    whole = small.compiled()
    start = whole.get_weights()
    expected = whole.fit(inputs, epochs=4, shuffle=False, verbose=0).history["loss"]

    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    backup = lambda: keras.callbacks.BackupAndRestore(str(tmp_path))  # noqa: E731
    broken = small.compiled()
    broken.set_weights(start)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(inputs, epochs=4, shuffle=False, verbose=0, callbacks=[backup(), Crash()])
    resumed = small.compiled(seed=0)
    again = resumed.fit(inputs, epochs=4, shuffle=False, verbose=0, callbacks=[backup()]).history["loss"]
    np.testing.assert_allclose(again, expected[2:], rtol=1e-6)


@keras.saving.register_keras_serializable(package="test")
class Own(keras.Model):
    """A subclassed network, without a build of its own."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(units)

    def call(self, x):
        return keras.ops.tanh(self.dense(self.flatten(x)))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def of_all_kinds():
    """Functional, Sequential and subclassed networks in one model, with an explicit list of subsets."""
    x = keras.Input((6, 5, 1))
    h = keras.layers.Conv2D(3, 3, activation="relu")(x)
    functional = keras.Model(x, keras.layers.Concatenate()([keras.layers.Flatten()(h), keras.layers.Flatten()(x)]))
    lazy = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(5, activation="relu")])
    image_back = keras.Sequential([keras.layers.Dense(30), keras.layers.Reshape((6, 5, 1))])
    return mopoe.MultimodalVAE(
        {
            "image": mopoe.GaussianEncoder(functional, 3),
            "word": mopoe.GaussianEncoder(lazy, 3),
            "sensor": mopoe.GaussianEncoder(Own(6), 3),
        },
        {
            "image": mopoe.Decoder(image_back, mopoe.likelihoods.Bernoulli()),
            "word": mopoe.Decoder(mopoe.networks.mlp_decoder((3, 4), 3), mopoe.likelihoods.Categorical()),
            "sensor": mopoe.Decoder(Own(7), mopoe.likelihoods.Normal("learned")),
        },
        joint_posterior=mopoe.MixtureOfProducts([("image",), ("word", "sensor")], prior_expert="all"),
        objective=mopoe.objectives.ELBO(beta=0.5, kl="mixture"),
        reconstruction_weights={"image": 0.5, "word": 2.0, "sensor": 1.0},
    )


@pytest.mark.usefixtures("eagerly")
def test_networks_of_all_kinds_train_every_variable():
    model = of_all_kinds()
    model.compile("sgd")
    before = [variable.numpy() for variable in model.trainable_variables]
    model.fit(small.with_missing(small.rows(32)), epochs=2, verbose=0)
    for old, variable in zip(before, model.trainable_variables):
        assert np.any(old != variable.numpy()), variable.path


def test_keras_file_round_trip_in_a_new_process(tmp_path):
    model, inputs = of_all_kinds(), small.with_missing(small.rows(16))
    model.compile("adam", run_eagerly=True)
    model.fit(inputs, epochs=2, verbose=0)
    model.save(tmp_path / "m.keras")
    np.savez(tmp_path / "in.npz", **inputs)
    code = """
import sys, numpy as np, keras
sys.path.insert(0, sys.argv[2])
import test_keras
model = keras.models.load_model(sys.argv[1] + "/m.keras")
inputs = dict(np.load(sys.argv[1] + "/in.npz"))
made = model.translate(inputs, seed=3)
before = model.evaluate(inputs, verbose=0)
model.fit(inputs, epochs=1, shuffle=False, verbose=0)
np.savez(sys.argv[1] + "/out.npz", loss=before, weight=model.get_weights()[0], **made)
"""
    here = str(pathlib.Path(__file__).parent)
    finish(start([sys.executable, "-c", code, str(tmp_path), here]))
    out = np.load(tmp_path / "out.npz")
    for name, value in model.translate(inputs, seed=3).items():
        # another process may round otherwise: units in the last place of 1
        np.testing.assert_allclose(out[name], value, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(out["loss"], model.evaluate(inputs, verbose=0), rtol=1e-6)
    # The optimizer and the seed came along: the next epoch is the same one.
    model.fit(inputs, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_allclose(out["weight"], model.get_weights()[0], rtol=1e-5, atol=1e-7)


def test_config_round_trip():
    model = of_all_kinds()
    config = model.get_config()
    json.dumps(config)
    copy = mopoe.MultimodalVAE.from_config(config)
    for part in ("joint_posterior", "objective", "reconstruction_weights", "seed"):
        assert copy.get_config()[part] == config[part]
    copy.set_weights(model.get_weights())
    inputs = small.rows(4)
    for name, made in copy.predict(inputs, verbose=0).items():
        np.testing.assert_array_equal(made, model.predict(inputs, verbose=0)[name])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_with_float32_heads(policy):
    keras.config.set_dtype_policy(policy)
    model = small.model(reconstruction_weights="dimension")
    model.compile(keras.optimizers.Adam(1e-2))
    q = model.subset_posterior(small.rows(4))
    assert q.dtype == tf.float32
    assert model.decoders["image"](tf.zeros([2, 4])).dtype == tf.float32
    assert model.encoders["image"].network.compute_dtype == policy.removeprefix("mixed_")
    history = model.fit(small.with_missing(small.rows(64)), batch_size=16, epochs=40, verbose=0).history
    # In float32 it ends at 0.78 to 0.83 of the first epoch's loss, by the draws.
    assert np.all(np.isfinite(history["loss"])) and history["loss"][-1] < 0.85 * history["loss"][0]
    assert all(np.all(np.isfinite(weight)) for weight in model.get_weights())


@pytest.mark.parametrize(
    "method, objective",
    [
        ("mopoe", mopoe.objectives.ELBO()),
        pytest.param("mmvae", mopoe.objectives.IWAE(2), marks=pytest.mark.slow),
    ],
)
def test_xla_compiles_the_step_which_is_keras_default_on_gpus(method, objective):
    """Its draws are others (XLA has random numbers of its own), so the averages over 8 epochs are compared: within 3 %."""
    losses = []
    for jit in (False, True):
        keras.utils.set_random_seed(0)
        model = small.model(joint_posterior=method, objective=objective)
        model.compile(optimizer=keras.optimizers.SGD(1e-5), jit_compile=jit)
        history = model.fit(small.with_missing(small.rows(256)), batch_size=64, epochs=8, verbose=0).history
        losses.append(np.mean(history["loss"]))
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.03)


def test_summary_names_the_parts_and_their_shapes():
    lines = []
    small.model().summary(print_fn=lines.append)
    text = "\n".join(lines)
    for expected in ("image_encoder", "sensor_decoder", "(None, 6, 5, 1)", "(None, 4)", "mixture_of_products"):
        assert expected in text


def test_generate_and_translate_are_decided_by_their_seed():
    model, inputs = small.model(), small.rows(3)
    np.testing.assert_array_equal(model.generate(3, seed=1)["image"], model.generate(3, seed=1)["image"])
    assert np.any(model.generate(3, seed=1)["image"] != model.generate(3, seed=2)["image"])
    assert np.any(model.translate(inputs, seed=1)["word"] != model.translate(inputs)["word"])
    made, (z,) = draws.decoded(model, lambda: model.generate(3, seed=1))
    np.testing.assert_allclose(made["image"], model.decode(z)["image"], rtol=1e-6)


def test_predict_decodes_the_mean_of_the_product():
    model, inputs = small.model(), small.rows(5)
    made = model.predict(inputs, batch_size=2, verbose=0)
    z = model.subset_posterior(inputs).mean()
    np.testing.assert_allclose(made["sensor"], model.decoders["sensor"].network(z), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(made["word"].sum(axis=-1), np.ones((5, 3)), rtol=1e-5)


def test_in_a_graph_each_call_has_a_draw_of_its_own():
    model, inputs = small.model(), small.rows(3)
    translate = tf.function(lambda x: model.translate({"image": x}, to="sensor"))
    assert np.any(translate(inputs["image"]) != translate(inputs["image"]))
    generate = tf.function(lambda: model.generate(2)["image"])
    assert np.any(generate() != generate())
    fixed = tf.function(lambda x: model.translate({"image": x}, to="sensor", seed=3))
    np.testing.assert_array_equal(fixed(inputs["image"]), fixed(inputs["image"]))
    np.testing.assert_allclose(
        fixed(inputs["image"]), model.translate({"image": inputs["image"]}, "sensor", 3), rtol=1e-5
    )


class AddsLoss(keras.layers.Layer):
    def call(self, x):
        self.add_loss(0.25 * keras.ops.mean(keras.ops.square(x)))
        return x


@pytest.mark.usefixtures("eagerly")
def test_what_the_networks_add_to_the_loss_is_in_it():
    """Regularisers and add_loss, as in any Keras model; in the metric too, and once on two modalities' steps."""

    def made(rate):
        keras.utils.set_random_seed(0)
        layers = [keras.Input((7,)), keras.layers.Dense(6, kernel_regularizer=keras.regularizers.L2(rate))]
        encoder = keras.Sequential([*layers, *([AddsLoss()] if rate else [])])
        model = small.model()
        parts = {**model.encoders, "sensor": mopoe.GaussianEncoder(encoder, 4)}
        model = mopoe.MultimodalVAE(parts, model.decoders, seed=0)
        model.compile(keras.optimizers.SGD(0.0))
        return model

    plain, regular = made(0.0), made(0.01)
    regular.set_weights(plain.get_weights())
    inputs = small.rows(8)
    kernel = next(v for v in regular.trainable_variables if v.regularizer is not None)
    own = float(0.01 * np.sum(np.square(kernel)))
    features = inputs["sensor"] @ kernel.numpy()
    for x, added in ((inputs, own + 0.25 * np.mean(features**2)), ({"word": inputs["word"]}, own)):
        losses = [model.fit(x, batch_size=8, shuffle=False, verbose=0).history["loss"][0] for model in (plain, regular)]
        np.testing.assert_allclose(losses[1] - losses[0], added, rtol=1e-3)  # the difference of two of about 30
        losses = [model.evaluate(x, batch_size=8, verbose=0, return_dict=True)["loss"] for model in (plain, regular)]
        np.testing.assert_allclose(losses[1] - losses[0], added, rtol=1e-3)
    regular.optimizer.learning_rate.assign(0.5)
    before = [float(np.sum(np.square(model.encoders["sensor"].network.layers[0].kernel))) for model in (plain, regular)]
    regular.fit({"word": inputs["word"]}, batch_size=8, verbose=0)  # nothing but the regulariser acts on it
    after = float(np.sum(np.square(regular.encoders["sensor"].network.layers[0].kernel)))
    np.testing.assert_allclose(after, before[1] * (1.0 - 0.5 * 2 * 0.01) ** 2, rtol=1e-5)


@pytest.mark.parametrize("kind", ["normal", "laplace", "private", "joint"])
def test_one_latent_variable_and_batches_of_any_size(kind, tmp_path):
    names = ("word", "sensor")
    encoder = mopoe.LaplaceEncoder if kind == "laplace" else mopoe.GaussianEncoder
    private = int(kind == "private")
    encoders, decoders = {}, {}
    for name in names:
        encoders[name] = encoder(mopoe.networks.mlp_encoder(small.SHAPES[name]), 1, private_dim=private)
        network = mopoe.networks.mlp_decoder(small.SHAPES[name], 1 + private)
        decoders[name] = mopoe.Decoder(network, small.LIKELIHOODS[name]())
    joint = {"laplace": "mmvae", "joint": small.joint_encoder(names, 1)}.get(kind, "mopoe")
    objective = {"laplace": mopoe.objectives.IWAE(2), "joint": mopoe.objectives.JMVAE()}.get(kind)
    model = mopoe.MultimodalVAE(encoders, decoders, joint, objective, seed=0)
    model.compile("sgd", run_eagerly=True)
    inputs = small.with_missing(small.rows(25, names))
    history = model.fit(inputs, batch_size=10, epochs=2, verbose=0).history  # the last batch has 5 rows
    assert np.isfinite(history["loss"]).all()
    if kind in ("normal", "laplace"):
        return  # their exports are as those of the others
    loaded = tf.saved_model.load(str(export.saved_model(model, tmp_path / "m")))
    given = {name: tf.constant(x) for name, x in small.rows(3, names).items()}
    flags = {f"has_{name}": tf.ones([3], tf.bool) for name in names}
    made = loaded.signatures["translate"](**given, **flags, seed=tf.constant([[1, 0], [2, 0], [3, 0]]))
    for name in names:
        assert made[name].shape == given[name].shape and np.isfinite(made[name]).all()
