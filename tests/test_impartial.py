"""`reconstruction_weights="impartial"`: no modality outweighs another in what the encoders learn."""

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import impartial
from tf_mopoe.networks import mlp_decoder, mlp_encoder
from tf_mopoe.streams import as_stream

NAMES = tuple(small.SHAPES)


def test_each_gradient_has_the_size_of_the_largest_and_its_own_direction():
    rng = np.random.default_rng(0)
    slopes = [rng.standard_normal((6, 3)).astype(np.float32) * size for size in (0.1, 30.0, 1.0, 0.0)]
    has = [np.ones(6, bool), np.arange(6) < 4, np.arange(6) % 2 == 0, np.ones(6, bool)]
    slopes = [np.where(rows[:, None], slope, 0.0).astype(np.float32) for slope, rows in zip(slopes, has)]
    z = tf.constant(rng.standard_normal((6, 3)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(z)
        each = impartial.branches(z, [tf.constant(rows) for rows in has])
        loss = tf.add_n([tf.reduce_sum(own * slope) for own, slope in zip(each, slopes)])
    assert all(np.array_equal(own, z) for own in each)
    sizes = [np.sqrt((slope.astype(np.float64) ** 2).sum() / rows.sum()) for slope, rows in zip(slopes, has)]
    expected = sum(slope * max(sizes) / size for slope, size in zip(slopes, sizes) if size)
    np.testing.assert_allclose(tape.gradient(loss, z), expected, rtol=1e-5, atol=1e-5)


def gradients(weights, training=True, **kwargs):
    """The loss and the encoders' gradients of a model, of the reconstruction alone (beta 0)."""
    keras.utils.set_random_seed(0)
    model = small.model(objective=mopoe.objectives.ELBO(beta=0.0), reconstruction_weights=weights, **kwargs)
    inputs = {name: tf.constant(x) for name, x in small.with_missing(small.rows()).items()}
    variables = [variable.value for name in NAMES for variable in model.encoders[name].trainable_variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.loss_terms(inputs, as_stream(3), training=training).loss)
    return float(loss), np.concatenate([np.ravel(g) for g in tape.gradient(loss, variables)])


def test_weights_that_are_large_change_the_direction_of_plain_gradients_only():
    """Where one word's term is a hundred times the others', the encoders' gradient is that of the word; not if impartial."""
    loss, balanced = gradients("impartial")
    same, plain = gradients(None)
    np.testing.assert_allclose(loss, same, rtol=1e-6)  # the loss is that with all weights 1
    _, alone = gradients({"image": 0.0, "word": 1.0, "sensor": 0.0})
    _, loud = gradients({"image": 1.0, "word": 100.0, "sensor": 1.0})

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    assert cosine(loud, alone) > 0.99 > 0.9 > cosine(balanced, alone)
    assert cosine(balanced, plain) < 0.99  # and here the plain one is not balanced either


def test_outside_of_training_gradients_are_plain():
    a, b = gradients("impartial", training=False)[1], gradients(None, training=False)[1]
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("objective", [mopoe.objectives.IWAE(2), mopoe.objectives.MVAE(), mopoe.objectives.MVTCAE()])
def test_it_trains_with_other_objectives(objective):
    posterior = {"MVAE": "mvae", "MVTCAE": "mvtcae"}.get(type(objective).__name__, "mopoe")
    model = small.model(objective=objective, joint_posterior=posterior, reconstruction_weights="impartial")
    model.compile(keras.optimizers.Lion(1e-2), run_eagerly=True)
    losses = model.fit(small.with_missing(small.rows(8)), batch_size=8, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_it_is_kept_in_files_and_cannot_be_assigned(tmp_path):
    model = small.model(reconstruction_weights="impartial")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.reconstruction_weights == "impartial" and loaded.generative.impartial
    message = "`reconstruction_weights` cannot become"
    with pytest.raises(ValueError, match=message):
        loaded.reconstruction_weights = None
    with pytest.raises(ValueError, match=message):
        small.model().reconstruction_weights = "impartial"


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_modality_of_few_numbers_is_learned_beside_one_of_many(jit_compile):
    """A digit of one-hot numbers beside 400 numbers of noise and one of the digit: the latent variables keep the digit."""
    rng = np.random.default_rng(0)
    labels = rng.integers(8, size=512)
    code = np.eye(8, dtype=np.float32)[labels]
    many = rng.standard_normal((512, 400)).astype(np.float32)
    many[:, :40] += 0.5 * many[:, :1]  # what the many numbers share, and the code does not have

    def accuracy(weights):
        keras.utils.set_random_seed(0)
        model = mopoe.MultimodalVAE(
            {"many": mopoe.GaussianEncoder(mlp_encoder(400), 2), "code": mopoe.GaussianEncoder(mlp_encoder(8), 2)},
            {
                "many": mopoe.Decoder(mlp_decoder(400, 2), mopoe.likelihoods.Normal(1.0)),
                "code": mopoe.Decoder(mlp_decoder(8, 2), mopoe.likelihoods.Categorical()),
            },
            reconstruction_weights=weights,
            seed=0,
        )
        model.compile(keras.optimizers.Adam(3e-3), jit_compile=jit_compile)
        model.fit({"many": many, "code": code}, batch_size=64, epochs=30, verbose=0)
        z = model.encode({"code": code}).mean()
        return float(np.mean(np.argmax(model.decode(z, "code"), axis=-1) == labels))

    assert accuracy("impartial") > 0.95 and accuracy(None) < 0.5
