"""Every objective's loss equals that of the loops; rows that lack something, or everything; training, files, schedules."""

import draws
import keras
import numpy as np
import objective_reference as loops
import private_models
import pytest
import small
import tensorflow as tf
from objective_cases import CASES

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


BASES = {
    "elbo": (
        objectives.ELBO(beta=0.1),
        lambda: "mopoe",
        lambda batch, z: loops.elbo(batch, z, 0.1, "powerset", "full"),
    ),
    "jmvae": (
        objectives.JMVAE(alpha=0.3, beta=0.1),
        small.joint_encoder,
        lambda batch, z: loops.jmvae(batch, z, 0.1, 0.3),
    ),
}


@pytest.mark.parametrize("base, given", [("elbo", "all"), ("elbo", "some"), ("elbo", "two, some"), ("jmvae", "some")])
def test_the_contrastive_loss_equals_the_loop(base, given):
    """The unrelated tuples are whole batches of their own: inputs put together and encoded again."""
    inputs = {key: value[:5] for key, value in INPUTS[given].items()}
    objective, joint_posterior, loss = BASES[base]
    model = small.model(
        joint_posterior=joint_posterior(), objective=objectives.Contrastive(objective, weight=0.5, num_unrelated=2)
    )
    terms, z = draws.decoded(model, lambda: model.loss_terms(inputs, SEED))
    expected = loops.contrastive(model, inputs, z, 0.5, 2, loss, terms.loss.numpy())
    np.testing.assert_allclose(terms.loss, expected, rtol=1e-5)


def test_the_contrastive_loss_of_one_modality_is_its_base():
    model, inputs = small.model(objective=objectives.Contrastive(objectives.ELBO())), small.rows(4, ("word",))
    terms, (z, *_) = draws.decoded(model, lambda: model.loss_terms(inputs, SEED))
    expected = loops.elbo(loops.Batch(model, inputs), [z], 1.0, "powerset", "full")
    np.testing.assert_allclose(terms.loss, expected, rtol=1e-5)


CONTRASTIVE = {
    "contrastive": objectives.Contrastive(objectives.ELBO(kl="mixture")),
    "contrastive dreg": objectives.Contrastive(objectives.IWAE(num_samples=2, gradient="dreg")),
}


@pytest.mark.parametrize("case", [*CASES, *CONTRASTIVE])
def test_what_is_missing_reaches_neither_loss_nor_gradient_and_a_row_with_nothing_adds_zero(case):
    """NaN against zeros in the missing rows: bit for bit the same; row 0 has nothing at all."""
    # With densities at a drawn z the KL is a difference of logarithms: to a few units in the last place of 8 nats.
    limit = 4.0 * np.spacing(np.float32(8.0)) if case in ("iwae", "dreg", *CONTRASTIVE) else 0.0
    if case in CONTRASTIVE:
        model = small.model(objective=CONTRASTIVE[case])
    else:
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
        assert abs(float(of_nothing)) <= limit and abs(float(terms.kl[0])) <= limit
        assert all(float(term[0]) == 0.0 for term in terms.reconstruction.values())
        gradients = [g for g in tape.gradient(loss, model.trainable_variables) if g is not None]
        results.append([terms.loss, *gradients])
        for gradient in tape.gradient(of_nothing, model.trainable_variables):
            assert gradient is None or not np.any(gradient)
    for value, expected in zip(*results):
        assert np.all(np.isfinite(value))
        np.testing.assert_array_equal(value, expected)


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


@keras.saving.register_keras_serializable(package="test")
class Autoencoder(objectives.Objective):
    """-log p(X | z) at the mean of the product of all: an objective of a user's own."""

    def __init__(self, power=1.0):
        self.power = power

    def __call__(self, q, p, stream):
        found = p.log_prob(q.subset().loc[:, 0])
        nothing = tf.zeros_like(q.count)
        return objectives.LossTerms(-self.power * sum(found.values()), found, nothing, nothing, sum(found.values()))


def test_an_objective_of_ones_own_trains_and_survives_a_file(tmp_path):
    model = small.compiled(("sensor",), objective=Autoencoder(power=0.5), learning_rate=0.03)
    inputs = small.rows(8, ("sensor",))
    losses = model.fit(inputs, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.objective.power == 0.5
    np.testing.assert_array_equal(loaded.loss_terms(inputs, SEED).loss, model.loss_terms(inputs, SEED).loss)


def test_objectives_of_one_gaussian_refuse_a_mixture():
    for objective in (objectives.JMVAE(), objectives.TELBO()):
        with pytest.raises(ValueError, match=r"needs `joint_posterior=JointEncoder.*Received: .*\(subsets='powerset'"):
            small.model(objective=objective)


def test_the_conjunctive_product_is_of_one_prior():
    """Kurle et al. 2019: p(z)^(1 - n) prod{ q(z | x[m]) }, against the loop, where q(z | x[m]) ~ p(z) times the expert."""
    layer = mopoe.MixtureOfProducts("powerset", prior_expert="conjunctive")
    model = small.model(joint_posterior=layer)
    inputs = small.with_missing(small.rows(6))
    batch = loops.Batch(model, inputs)
    product = model.subset_posterior(inputs)
    for row in range(6):
        experts = [batch.expert(name, row) for name in batch.present(row)]
        precision = sum(1.0 + scale**-2.0 for _, scale in experts) + 1.0 - len(experts)
        loc = sum(loc / scale**2 for loc, scale in experts) / precision
        np.testing.assert_allclose(product.loc[row], loc, rtol=1e-5, atol=1e-6)  # atol: sums that cancel
        np.testing.assert_allclose(product.stddev()[row], precision**-0.5, rtol=1e-5)
