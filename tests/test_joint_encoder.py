"""A joint posterior that a network reads from complete rows; and Kurle's two ways to join experts."""

import json

import draws
import keras
import numpy as np
import pytest
import reference
import signature_rows
import small
import tensorflow as tf
import tensorflow_probability as tfp

import tf_mopoe as mopoe
from tf_mopoe import export
from tf_mopoe.families import Normal

tfd = tfp.distributions
SEED = tf.constant([3, 4])
NAMES = tuple(small.SHAPES)


def joint_model(names=NAMES, seed=0):
    keras.utils.set_random_seed(seed)
    networks = {name: mopoe.networks.mlp_encoder(small.SHAPES[name], (5,)) for name in names}
    layer = mopoe.JointEncoder(mopoe.networks.joint_encoder(networks, (6,)), 4)
    return small.model(names, joint_posterior=layer, objective=mopoe.objectives.JMVAE())


def by_hand(model, inputs, row):
    """loc and scale of one row: the network's heads where it has all, else the product of what it has."""
    present = [name for name in model.modalities if inputs.get(f"has_{name}", np.ones(99, bool))[row]]
    if len(present) == len(model.modalities):
        encoder = model.mixture.encoder
        features = encoder.network({name: inputs[name][row : row + 1] for name in present}).numpy().astype(float)
        loc = features @ encoder.loc_head.kernel.numpy() + encoder.loc_head.bias.numpy()
        log_variance = features @ encoder.log_variance_head.kernel.numpy() + encoder.log_variance_head.bias.numpy()
        return loc[0], np.exp(0.5 * log_variance[0])
    experts = [model.encoders[name](inputs[name][row : row + 1]) for name in present]
    pairs = [(q.loc[0].numpy().astype(float), q.stddev()[0].numpy().astype(float)) for q in experts]
    return reference.product([loc for loc, _ in pairs], [scale for _, scale in pairs], with_prior=False)


def test_complete_rows_are_read_by_the_network_and_others_are_products():
    model, inputs = joint_model(), small.with_missing(small.rows(14))
    flags = np.stack([inputs[f"has_{name}"] for name in NAMES])
    assert 0 < flags.all(axis=0).sum() < 14
    q, mixture = model.subset_posterior(inputs), model.joint_posterior(inputs)
    for row in range(14):
        loc, scale = by_hand(model, inputs, row)
        np.testing.assert_allclose(q.loc[row], loc, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(q.stddev()[row], scale, rtol=1e-5)
    assert len(mixture.components) == 1
    np.testing.assert_allclose(mixture.mean(), q.loc, rtol=1e-6, atol=1e-7)
    some = {name: inputs[name][flags[:2].all(axis=0)] for name in NAMES[:2]}  # a modality that is not given at all
    for row in range(len(some["word"])):
        np.testing.assert_allclose(model.subset_posterior(some).loc[row], by_hand_of_two(model, some, row), rtol=1e-5)


def by_hand_of_two(model, some, row):
    experts = [model.encoders[name](some[name][row : row + 1]) for name in some]
    return reference.product([q.loc[0].numpy() for q in experts], [q.stddev()[0].numpy() for q in experts], False)[0]


def test_missing_rows_leave_no_trace_in_the_network():
    model, inputs = joint_model(), small.with_missing(small.rows(14), rate=0.9)
    complete = np.all([inputs[f"has_{name}"] for name in NAMES], axis=0)
    inputs["has_word"] &= ~complete | ~inputs["has_sensor"]  # now no row is complete
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.loss_terms(inputs, SEED, training=True).loss)
    variables = model.mixture.trainable_variables
    assert len(variables) > 4
    assert tape.gradient(loss, variables) == [None] * len(variables)  # no row reaches it


def test_its_network_is_in_training_mode_in_training_only():
    parts = {name: mopoe.networks.mlp_encoder(shape, (8,)) for name, shape in small.SHAPES.items()}
    network = mopoe.networks.joint_encoder(parts, (8,))
    normalisation = keras.layers.BatchNormalization()
    network = keras.Model(network.input, normalisation(network.output))
    model = small.model(joint_posterior=mopoe.JointEncoder(network, 4), objective=mopoe.objectives.JMVAE())
    model.loss_terms(small.rows(9), tf.constant([1, 2]))
    model.translate(small.rows(9))
    assert np.all(normalisation.moving_mean.numpy() == 0.0)
    model.loss_terms(small.rows(9), tf.constant([1, 2]), training=True)
    assert np.any(normalisation.moving_mean.numpy() != 0.0)


def test_translate_and_log_likelihood_come_from_it():
    model, inputs = joint_model(), small.rows(400)
    q = model.subset_posterior(inputs)
    made, (z,) = draws.decoded(model, lambda: model.translate(inputs, to="sensor", seed=7))
    np.testing.assert_allclose(made, model.decode(z, "sensor"), rtol=1e-5, atol=1e-6)
    loc, scale = q.loc[:, None], q.stddev()[:, None]
    draws.assert_drawn_from(z, [1.0], loc, scale)
    nats, z = draws.decoded(model, lambda: model.log_likelihood(inputs, 8, seed=7))
    draws.assert_drawn_from(np.concatenate(z), [1.0], np.tile(loc, (8, 1, 1)), np.tile(scale, (8, 1, 1)))
    z = np.concatenate(z).reshape(8, -1, 4)
    prior = model.family.distribution(tf.zeros([4]), tf.ones([4]))
    terms = prior.log_prob(z) - q.log_prob(z)
    for name, decoder in model.decoders.items():
        terms += np.stack([decoder(part).log_prob(inputs[name]) for part in z])
    np.testing.assert_allclose(nats, np.log(np.mean(np.exp(terms + 60.0), axis=0)) - 60.0, rtol=1e-4)
    assert np.isfinite(model.log_likelihood(inputs, 8, seed=7, given=("word",))).all()


def test_another_latent_size_than_the_models_is_an_error():
    with pytest.raises(
        ValueError, match=r"`joint_posterior` must have the latent_dim of the encoders, 4. Received: .* 1"
    ):
        small.model(joint_posterior=small.joint_encoder(latent_dim=1))


def test_a_second_model_may_have_the_same_joint_encoder():
    first = joint_model(("word", "sensor"))
    encoders = {name: first.encoders[name] for name in first.modalities}  # their order is that of the experts
    second = mopoe.MultimodalVAE(encoders, first.decoders, first.mixture, seed=first.seed)
    inputs = small.rows(5, ("word", "sensor"))
    np.testing.assert_array_equal(second.subset_posterior(inputs).loc, first.subset_posterior(inputs).loc)


def test_config_and_keras_file_round_trips(tmp_path):
    model, inputs = joint_model(("word", "sensor")), small.with_missing(small.rows(6, ("word", "sensor")))
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model.mixture)))
    layer = keras.saving.deserialize_keras_object(config)
    assert isinstance(layer, mopoe.JointEncoder) and layer.modalities == ("word", "sensor")
    assert layer.encoder.latent_dim == 4 and layer.pooling.prior_expert == "none"
    model.save(tmp_path / "m.keras")
    copy = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(copy.loss_terms(inputs, SEED).loss, model.loss_terms(inputs, SEED).loss)


def run(signatures, requests):
    return {
        name: {k: v.numpy() for k, v in signatures[name](**{k: tf.constant(v) for k, v in values.items()}).items()}
        for name, values in requests.items()
    }


def test_an_export_has_no_fuse_and_says_so_nowhere(tmp_path):
    model = joint_model(("word", "sensor"))
    path = export.saved_model(model, tmp_path / "m", num_samples=signature_rows.SAMPLES)
    signatures = tf.saved_model.load(str(path)).signatures
    rows = signature_rows.every_subset(model.modalities)
    requests, truth = signature_rows.requests(model, rows), signature_rows.expected(model, rows)
    del requests["fuse"], truth["fuse"]
    assert set(signatures) == set(requests)
    signature_rows.assert_equal(run(signatures, requests), truth)
    text = (tmp_path / "m" / "README.md").read_text()
    assert "fuse" not in text and "parts" not in text and '"encode": predict("encode", rows),' in text
    assert b"fuse" not in (path / "assets.extra" / "tf_serving_warmup_requests").read_bytes()
    code = text.split("```python")[2].split("```")[0]
    compile(code, "README.md", "exec")


def test_an_export_of_laplace_experts_has_no_product(tmp_path):
    encoders = {
        name: mopoe.LaplaceEncoder(mopoe.networks.mlp_encoder(small.SHAPES[name], (4,)), 3)
        for name in ("word", "sensor")
    }
    decoders = {
        name: mopoe.Decoder(mopoe.networks.mlp_decoder(small.SHAPES[name], 3, (4,)), small.LIKELIHOODS[name]())
        for name in encoders
    }
    model = mopoe.MultimodalVAE(encoders, decoders, joint_posterior="mmvae", seed=0)
    path = export.saved_model(model, tmp_path / "m", num_samples=4)
    signatures = tf.saved_model.load(str(path)).signatures
    assert set(signatures) == {"translate", "serving_default", "joint_posterior", "generate", "fuse", "log_likelihood"}
    assert '"encode"' not in (tmp_path / "m" / "README.md").read_text()
    inputs = small.rows(4, tuple(encoders))
    given = {key: tf.constant(value) for key, value in inputs.items()}
    flags = {f"has_{name}": tf.ones([4], tf.bool) for name in encoders}
    seed = tf.constant([[s, 0] for s in range(4)])
    made = signatures["translate"](**given, **flags, seed=seed)
    nats = signatures["log_likelihood"](**given, **flags, seed=seed)["log_likelihood"]
    experts = model.encode(inputs).experts
    parts = {f"{part}_{n}": getattr(q, part)[:, 0] for n, q in experts.items() for part in ("loc", "scale")}
    fused = signatures["fuse"](**parts, **flags, seed=seed)
    assert set(fused) == {"word", "sensor"}
    for row in range(4):
        one = {name: x[row : row + 1] for name, x in inputs.items()}
        for name, x in model.translate(one, seed=row).items():
            np.testing.assert_allclose(made[name][row], x[0], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(fused[name][row], x[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(nats[row], model.log_likelihood(one, 4, seed=row)[0], rtol=1e-5)


def test_a_laplace_encoder_converts_to_tflite(tmp_path):
    runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    encoder = mopoe.LaplaceEncoder(mopoe.networks.mlp_encoder(7, (4,)), 3)
    decoder = mopoe.Decoder(mopoe.networks.mlp_decoder(7, 3, (4,)), mopoe.likelihoods.Normal())
    model = mopoe.MultimodalVAE({"sensor": encoder}, {"sensor": decoder}, joint_posterior="mmvae")
    x = small.rows(3, ("sensor",))["sensor"]
    path = export.tflite_encoders(model, tmp_path)["sensor"]
    made = runtime.Interpreter(str(path)).get_signature_runner("encode")(sensor=x)
    np.testing.assert_allclose(made["scale"], encoder(x).distribution.scale, rtol=1e-4)
    card = json.loads((tmp_path / "sensor.json").read_text())
    assert (card["density"], card["fusion"]) == ("laplace", None)


# ---- Kurle et al. 2019


def test_the_conjunctive_rule_is_the_posterior_of_independent_sources():
    """p(z)^(1 - n) prod{ p(z) N(x[m]; z, noise[m]^2) : m }: with the likelihoods of z + noise, the true posterior of all.

    What an encoder emits is its likelihood; Kurle's expert q(z | x[m]), the true posterior of one source, is the product of
    it and the prior.
    """
    x, noise = np.array([0.5, -1.0, 2.0]), np.array([0.5, 1.0, 2.0])
    experts = {
        f"m{i}": Normal.distribution(tf.fill([4, 1], np.float32(loc)), tf.fill([4, 1], np.float32(scale)))
        for i, (loc, scale) in enumerate(zip(x, noise))
    }
    alone = [(a / (1 + s**2), s**2 / (1 + s**2)) for a, s in zip(x, noise)]  # q(z | x[m]): mean, variance
    has = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]], bool)
    layer = mopoe.MixtureOfProducts("full", "conjunctive", modalities=tuple(experts))
    q = layer.product(experts, {name: has[:, i] for i, name in enumerate(experts)})
    precision = 1.0 + has @ noise**-2
    np.testing.assert_allclose(q.loc[:, 0], has @ (x / noise**2) / precision, rtol=1e-5)
    np.testing.assert_allclose(q.stddev()[:, 0], precision**-0.5, rtol=1e-5)
    means, variances = np.array(alone).T
    count = has.sum(axis=1)
    kurle = np.where(count, has @ (1 / variances) + 1 - count, 1.0)  # of p(z)^(1 - n) prod{ q(z | x[m]) }
    np.testing.assert_allclose(kurle, precision)
    np.testing.assert_allclose(has @ (means / variances) / kurle, q.loc[:, 0], rtol=1e-5)


def test_the_disjunctive_way_is_the_mixture_of_the_single_experts():
    model = small.model(joint_posterior=mopoe.MixtureOfProducts("unimodal", "conjunctive"))
    inputs, z = small.with_missing(small.rows(9)), tf.random.normal([9, 4])
    q, densities = model.encode(inputs), []
    for expert in q.experts.values():  # each the product of the prior and of what its encoder emits
        loc, scale = (x.numpy()[:, 0].astype(float) for x in (expert.loc, expert.scale))
        precision = 1.0 + scale**-2
        single = tfd.MultivariateNormalDiag(loc * scale**-2 / precision, precision**-0.5)
        densities.append(np.exp(single.log_prob(tf.cast(z, tf.float64))))
    has = np.stack([np.asarray(flag) for flag in q.available.values()])
    np.testing.assert_allclose(
        model.joint_posterior(inputs).log_prob(z), np.log((np.stack(densities) * has).sum(0) / has.sum(0)), rtol=1e-4
    )
