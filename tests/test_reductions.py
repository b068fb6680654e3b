"""What each objective is when its own part is taken away: an identity each, to the last digits of float32."""

import draws
import numpy as np
import reference
import small
import tensorflow as tf
import tensorflow_probability as tfp

import tf_mopoe as mopoe
from tf_mopoe import objectives
from tf_mopoe.mixture import Sample
from tf_mopoe.streams import as_stream

tfd = tfp.distributions
SEED = tf.constant([3, 4])


def loss_and_z(model, objective, inputs):
    """The loss [B], and the z [N, D] that each call of the decoders got."""
    model.objective = objective
    terms, z = draws.decoded(model, lambda: model.loss_terms(inputs, SEED))
    return terms.loss.numpy(), z


def elbo_at(model, inputs, z, beta=1.0, kl="components"):
    """The loss [B] of `ELBO(beta, kl)` that drew z [B, D]."""
    q = model.encode(inputs)
    q.joint.sample = lambda stream: Sample(tf.constant(z), None, None, {})
    return objectives.ELBO(beta, kl=kl)(q, model.generative.given(q.batch), as_stream(SEED)).loss.numpy()


def test_iwae_with_one_sample_is_the_elbo_of_the_mixture_averaged_over_its_components():
    model, inputs = small.model(joint_posterior="mmvae"), small.rows(5)
    loss, (z,) = loss_and_z(model, objectives.IWAE(1), inputs)
    each = [elbo_at(model, inputs, part, kl="mixture") for part in z.reshape(3, 5, 4)]
    np.testing.assert_allclose(loss, np.mean(each, axis=0), rtol=1e-5)


def test_iwae_with_one_component_is_that_of_burda():
    """-log 1/K sum{ p(x | z[k]) p(z[k]) / q(z[k] | x) : k }."""
    model, inputs = small.model(("sensor",)), small.rows(4, ("sensor",))
    q = model.encoders["sensor"](inputs["sensor"])
    prior = tfd.MultivariateNormalDiag(tf.zeros(4), tf.ones(4))
    for gradient in ("iwae", "dreg"):
        found, (z,) = loss_and_z(model, objectives.IWAE(6, gradient=gradient), inputs)
        decoded = model.decoders["sensor"](z).log_prob(tf.tile(inputs["sensor"], [6, 1]))
        z = z.reshape(6, 4, 4)
        log_weights = (tf.reshape(decoded, [6, 4]) + prior.log_prob(z) - q.log_prob(z)).numpy().astype(float)
        expected = [-reference.log_mean_exp(column) for column in log_weights.T]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_mvae_of_one_modality_is_a_vaes_elbo_left_out_or_masked():
    model, rows = small.model(joint_posterior="mvae"), small.rows(5)
    masked = {**rows, "has_image": np.zeros(5, bool), "has_sensor": np.zeros(5, bool)}
    for inputs in ({"word": rows["word"]}, masked):
        found, (z, *_) = loss_and_z(model, objectives.MVAE(beta=0.7), inputs)
        np.testing.assert_allclose(found, elbo_at(model, inputs, z, 0.7), rtol=1e-6)


def test_mmjsd_of_experts_that_are_the_prior_is_zero():
    model = small.model(joint_posterior="mmjsd", objective=objectives.MMJSD())
    for encoder in model.encoders.values():
        for head in (encoder.loc_head, encoder.log_variance_head):
            head.kernel.assign(np.zeros(head.kernel.shape))
            head.bias.assign(np.zeros(head.bias.shape))
    np.testing.assert_allclose(model.loss_terms(small.rows(4), SEED).kl, 0.0, atol=1e-6)


def test_mvtcae_without_alpha_is_the_elbo_of_the_product():
    model = small.model(joint_posterior="mvtcae")
    for inputs in (small.rows(6), small.with_missing(small.rows(6))):
        found, (z,) = loss_and_z(model, objectives.MVTCAE(0.0, 2.0), inputs)
        np.testing.assert_allclose(found, elbo_at(model, inputs, z, 2.0), rtol=1e-6)


def test_mvtcae_of_one_modality_is_a_part_of_its_elbo():
    """(1 - alpha) * ELBO: no modality is predicted from the others."""
    model, inputs = small.model(joint_posterior="mvtcae"), small.rows(6, ("word",))
    found, (z,) = loss_and_z(model, objectives.MVTCAE(0.75, 2.0), inputs)
    np.testing.assert_allclose(found, 0.25 * elbo_at(model, inputs, z, 2.0), rtol=1e-5)


def test_jmvae_without_alpha_is_the_elbo_of_the_joint_encoder():
    model = small.model(joint_posterior=small.joint_encoder())
    for inputs in (small.rows(6), small.with_missing(small.rows(6))):
        found, (z,) = loss_and_z(model, objectives.JMVAE(0.0, 2.0), inputs)
        np.testing.assert_allclose(found, elbo_at(model, inputs, z, 2.0), rtol=1e-6)


def test_contrastive_without_weight_is_its_base():
    model, inputs = small.model(), small.with_missing(small.rows(6))
    found, (z, *_) = loss_and_z(model, objectives.Contrastive(objectives.ELBO(), weight=0.0), inputs)
    np.testing.assert_allclose(found, elbo_at(model, inputs, z), rtol=1e-6)


def test_contrastive_of_one_row_is_its_base():
    """There is no other row: no unrelated tuple, and a cross-entropy of log 1."""
    model, inputs = small.model(), small.rows(1)
    found, (z, *_) = loss_and_z(model, objectives.Contrastive(objectives.ELBO(), num_unrelated=3), inputs)
    np.testing.assert_allclose(found, elbo_at(model, inputs, z), rtol=1e-6)


def test_conjunctive_experts_are_likelihoods_times_the_prior():
    """With q[m] ~ p l[m], Kurle's p^(1 - n) prod{ q[m] } is the rule "conjunctive" of the l[m]: scales above 1 included."""
    rng = np.random.default_rng(0)
    names = ("a", "b", "c")
    likelihoods = {
        n: tfd.MultivariateNormalDiag(*rng.normal(size=(2, 4, 3)).astype(np.float32) ** [[[1]], [[2]]]) for n in names
    }
    assert all(np.any(q.stddev() > 1.0) for q in likelihoods.values())
    available = {"b": np.array([True, False, True, False]), "c": np.array([True, True, False, False])}
    mixture = mopoe.MixtureOfProducts("powerset", "conjunctive")(likelihoods, available)
    found = [(q.mean().numpy(), q.stddev().numpy()) for q in mixture.components]
    for number, subset in enumerate(small.family("powerset", names)):
        for row in range(4):
            members = [name for name in subset if available.get(name, np.ones(4, bool))[row]]
            precision, weighted = np.full(3, 1.0 - len(members)), np.zeros(3)  # of p^(1 - n)
            for name in members:
                loc, scale = (
                    x[row].numpy().astype(float) for x in (likelihoods[name].mean(), likelihoods[name].stddev())
                )
                precision += 1.0 + scale**-2  # of q[m]
                weighted += loc / scale**2
            np.testing.assert_allclose(found[number][0][row], weighted / precision, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found[number][1][row], precision**-0.5, rtol=1e-5)
