"""The bound, term by term, against loops in float64; its reductions; its order; its gradient."""

from types import SimpleNamespace

import draws
import numpy as np
import objective_reference as loops
import pytest
import reference
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe.mixture import Mixture
from tf_mopoe.streams import as_stream

SEED = tf.constant([3, 4])
METHODS = {"mopoe": ("powerset", "full"), "mvae": ("full", "all"), "mmvae": ("unimodal", "none")}


def bound_and_z(model, inputs):
    """The objective's terms, and the z that it drew, [B, D]."""
    bound, (z,) = draws.decoded(model, lambda: model.loss_terms(inputs, SEED))
    return bound, z


def expected_terms(model, inputs, z, family, prior):
    """{name: -log p(x | z)}, both KLs, per row: experts and decoder outputs from Keras, the rest in loops."""
    names = list(model.modalities)
    batch, experts = model.encode(inputs).batch, model.encode(inputs).experts
    available, x = batch.available, batch.x
    pairs = {
        name: (q.loc[:, 0].numpy().astype(float), q.scale[:, 0].numpy().astype(float)) for name, q in experts.items()
    }
    subsets = {"powerset": reference.powerset(names), "unimodal": [(n,) for n in names], "full": [tuple(names)]}
    density = {
        "image": lambda x, out: reference.laplace_log_density(x, out, 1.0),
        "word": reference.categorical_log_likelihood,
        "sensor": lambda x, out: reference.normal_log_likelihood(x, out, 1.0),
    }
    count = len(z)
    terms = {name: np.zeros(count) for name in names}
    averaged, mixture = np.zeros(count), np.zeros(count)
    for row in range(count):
        present = [name for name in experts if bool(available[name][row])]
        for name in present:
            out = model.decoders[name].network(z[row : row + 1])[0].numpy().astype(float)
            terms[name][row] = -density[name](x[name][row].numpy().astype(float), out)
        parts = reference.components(pairs, row, present, subsets[family], names, prior)
        averaged[row] = sum(w * reference.kl_to_standard_normal(loc, scale) for w, loc, scale in parts)
        prior_density = reference.normal_log_density(z[row], np.zeros(z.shape[1]), np.ones(z.shape[1]))
        mixture[row] = reference.mixture_log_density(z[row].astype(float), parts) - prior_density
    return terms, averaged, mixture


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_every_term_equals_the_loop(method, missing):
    inputs = small.rows(9)
    if missing:
        inputs = small.with_missing(inputs)
    for kl in ("components", "mixture"):
        objective = mopoe.objectives.ELBO(beta=2.5, kl=kl)
        model = small.model(joint_posterior=method, objective=objective, reconstruction_weights="dimension")
        bound, z = bound_and_z(model, inputs)
        terms, averaged, mixture = expected_terms(model, inputs, z, *METHODS[method])
        expected_kl = averaged if kl == "components" else mixture
        for name in small.SHAPES:
            np.testing.assert_allclose(bound.reconstruction[name], terms[name], rtol=1e-5)
        # atol: the estimated KL is a difference of log densities of the size of 10
        np.testing.assert_allclose(bound.kl, expected_kl, rtol=1e-5, atol=1e-5)
        weights = {"image": 1.0, "word": 30 / 3, "sensor": 30 / 7}
        loss = sum(weights[name] * terms[name] for name in terms) + 2.5 * expected_kl
        np.testing.assert_allclose(bound.loss, loss, rtol=1e-5)


def test_full_is_mvaes_joint_bound():
    model = small.model(joint_posterior="mvae")
    inputs = small.rows(6)
    q = model.encode(inputs)
    loc = q.joint.loc
    assert loc.shape == (6, 1, 4)
    for row in range(6):
        pairs = [(expert.loc[row, 0], expert.scale[row, 0]) for expert in q.experts.values()]
        expected = reference.product([m for m, _ in pairs], [s for _, s in pairs], with_prior=True)
        np.testing.assert_allclose(loc[row, 0], expected[0], rtol=1e-5, atol=1e-6)
        kl = reference.kl_to_standard_normal(*expected)
        np.testing.assert_allclose(model.loss_terms(inputs, SEED).kl[row], kl, rtol=1e-5)


def test_unimodal_is_mmvaes_bound_with_one_sample():
    """Shi et al. 2019, eq. (3) with K = 1: log p(X, z) - log of the average of the unimodal posteriors, at z."""
    model = small.model(joint_posterior="mmvae", objective=mopoe.objectives.ELBO(kl="mixture"))
    inputs = small.rows(6)
    experts = model.encode(inputs).experts
    bound, z = bound_and_z(model, inputs)
    average = np.mean([np.exp(q.log_prob(z).numpy().astype(float)) for q in experts.values()], axis=0)
    joint = sum(model.decoders[name](z).log_prob(inputs[name]).numpy().astype(float) for name in inputs)
    joint += [reference.normal_log_density(row, np.zeros(4), np.ones(4)) for row in z]
    np.testing.assert_allclose(bound.loss, np.log(average) - joint, rtol=1e-5)


@pytest.mark.parametrize("method", ["mopoe", "mmvae"])
@pytest.mark.parametrize("kl", ["components", "mixture"])
def test_one_modality_is_a_plain_vae(method, kl):
    model = small.model(("sensor",), joint_posterior=method, objective=mopoe.objectives.ELBO(kl=kl))
    x = small.rows(5, ("sensor",))["sensor"]
    bound, z = bound_and_z(model, {"sensor": x})
    expert = model.encoders["sensor"](x)
    for row in range(5):
        loc, scale = expert.mean()[row].numpy().astype(float), expert.stddev()[row].numpy().astype(float)
        out = model.decoders["sensor"].network(z[row : row + 1])[0].numpy().astype(float)
        expected = -reference.normal_log_likelihood(x[row], out, 1.0)
        if kl == "components":
            expected += reference.kl_to_standard_normal(loc, scale)
        else:
            expected += reference.normal_log_density(z[row], loc, scale)
            expected -= reference.normal_log_density(z[row], np.zeros(4), np.ones(4))
        np.testing.assert_allclose(bound.loss[row], expected, rtol=1e-5)


def test_the_mixtures_own_kl_is_at_most_the_averaged_one():
    """Convexity of the KL, within 5 standard errors of its estimate from 4,000 draws of one row."""
    rng = np.random.default_rng(0)
    loc = tf.constant(np.repeat(rng.normal(size=(1, 7, 4)) * 2, 4000, axis=0), tf.float32)
    scale = tf.constant(np.repeat(np.exp(rng.normal(size=(1, 7, 4))), 4000, axis=0), tf.float32)
    components = Mixture(tf.fill([4000, 7], 1 / 7), loc, scale)
    kls = {}
    for kl in ("components", "mixture"):
        q = SimpleNamespace(joint=components, step=0)
        terms = mopoe.objectives.ELBO(kl=kl)(q, loops.generative(lambda z: tf.zeros(4000), 4), as_stream(SEED))
        kls[kl] = terms.kl.numpy()
    error = kls["mixture"].std() / np.sqrt(4000)
    assert kls["mixture"].mean() < kls["components"].mean() + 5 * error
    assert kls["mixture"].mean() > kls["components"].mean() - np.log(7) - 5 * error  # apart by log S at the most


def test_the_gradient_equals_finite_differences():
    """Same seed, same draws: the loss is a smooth function of a decoder's bias and an encoder's bias."""
    inputs = small.with_missing(small.rows(5))
    for kl in ("components", "mixture"):
        model = small.model(("word", "sensor"), objective=mopoe.objectives.ELBO(kl=kl))
        inputs = small.with_missing(small.rows(5, ("word", "sensor")))
        loss = lambda: tf.reduce_sum(model.loss_terms(inputs, SEED).loss)  # noqa: B023, E731
        for variable in (model.encoders["word"].loc_head.bias, model.encoders["sensor"].log_variance_head.bias):
            with tf.GradientTape() as tape:
                value = loss()
            gradient = tape.gradient(value, variable.value).numpy()
            before = variable.numpy()
            for d in range(4):
                step = np.eye(4, dtype=np.float32)[d] * 1e-2
                variable.assign(before + step)
                up = float(loss())
                variable.assign(before - step)
                numeric = (up - float(loss())) / 2e-2
                variable.assign(before)
                # 2 %: central differences with a step of 0.01 in float32
                np.testing.assert_allclose(gradient[d], numeric, rtol=2e-2, atol=2e-2)


def test_a_gradient_reaches_every_variable():
    for method in METHODS:
        model = small.model(joint_posterior=method)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model.loss_terms(small.rows(32), SEED, training=True).loss)
        for variable, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables)):
            assert gradient is not None and np.any(gradient.numpy() != 0.0), variable.path


def test_bad_arguments():
    with pytest.raises(ValueError, match="`beta` must be a number, 0 or more. Received: beta=-1"):
        mopoe.objectives.ELBO(beta=-1)
    with pytest.raises(ValueError, match='`kl` must be "components" or "mixture". Received: kl=\'exact\''):
        mopoe.objectives.ELBO(kl="exact")
