"""The rest of the family: what its objectives are equal to, or refuse."""

import copy

import draws
import keras
import numpy as np
import private_models
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import objectives

SEED = tf.constant([3, 4])
NAMES = ("word", "sensor")


def test_info_nce_of_unrelated_pairs_is_the_log_of_their_number_and_falls_by_training():
    """All means alike: log B for each of the M (M - 1) pairs, over M - 1."""
    model = small.model(objective=objectives.InfoNCE(objectives.ELBO(), weight=1.0, temperature=0.2))
    for encoder in model.encoders.values():
        encoder.loc_head.kernel.assign(tf.zeros_like(encoder.loc_head.kernel))
        encoder.loc_head.bias.assign(tf.ones_like(encoder.loc_head.bias))
    terms = model.loss_terms(small.rows(8), SEED)
    np.testing.assert_allclose(terms.extra["info_nce"], 3.0 * np.log(8.0), rtol=1e-5)
    model = small.compiled(NAMES, objective=objectives.InfoNCE(objectives.ELBO(), 50.0, 0.2), learning_rate=0.03)
    history = model.fit(small.rows(16, NAMES), epochs=20, batch_size=16, verbose=0).history
    assert history["info_nce"][-1] < 0.7 * history["info_nce"][0]


@pytest.mark.parametrize("source", ["own", "auxiliary"])
def test_in_dmvae_each_modality_decodes_with_its_own_private_latents_whatever_z_comes_from(source):
    settings = {"joint_posterior": "mvae", "objective": objectives.DMVAE(), "private_source": source}
    model = private_models.private_model(**settings, private_beta=1.0)
    for name in ("image", "sensor"):  # w is its mean
        head = model.encoders[name].private_log_variance_head
        head.kernel.assign(tf.zeros_like(head.kernel))
        head.bias.assign(tf.fill(head.bias.shape, -20.0))
    inputs = small.with_missing(small.rows(7))
    with draws.recorded(model) as got:
        terms = model.loss_terms(inputs, SEED)
    q = model.encode(inputs)
    for name in ("image", "sensor"):
        assert len(got[name]) == 4  # of all, and of each modality
        for latents in got[name]:
            has = inputs["has_" + name]
            np.testing.assert_allclose(latents[has, 4:], q.private[name].loc[:, 0][has], atol=6e-3)  # 8 scales
    other = private_models.private_model(**settings, private_beta=2.0)
    other.set_weights(model.get_weights())
    several = np.sum([inputs["has_" + name] for name in small.SHAPES], axis=0)
    bounds = np.where(several > 1, several + 1, several)  # each has the KL of all w of the row
    added = other.loss_terms(inputs, SEED).loss - terms.loss
    np.testing.assert_allclose(added, bounds * terms.private_kl, rtol=1e-4)


def test_code_with_equal_weights_is_the_elbo_of_all_components():
    """The mean over many draws of a component is what one pass over all of them has: KL exactly, the rest to the noise."""
    layer = mopoe.MixtureOfProducts(prior_expert="none", learned_weights=True)
    model = small.model(joint_posterior=layer, objective=objectives.CoDE(2.0))
    inputs = small.with_missing(small.rows(5))
    every = model.loss_terms(inputs, SEED)
    np.testing.assert_allclose(every.extra["weights_entropy"], np.log(2.0 ** model.encode(inputs).count - 1), atol=1e-6)
    model.objective = objectives.ELBO(2.0)
    np.testing.assert_allclose(every.kl, model.loss_terms(inputs, SEED).kl, rtol=1e-5)
    copies = {name: np.repeat(x, 300, axis=0) for name, x in inputs.items()}
    drawn = model.loss_terms(copies, SEED).loss.numpy().reshape(5, 300)
    model.objective = objectives.CoDE(2.0)
    few = {name: np.repeat(x, 60, axis=0) for name, x in inputs.items()}
    all_draws = model.loss_terms(few, SEED).loss.numpy().reshape(5, 60).mean(axis=1)
    error = drawn.std(axis=1) / np.sqrt(60)
    assert np.all(np.abs(drawn.mean(axis=1) - all_draws) < 4.0 * error)


def test_learned_weights_are_those_of_the_subsets_that_a_row_can_form():
    layer = mopoe.MixtureOfProducts(learned_weights=True)
    model = small.model(joint_posterior=layer)
    # By name: image, sensor, word, and their pairs. The model has them as image, word, sensor.
    layer.logits.assign(np.log([1.0, 3.0, 2.0, 5.0, 4.0, 6.0, 7.0]))
    inputs = small.rows(3)
    np.testing.assert_allclose(model.encode(inputs).joint.weights[0], np.arange(1.0, 8.0) / 28.0, rtol=1e-5)
    inputs |= {"has_word": np.array([True, False, False]), "has_image": np.array([True, True, False])}
    weights = model.encode(inputs).joint.weights
    np.testing.assert_allclose(weights[1], np.array([1.0, 0.0, 3.0, 0.0, 5.0, 0.0, 0.0]) / 9.0, rtol=1e-5)
    np.testing.assert_allclose(weights[2], np.eye(7)[2])
    some = model.encode({name: inputs[name] for name in ("word", "sensor")}).joint.weights  # 2, 3 and their pair's 6
    np.testing.assert_allclose(some[0], np.array([2.0, 3.0, 6.0]) / 11.0, rtol=1e-5)
    alone = mopoe.MixtureOfProducts(learned_weights=True)
    experts = {name: model.encoders[name](inputs[name]) for name in small.SHAPES}
    np.testing.assert_allclose(alone(experts).mean(), mopoe.MixtureOfProducts()(experts).mean(), rtol=1e-4, atol=1e-5)
    assert alone.logits.shape == (7,)
    with pytest.raises(ValueError, match="`learned_weights` must be False where the subsets are too many to be listed"):
        small.model(joint_posterior=mopoe.MixtureOfProducts(max_components=6, learned_weights=True))
    with pytest.raises(ValueError, match="objectives.CoDE needs `joint_posterior=MixtureOfProducts"):
        small.model(joint_posterior=mopoe.MixtureOfProducts(max_components=6), objective=objectives.CoDE())


def test_telbo_has_a_weight_for_each_modality_alone(tmp_path):
    """Each adds its own reconstruction, so many times more; equal ones are the one number."""
    model = small.model(joint_posterior=small.joint_encoder(tuple(small.SHAPES)))
    inputs = small.with_missing(small.rows(6))

    def loss(weight):
        model.objective = objectives.TELBO(unimodal_weight=weight)
        return model.loss_terms(inputs, SEED).loss.numpy()

    zero = dict.fromkeys(small.SHAPES, 0.0)
    np.testing.assert_allclose(loss(dict.fromkeys(small.SHAPES, 2.0)), loss(2.0), rtol=1e-6)
    added = [loss(zero | {name: weight}) - loss(0.0) for name, weight in (("word", 3.0), ("sensor", 5.0))]
    np.testing.assert_allclose(loss({"image": 0.0, "word": 3.0, "sensor": 5.0}), loss(0.0) + sum(added), rtol=1e-5)
    assert np.all(added[0][~inputs["has_word"]] == 0.0) and np.all(added[0][inputs["has_word"]] > 0.0)
    model.objective = objectives.TELBO(unimodal_weight={"image": 1.0, "word": 10.0, "sensor": 50.0})
    with pytest.raises(TypeError):  # a graph has the numbers; another dict needs another objective
        model.objective.unimodal_weight["word"] = 1.0
    assert copy.deepcopy(model.objective).get_config() == model.objective.get_config()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.objective.unimodal_weight == {"image": 1.0, "word": 10.0, "sensor": 50.0}
    with pytest.raises(
        ValueError, match=r"`unimodal_weight` must be a number, or one for each of .*Received: \['word'\]"
    ):
        small.model(joint_posterior=small.joint_encoder(), objective=objectives.TELBO(unimodal_weight={"word": 1.0}))
    with pytest.raises(ValueError, match="unimodal_weight\\['word'\\]` must be a number, 0 or more. Received"):
        objectives.TELBO(unimodal_weight={"word": -1.0})
