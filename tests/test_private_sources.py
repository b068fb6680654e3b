"""Private latent variables in the bounds: against sums over what was drawn, whatever the objective and the source of w."""

import contextlib

import keras
import numpy as np
import objective_reference as loops
import pytest
import reference
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe.generative import Generative

SEED = tf.constant([3, 4])
SIZES = {"image": 2, "word": 0, "sensor": 3}
NAMES = tuple(small.SHAPES)


def model(sizes=SIZES, joint_posterior="mopoe", names=NAMES, **kwargs):
    keras.utils.set_random_seed(0)
    networks = mopoe.networks
    encoders = {n: mopoe.GaussianEncoder(networks.mlp_encoder(small.SHAPES[n], (8,)), 4, sizes[n]) for n in names}
    decoders = {
        n: mopoe.Decoder(networks.mlp_decoder(small.SHAPES[n], 4 + sizes[n], (8,)), small.LIKELIHOODS[n]())
        for n in names
    }
    return mopoe.MultimodalVAE(encoders, decoders, joint_posterior, seed=0, **kwargs)


@contextlib.contextmanager
def recorded():
    """Yields a list of (names of the batch, `Sample` of z, w) of every bound that is formed while the scope lasts."""
    calls, original = [], Generative.sample_private

    def sample_private(self, q, sample, stream):
        w = original(self, q, sample, stream)
        calls.append((self.batch.names, sample, w))
        return w

    Generative.sample_private = sample_private
    try:
        yield calls
    finally:
        Generative.sample_private = original


def own(net, inputs, name):
    """loc and scale [B, P] of q(w | x), from the heads' weights."""
    encoder = net.encoders[name]
    features = encoder.network(np.nan_to_num(inputs[name])).numpy().astype(float)
    loc = loops.dense(features, encoder.private_loc_head)
    return loc, np.exp(0.5 * loops.dense(features, encoder.private_log_variance_head))


def bound(net, inputs, call, row, beta, posterior, names=NAMES):
    """-ELBO of one row: weighted reconstruction at the drawn (z, w), beta times the KLs of z and of the members' w."""
    batch_names, sample, w = call
    total = beta * sum(weight * reference.kl_to_standard_normal(*part) for weight, *part in posterior(row))
    for name in names:
        if name not in batch_names or not inputs.get(f"has_{name}", np.ones(len(sample.z), bool))[row]:
            continue
        latents = [sample.z[row]]
        if SIZES[name]:
            loc, scale = (x[row] for x in own(net, inputs, name))
            if sample.members[name][row]:
                total += beta * reference.kl_to_standard_normal(loc, scale)
            latents.append(w[name][row])
        out = net.decoders[name].network(np.concatenate(latents)[None])[0].numpy().astype(float)
        total -= loops.LOG_LIKELIHOOD[name](np.asarray(inputs[name][row], float), out)
    return total


@pytest.mark.parametrize("missing", [False, True])
def test_the_elbo_of_mopoe_equals_the_loop(missing):
    inputs = small.with_missing(small.rows(9)) if missing else small.rows(9)
    net = model(objective=mopoe.objectives.ELBO(beta=2.5))
    with recorded() as calls:
        terms = net.loss_terms(inputs, SEED)
    batch = loops.Batch(net, inputs)

    def posterior(row):
        parts = loops.components(batch, row, "powerset", "full")
        return [(1.0 / len(parts), *part) for part in parts.values()]

    expected = [bound(net, inputs, calls[0], row, 2.5, posterior) for row in range(9)]
    np.testing.assert_allclose(terms.loss, expected, rtol=1e-5)
    elbo = -(sum(terms.reconstruction.values()) + terms.kl + terms.private_kl)
    np.testing.assert_allclose(terms.elbo, elbo, rtol=1e-6)


def test_mvae_and_telbo_are_their_sums_of_bounds():
    inputs = small.with_missing(small.rows(9))
    net = model(joint_posterior="mvae", objective=mopoe.objectives.MVAE(beta=1.5))
    with recorded() as calls:
        loss = net.loss_terms(inputs, SEED).loss
    batch = loops.Batch(net, inputs)
    assert [call[0] for call in calls] == [NAMES, *((name,) for name in NAMES)]
    for row in range(9):
        total = 0.0
        for call in calls:
            present = [n for n in batch.present(row) if n in call[0]]
            if call[0] == NAMES or (present and len(batch.present(row)) > 1):
                total += bound(net, inputs, call, row, 1.5, lambda row: [(1.0, *batch.product(present, row, True))])  # noqa: B023
        np.testing.assert_allclose(loss[row], total, rtol=1e-5)

    net = model(joint_posterior=small.joint_encoder(), objective=mopoe.objectives.TELBO(beta=1.5))
    with recorded() as calls:
        loss = net.loss_terms(inputs, SEED).loss
    batch = loops.Batch(net, inputs)
    for row in range(9):
        total = bound(net, inputs, calls[0], row, 1.5, lambda row: [(1.0, *batch.joint(row))])
        for call in calls[1:]:
            if call[0][0] in batch.present(row):
                total += bound(net, inputs, call, row, 1.5, lambda row: [(1.0, *batch.expert(call[0][0], row))])  # noqa: B023
        np.testing.assert_allclose(loss[row], total, rtol=1e-5)


def test_w_is_a_members_own_and_the_auxiliary_priors_else():
    inputs = small.with_missing(small.rows(4000))
    net = model()
    net.auxiliary_priors["sensor"].log_scale.assign([-3.0, -2.0, 0.5])
    with recorded() as calls:
        net.loss_terms(inputs, SEED)
    _, sample, w = calls[0]
    for name in ("image", "sensor"):
        member, has = np.asarray(sample.members[name]), inputs[f"has_{name}"]
        assert not np.any(member & ~has) and np.any(member) and np.any(has & ~member)
        loc, scale = own(net, inputs, name)
        standard = (w[name].numpy() - loc) / scale
        other = w[name].numpy() / np.exp(net.auxiliary_priors[name].log_scale.numpy())
        for values in (standard[member & has], other[~member]):
            count = len(values)
            assert np.all(np.abs(values.mean(axis=0)) < 5 / np.sqrt(count))
            assert np.all(np.abs(values.std(axis=0) - 1) < 5 / np.sqrt(2 * count))
    with recorded() as calls:
        model(private_source="own").loss_terms(inputs, SEED)
    _, sample, w = calls[0]
    loc, scale = own(net, inputs, "sensor")
    values = ((w["sensor"].numpy() - loc) / scale)[inputs["has_sensor"]]
    assert np.all(np.abs(values.std(axis=0) - 1) < 5 / np.sqrt(2 * len(values)))


def test_without_private_variables_the_source_does_not_matter():
    inputs = small.with_missing(small.rows(9))
    sizes = dict.fromkeys(NAMES, 0)
    first, second = (model(sizes, private_source=source).loss_terms(inputs, SEED) for source in ("auxiliary", "own"))
    np.testing.assert_array_equal(first.loss, second.loss)
    np.testing.assert_array_equal(first.private_kl, np.zeros(9))


def test_one_modality_alone_is_always_a_member():
    """Then z and w are the latent variables of a plain VAE, and both sources the same bound."""
    inputs = {"sensor": small.rows(9)["sensor"]}
    terms = [
        model(names=("sensor",), private_source=source).loss_terms(inputs, SEED) for source in ("auxiliary", "own")
    ]
    np.testing.assert_allclose(terms[0].loss, terms[1].loss, rtol=1e-6)


def test_iwae_weighs_the_w_of_members_and_grows_with_k():
    inputs = small.rows(400)
    values = {}
    for samples in (1, 20):
        net = model(joint_posterior="mmvae", objective=mopoe.objectives.IWAE(samples))
        with recorded() as calls:
            terms = net.loss_terms(inputs, SEED)
        values[samples] = terms.loss.numpy()
        np.testing.assert_allclose(terms.elbo, -terms.loss, rtol=1e-5)
    assert np.mean(values[20]) < np.mean(values[1])
    # K = 1, one row by hand: the average over the three components of log p(X, z, w) / q(z) q(w of the member).
    net = model(joint_posterior="mmvae", objective=mopoe.objectives.IWAE(1))
    with recorded() as calls:
        loss = net.loss_terms(inputs, SEED).loss
    _, sample, w = calls[0]
    batch, row = loops.Batch(net, inputs), 3
    mixture = [(1 / 3, *batch.expert(name, row)) for name in NAMES]
    total = 0.0
    for number, member in enumerate(NAMES):
        z = sample.z[number, row].numpy().astype(float)
        total += reference.normal_log_density(z, np.zeros(4), np.ones(4)) - reference.mixture_log_density(z, mixture)
        for name in NAMES:
            latents = [z]
            if SIZES[name]:
                point = w[name][number, row].numpy().astype(float)
                latents.append(point)
                if name == member:
                    loc, scale = (x[row] for x in own(net, inputs, name))
                    zeros, ones = np.zeros_like(point), np.ones_like(point)
                    total += reference.normal_log_density(point, zeros, ones)
                    total -= reference.normal_log_density(point, loc, scale)
            out = net.decoders[name].network(np.concatenate(latents)[None].astype(np.float32))[0].numpy()
            total += loops.LOG_LIKELIHOOD[name](inputs[name][row], out.astype(float))
    np.testing.assert_allclose(loss[row], -total / 3, rtol=1e-4)


def test_the_temperature_of_what_is_absent():
    net, inputs = model(private_temperature={"sensor": 0.0}), {"image": small.rows(6)["image"]}
    assert net.private_temperature == {"image": 1.0, "sensor": 0.0}
    cold, warm = (net.translate(inputs, to="sensor", seed=1, private_temperature=t) for t in (0.0, 1.0))
    np.testing.assert_array_equal(net.translate(inputs, to="sensor", seed=1), cold)
    assert np.any(cold.numpy() != warm.numpy())
    # What is given has its own w, whatever the temperature.
    np.testing.assert_array_equal(
        net.translate(inputs, to="image", seed=1, private_temperature=0.0),
        net.translate(inputs, to="image", seed=1, private_temperature=1.0),
    )
    z = net.prior.sample(mopoe.streams.as_stream(5), [3])
    np.testing.assert_allclose(net.generate(3, seed=5)["sensor"], net.decode(z)["sensor"], rtol=1e-6)
    with pytest.raises(ValueError, match="`private_temperature` must be a number, or a dict of the modalities"):
        net.translate(inputs, private_temperature={"word": 1.0})
