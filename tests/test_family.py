"""The rest of the family's objectives: loss against loops, what is missing, gradients, training, files."""

import copy

import draws
import keras
import numpy as np
import objective_reference as loops
import private_models
import pytest
import small
import tensorflow as tf
from family_cases import CASES

import tf_mopoe as mopoe
from tf_mopoe import objectives

SEED = tf.constant([3, 4])
NAMES = ("word", "sensor")
INPUTS = {
    "all": small.rows(7),
    "some": small.with_missing(small.rows(7)),
    "one modality": small.rows(7, ("word",)),
    "two, some": small.with_missing(small.rows(7, ("image", "sensor"))),
}


@pytest.fixture(scope="module")
def models():
    made = {}
    for case, (objective, joint_posterior, _) in CASES.items():
        made[case] = small.model(
            joint_posterior=joint_posterior(tuple(small.SHAPES)),
            objective=objective(1.5),
            reconstruction_weights="dimension",
        )
        if isinstance(made[case].mixture, mopoe.SetEncoder):  # it starts near N(0, I)
            made[case].mixture.head.kernel.assign(30.0 * made[case].mixture.head.kernel)
    return made


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("case", CASES)
def test_the_loss_equals_the_loop(models, case, given):
    model, inputs = models[case], INPUTS[given]
    terms, z = draws.decoded(model, lambda: model.loss_terms(inputs, SEED))
    expected = CASES[case][2](loops.Batch(model, inputs), z, 1.5, terms.loss.numpy())
    np.testing.assert_allclose(terms.loss, expected, rtol=1e-5)
    assert set(terms.reconstruction) == {name for name in small.SHAPES if name in inputs}
    assert set(terms.extra) == set(model.objective.extra_metrics)


@pytest.mark.parametrize("case", CASES)
def test_what_is_missing_reaches_neither_loss_nor_gradient_and_a_row_with_nothing_adds_zero(case):
    """NaN against zeros in the missing rows: the same; row 0 has nothing at all."""
    objective, joint_posterior, _ = CASES[case]
    model = small.model(joint_posterior=joint_posterior(tuple(small.SHAPES)), objective=objective(1.0))
    results = []
    for fill in (np.nan, 0.0):
        inputs = small.with_missing(small.rows(6), fill=fill)
        for name in small.SHAPES:
            inputs[name][0], inputs["has_" + name][0] = fill, False
        with tf.GradientTape(persistent=True) as tape:
            terms = model.loss_terms(inputs, SEED, training=True)
            loss, of_nothing = tf.reduce_sum(terms.loss), terms.loss[0]
        assert abs(float(of_nothing)) < 1e-6 and abs(float(terms.kl[0])) < 1e-6
        assert all(float(term[0]) == 0.0 for term in terms.reconstruction.values())
        gradients = [g for g in tape.gradient(loss, model.trainable_variables) if g is not None]
        results.append([terms.loss, *gradients])
        for gradient in tape.gradient(of_nothing, model.trainable_variables):
            assert gradient is None or not np.any(gradient)
    for value, expected in zip(*results):
        assert np.all(np.isfinite(value))
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("private", [False, True], ids=["shared alone", "private too"])
@pytest.mark.parametrize("case", CASES)
def test_each_trains_in_a_graph_and_survives_a_file(case, private, tmp_path):
    """3 steps lower the loss of the rows seen, and move every variable; schedules and live numbers are saved.

    Without private latent variables in a graph; with them step by step, for time's sake.
    """
    objective, joint_posterior, _ = CASES[case]
    make = private_models.private_model if private else small.model
    warm_up = keras.optimizers.schedules.PolynomialDecay(1.0, 2, 1.0)
    source = None if case == "code" else "own"  # what is decoded always has its own: no use for auxiliary priors
    model = make(NAMES, joint_posterior=joint_posterior(NAMES), objective=objective(warm_up), private_source=source)
    model.compile(keras.optimizers.Lion(0.03), run_eagerly=private)
    before = [variable.numpy() for variable in model.trainable_variables]
    inputs = small.with_missing(small.rows(16, NAMES), rate=0.2)
    history = model.fit(inputs, epochs=3, batch_size=16, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and np.all(np.isfinite(history["loss"]))
    assert set(model.objective.extra_metrics) <= set(history)
    for variable, old in zip(model.trainable_variables, before):
        assert np.any(variable.numpy() != old), variable.path
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.objective.get_config() == model.objective.get_config()
    np.testing.assert_array_equal(loaded.loss_terms(inputs, SEED).loss, model.loss_terms(inputs, SEED).loss)
    for given in NAMES:
        made = loaded.translate({given: inputs[given][inputs["has_" + given]]}, seed=0)
        assert all(np.isfinite(x).all() for x in made.values())
    assert np.isfinite(loaded.log_likelihood(inputs, 2, seed=0)).all()


@pytest.mark.parametrize("case", CASES)
def test_a_schedule_is_its_value_at_the_step(case):
    objective, joint_posterior, _ = CASES[case]
    model = small.model(NAMES, joint_posterior=joint_posterior(NAMES))
    inputs = small.with_missing(small.rows(6, NAMES))
    model.step.assign(5)
    model.objective = objective(keras.optimizers.schedules.PolynomialDecay(0.0, 20, 2.0))
    scheduled = model.loss_terms(inputs, SEED).loss
    model.objective = objective(0.5)
    np.testing.assert_allclose(scheduled, model.loss_terms(inputs, SEED).loss, rtol=1e-6)


# ---- what each is equal to, or refuses


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
