"""Bad input: a ValueError that names the argument, what was expected and what was received."""

import keras
import numpy as np
import private_models
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe

GOOD = small.rows(6)
LABELS = np.arange(6)


def changed(**changes):
    return {**GOOD, **changes}


BAD_INPUTS = {
    "unknown modality": (changed(smell=GOOD["sensor"]), r"\['image', 'word', 'sensor'\].*Received: \['smell'\]"),
    "wrong shape": (
        changed(image=GOOD["image"][..., 0]),
        r"`image` must have shape .*6, 5, 1.*Received: shape \(6, 6, 5\)",
    ),
    "strings": (changed(sensor=np.full((6, 7), "x")), "`sensor` must be an array of numbers.*Received: dtype <"),
    "complex numbers": (changed(sensor=np.ones((6, 7), complex)), "`sensor` must be an array of numbers.*complex128"),
    "no modality": ({}, r"at least one of the modalities \['image', 'word', 'sensor'\].*Received: \[\]"),
    "a flag only": ({"has_word": np.ones(6, bool)}, "at least one of the modalities"),
    "rows that disagree": (changed(word=GOOD["word"][:4]), "same number of rows.*'word': 4"),
    "a flag without its modality": (
        {"image": GOOD["image"], "has_word": np.ones(6, bool)},
        "`has_word` needs `word`, which is not among the inputs",
    ),
    "a flag of other numbers": (
        changed(has_word=np.full(6, 0.5)),
        "`has_word` must be bool, or 0 and 1.*Received: .*0.5",
    ),
    "a flag too long": (changed(has_word=np.ones((6, 1), bool)), r"`has_word` must be bool.*shape \(6, 1\)"),
    "flags of cells": (changed(has_word=np.ones((6, 3, 4), bool)), r"`has_word` may mark cells only if .*cells=True"),
    "not a dict": (GOOD["image"], "`inputs` must be a dict of the modalities.*Received: "),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_inputs_that_do_not_fit(case):
    inputs, text = BAD_INPUTS[case]
    model = small.compiled()
    uses = [model.joint_posterior, model.subset_posterior, model.translate, model.log_likelihood]
    # Keras' __call__ makes tensors of arrays, whose numbers are not looked at.
    for use in uses if case == "a flag of other numbers" else [*uses, model]:
        with pytest.raises(ValueError, match=text):
            use(inputs)
    if isinstance(inputs, dict) and inputs:
        for use in (model.fit, model.evaluate, model.predict):
            with pytest.raises(ValueError, match=text):
                use(inputs, verbose=0)


def test_nan_in_a_row_that_is_marked_present():
    bad = GOOD["sensor"].copy()
    bad[4, 2] = np.nan
    model = small.compiled()
    text = "`sensor` must be finite in every row where it is present.*`has_sensor`.*1 such rows.*row 4"
    for use in (model.joint_posterior, model.subset_posterior, model.translate, model.log_likelihood):
        with pytest.raises(ValueError, match=text):
            use(changed(sensor=bad))
    for use in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=text):
            use(changed(sensor=bad), verbose=0)
    fine = changed(sensor=bad, has_sensor=np.arange(6) != 4)
    assert np.isfinite(model.evaluate(fine, verbose=0)).all()


def test_a_row_with_nothing_is_an_error_outside_training():
    nothing = {"image": GOOD["image"], "has_image": np.arange(6) != 2}
    model = small.compiled()
    for use in (model.joint_posterior, model.subset_posterior, model.translate, model.log_likelihood):
        with pytest.raises(
            ValueError, match="Every row must have at least one modality. Received: 1 rows.*first row 2"
        ):
            use(nothing)
    with pytest.raises(ValueError, match="at least one modality"):
        model.predict(nothing, verbose=0)
    model.fit(nothing, verbose=0)


def test_labels_are_an_error_wherever_they_come():
    model = small.compiled()
    text = "There is no `y`.*Received: y="
    with pytest.raises(ValueError, match=text):
        model.fit(GOOD, LABELS, verbose=0)
    with pytest.raises(ValueError, match=text):
        model.evaluate(GOOD, LABELS, verbose=0)
    with pytest.raises(ValueError, match="There is no `sample_weight`"):
        model.fit(GOOD, sample_weight=np.ones(6), verbose=0)
    with pytest.raises(ValueError, match=text):
        model.fit(tf.data.Dataset.from_tensor_slices((GOOD, LABELS)).batch(3), verbose=0)


def test_losses_and_metrics_are_the_models_own():
    model = small.model()
    for name, value in (("loss", "mse"), ("metrics", ["mae"]), ("loss_weights", [1.0])):
        with pytest.raises(ValueError, match=f"`compile` takes no losses or metrics.*Received: {{'{name}'"):
            model.compile("adam", **{name: value})


def test_rows_outside_of_a_likelihoods_support():
    model = small.compiled()
    counts = {**GOOD, "word": 2.0 * GOOD["word"]}
    with pytest.raises(ValueError, match=r"`word` must be one-hot .*Received: numbers from 0, with sums from 2 to 2"):
        model.fit(counts, verbose=0)
    lacking = counts | {"has_word": np.zeros(6, bool)}
    model.fit(lacking, verbose=0)
    likelihood = mopoe.likelihoods.Bernoulli()
    with pytest.raises(ValueError, match=r"`picture` must be in \[0, 1\].*Received: numbers from 0 to 255"):
        likelihood.check("picture", np.array([[0.0, 255.0]], np.float32))
    likelihood.check("picture", np.array([[0.0, 1.0]], np.float32))


def test_a_tensor_of_unknown_shape():
    model = small.compiled()
    data = tf.data.Dataset.from_tensor_slices(GOOD).batch(3)
    lost = data.map(lambda row: {**row, "word": tf.numpy_function(np.copy, [row["word"]], tf.float32)})
    with pytest.raises(ValueError, match="`word` must have a known rank"):
        model.fit(lost, verbose=0)


def test_parts_that_do_not_fit_each_other():
    model = small.model()
    encoders, decoders = dict(model.encoders), dict(model.decoders)
    with pytest.raises(ValueError, match=r"same modalities. Received: \['image', 'sensor', 'word'\] and \['image'\]"):
        mopoe.MultimodalVAE(encoders, {"image": decoders["image"]})
    other = mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(7), latent_dim=9)
    with pytest.raises(ValueError, match="`encoders` must have the same latent_dim. Received: .*'sensor': 9"):
        mopoe.MultimodalVAE({**encoders, "sensor": other}, decoders)
    with pytest.raises(ValueError, match="`encoders` must be a dict of GaussianEncoder"):
        mopoe.MultimodalVAE(decoders, decoders)
    with pytest.raises(ValueError, match="`decoders` must be a dict of Decoder"):
        mopoe.MultimodalVAE(encoders, encoders)
    swapped = {"image": small.model().encoders["sensor"], "word": encoders["word"], "sensor": encoders["sensor"]}
    swapped["image"] = mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(7), latent_dim=4)
    with pytest.raises(
        ValueError, match=r"encoders\['image'\] must take what decoders\['image'\] makes, shape .*6, 5, 1"
    ):
        mopoe.MultimodalVAE(swapped, decoders)
    with pytest.raises(ValueError, match="name must be .* does not begin with 'has_'.*Received: \\['has_it'\\]"):
        mopoe.MultimodalVAE({"has_it": encoders["image"]}, {"has_it": decoders["image"]})


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"joint_posterior": "poe"}, "`joint_posterior` must be one of 'mopoe', 'mvae', 'mmvae'.*'poe'"),
        ({"joint_posterior": mopoe.MixtureOfProducts([("image", "taste")])}, "'taste'.*unknown"),
        ({"objective": "elbo"}, "`objective` must be callable.*Received: 'elbo'"),
        (
            {"reconstruction_weights": "size"},
            '`reconstruction_weights` must be None, "dimension", "impartial" or a dict.*size',
        ),
        ({"reconstruction_weights": {"image": 1.0}}, "`reconstruction_weights` must be.*Received: {'image': 1.0}"),
        (
            {"reconstruction_weights": {"image": -1.0, "word": 1.0, "sensor": 1.0}},
            r"reconstruction_weights\['image'\]` must be a number, 0 or more. Received: .*=-1.0",
        ),
        ({"seed": "one"}, "`seed` must be an integer, a stream or None. Received: seed='one'"),
    ],
)
def test_bad_arguments_of_the_model(arguments, text):
    with pytest.raises(ValueError, match=text):
        small.model(**{"seed": 0, **arguments})


def test_bad_arguments_of_the_layers():
    network = mopoe.networks.mlp_encoder(3)
    with pytest.raises(ValueError, match="`network` must be a Keras layer or model. Received: network=3"):
        mopoe.GaussianEncoder(3, 2)
    with pytest.raises(ValueError, match="`latent_dim` must be an integer, 1 or more. Received: latent_dim=0"):
        mopoe.GaussianEncoder(network, 0)
    with pytest.raises(ValueError, match="`network` must be a Keras layer or model. Received: network=None"):
        mopoe.Decoder(None, mopoe.likelihoods.Normal())
    with pytest.raises(ValueError, match=r"`likelihood` must be one of tf_mopoe.likelihoods.*Received: 'normal'"):
        mopoe.Decoder(network, "normal")
    with pytest.raises(ValueError, match="`shape` must be a positive integer or a tuple of them. Received: "):
        mopoe.networks.mlp_encoder(0)


def test_bad_requests():
    model = small.model()
    with pytest.raises(
        ValueError, match=r"`to` must be one of \['image', 'word', 'sensor'\] or None. Received: 'smell'"
    ):
        model.translate(GOOD, to="smell")
    for count in (0, 2.5, None):
        with pytest.raises(ValueError, match="`num_samples` must be an integer, 1 or more. Received: num_samples="):
            model.generate(count)
    with pytest.raises(ValueError, match="`seed` must be an integer, a stream or None"):
        model.generate(2, seed="x")


def test_an_encoder_that_is_keras_but_lacks_its_shape_is_named():
    encoder = mopoe.GaussianEncoder(keras.layers.Conv2D(3, 3), 4)  # a sensor has no pictures
    model = small.model()
    with pytest.raises(ValueError, match=r"encoders\['sensor'\] must take what decoders\['sensor'\] makes"):
        mopoe.MultimodalVAE({"sensor": encoder}, {"sensor": model.decoders["sensor"]})


def test_latent_variables_of_another_shape_are_named():
    model = small.model()
    for z in (np.zeros((2, 3)), np.zeros(4), "z", None):
        with pytest.raises(ValueError, match=r"`z` must be numbers of shape \(rows, 4\). Received: "):
            model.decode(z)
    with pytest.raises(ValueError, match=r"`private` must be a dict of modalities with private latent variables, \[\]"):
        model.decode(np.zeros((2, 4)), private={"word": np.zeros((2, 1))})
    model = private_models.private_model()
    with pytest.raises(ValueError, match=r"`private\['sensor'\]` must be numbers of shape \(rows, 3\).*\(2, 2\)"):
        model.decode(np.zeros((2, 4)), private={"sensor": np.zeros((2, 2))})
