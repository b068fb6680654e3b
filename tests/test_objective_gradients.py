"""Gradients of the objectives: finite differences of what is deterministic given the seed, and TELBO's stops."""

import keras
import numpy as np
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import objectives

SEED = tf.constant([3, 4])
JOINT = {"jmvae": objectives.JMVAE(alpha=0.3), "telbo": objectives.TELBO(beta=0.5, unimodal_weight=2.0)}
GRADIENTS = {
    **{name: (objective, None) for name, objective in JOINT.items()},
    "mvae": (objectives.MVAE(num_subsets=1), "mvae"),
    "mmjsd": (objectives.MMJSD(), "mmjsd"),
    "mvtcae": (objectives.MVTCAE(), "mvtcae"),
    "iwae": (objectives.IWAE(2), "mmvae"),
    "crmvae": (objectives.CRMVAE(), "mvtcae"),
    "mmvm": (objectives.MMVM(alpha=0.3), "mmvae"),
    "info_nce": (objectives.InfoNCE(objectives.ELBO(), 2.0), "mopoe"),
    "contrastive": (objectives.Contrastive(objectives.ELBO()), "mopoe"),
}


@pytest.mark.parametrize("case", GRADIENTS)
def test_the_gradient_equals_finite_differences(case):
    """Along one random direction of all the weights (of all but the decoders': TELBO), same seed, same draws."""
    objective, joint_posterior = GRADIENTS[case]
    names = ("word", "sensor")
    model = small.model(names, joint_posterior=joint_posterior or small.joint_encoder(names), objective=objective)
    inputs = small.with_missing(small.rows(5, names))
    decoders = {v.path for decoder in model.decoders.values() for v in decoder.trainable_variables}
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.relu:
            layer.activation = keras.activations.tanh  # without kinks
    variables = [v for v in model.trainable_variables if case != "telbo" or v.path not in decoders]
    rng = np.random.default_rng(0)
    directions = [rng.normal(size=v.shape).astype(np.float32) for v in variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.loss_terms(inputs, SEED).loss)
    slope = sum(float(np.sum(g * d)) for g, d in zip(tape.gradient(loss, variables), directions) if g is not None)
    before, ends = [v.numpy() for v in variables], []
    for step in (2e-3, -2e-3):
        for variable, old, direction in zip(variables, before, directions):
            variable.assign(old + step * direction)
        ends.append(float(tf.reduce_sum(model.loss_terms(inputs, SEED).loss)))
    numeric = (ends[0] - ends[1]) / 4e-3
    # a step of 0.002 in float32, of a loss of the size of 100: 6e-8 * 100 / 0.004, some times over
    np.testing.assert_allclose(slope, numeric, rtol=2e-3, atol=0.02)


def test_the_single_bounds_of_telbo_give_the_decoders_no_gradient():
    """Decoders and joint encoder: exactly that of the joint bound; the single encoders: of their own bounds alone."""
    names = ("word", "sensor")
    model = small.model(names, joint_posterior=small.joint_encoder(names))
    decoder = mopoe.Decoder(mopoe.networks.mlp_decoder((7,), 4, (8,)), mopoe.likelihoods.Normal("learned"))
    model = mopoe.MultimodalVAE(
        model.encoders, {**model.decoders, "sensor": decoder}, joint_posterior=small.joint_encoder(names)
    )
    inputs = small.rows(6, names)
    gradients = {}
    # The same draws for the same seed; without their weight the single bounds are KLs, in which no decoder is.
    for name, objective in (
        ("telbo", objectives.TELBO(unimodal_weight=2.0)),
        ("without", objectives.TELBO(unimodal_weight=0.0)),
        ("joint", objectives.JMVAE(alpha=0.0)),
    ):
        model.objective = objective
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model.loss_terms(inputs, SEED, training=True).loss)
        found = tape.gradient(loss, [v.value for v in model.trainable_variables], unconnected_gradients="zero")
        gradients[name] = dict(zip((v.path for v in model.trainable_variables), found))
    single = {v.path for encoder in model.encoders.values() for v in encoder.trainable_variables}
    assert any("scale" in path for path in gradients["telbo"]), "the learned scale is a decoder's weight"
    for path, gradient in gradients["telbo"].items():
        if path in single:
            assert np.any(gradient) and not np.any(gradients["joint"][path])
        else:
            assert np.any(gradient), path
            np.testing.assert_array_equal(gradient, gradients["without"][path])


def test_a_frozen_decoder_still_uses_its_weights():
    model, inputs = small.model(("sensor",)), small.rows(3, ("sensor",))
    p, z = model.generative.given(model.encode(inputs).batch), tf.random.stateless_normal([3, 4], SEED)
    assert isinstance(model.decoders["sensor"], keras.layers.Layer)
    free = p.log_prob(z)["sensor"]
    np.testing.assert_array_equal(p.log_prob(z, frozen=True)["sensor"], free)


def test_jnf_teaches_the_single_encoders_and_nothing_else():
    """The two stages in one: decoders and joint encoder have the gradient of the bound alone, the experts their own."""
    names = ("word", "sensor")
    model = small.model(names, joint_posterior=small.joint_encoder(names))
    inputs = small.with_missing(small.rows(6, names))
    gradients = {}
    for alpha in (0.0, 1.0, 3.0):
        model.objective = objectives.JNF(alpha=alpha)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model.loss_terms(inputs, SEED, training=True).loss)
        found = tape.gradient(loss, [v.value for v in model.trainable_variables], unconnected_gradients="zero")
        gradients[alpha] = dict(zip((v.path for v in model.trainable_variables), found))
    single = {v.path for encoder in model.encoders.values() for v in encoder.trainable_variables}
    for path, gradient in gradients[1.0].items():
        bound = gradients[0.0][path]
        if path not in single:
            np.testing.assert_allclose(gradient, bound, rtol=1e-6, atol=1e-6)
            continue
        assert np.any(np.abs(gradient - bound) > 1e-6), path
        np.testing.assert_allclose(gradients[3.0][path] - bound, 3.0 * (gradient - bound), rtol=1e-3, atol=1e-3)
