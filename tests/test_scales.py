"""Heads that hold: whatever the size of what an encoder reads, its scales are usable, and can be learned."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_mopoe as mopoe

INITIALISATIONS = 5  # by unbounded heads 19 of 20 fail at 1e4


@pytest.mark.parametrize("size", [1.0, 1e3, 1e4, 1e6])
def test_scales_are_finite_and_positive_with_a_gradient_and_the_first_loss_is_finite(size):
    x = (size * np.random.default_rng(0).normal(size=(16, 5))).astype(np.float32)
    z, seed = tf.random.stateless_normal([16, 3], [1, 2]), tf.constant([1, 2])
    for number in range(INITIALISATIONS):
        keras.utils.set_random_seed(number)
        for encoder_class, posterior in ((mopoe.GaussianEncoder, "mopoe"), (mopoe.LaplaceEncoder, "mmvae")):
            encoders = {n: encoder_class(mopoe.networks.mlp_encoder(5, (8,)), 3, private_dim=2) for n in ("a", "b")}
            decoders = {
                # p(x) in the units of x: what is tested is the encoders' part in the loss
                n: mopoe.Decoder(mopoe.networks.mlp_decoder(5, 5, (8,)), mopoe.likelihoods.Normal(size))
                for n in encoders
            }
            model = mopoe.MultimodalVAE(encoders, decoders, posterior, seed=number)
            encoder = encoders["a"]
            for head, scales in ((encoder.log_variance_head, 0), (encoder.private_log_variance_head, 1)):
                with tf.GradientTape(persistent=True) as tape:
                    tape.watch(head.bias.value)
                    scale = encoder.posteriors(x)[scales][1]
                    total = tf.reduce_sum(
                        tf.math.log(scale), axis=0
                    )  # the size of a scale is no matter of its gradient
                assert np.all(np.isfinite(scale)) and np.all(scale > 0.0)
                gradient = tape.gradient(total, head.bias.value)
                assert np.all(np.isfinite(gradient)) and np.all(gradient > 0.0)
            with tf.GradientTape() as tape:
                terms = model.loss_terms({"a": x, "b": x}, seed, training=True)
                loss = tf.reduce_mean(terms.loss)
            assert np.isfinite(loss), (encoder_class, number)
            assert np.all(np.isfinite(terms.kl)) and np.all(np.isfinite(terms.private_kl))
            if encoder_class is mopoe.GaussianEncoder:
                assert np.all(np.isfinite(model.joint_posterior({"a": x}).log_prob(z)))
            variables = [head.bias.value for head in (encoder.log_variance_head, encoder.private_log_variance_head)]
            for gradient in tape.gradient(loss, variables):
                assert np.all(np.isfinite(gradient)) and np.any(gradient != 0.0)
