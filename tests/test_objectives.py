"""Every objective's loss equals that of the loops; rows that lack something, or everything."""

import draws
import keras
import numpy as np
import objective_reference as loops
import pytest
import small
import tensorflow as tf

import tf_mopoe as mopoe
from tf_mopoe import objectives

SEED = tf.constant([3, 4])


# {case: (objective, joint posterior, loss of a Batch, of the z that were drawn, and where it is needed of the loss found)}
CASES = {
    "elbo": (
        objectives.ELBO(beta=2.5),
        lambda: "mopoe",
        lambda batch, z, _: loops.elbo(batch, z, 2.5, "powerset", "full"),
    ),
    "iwae": (
        objectives.IWAE(num_samples=3, beta=1.5),
        lambda: "mmvae",
        lambda batch, z, _: loops.iwae(batch, z, 1.5, 3, "unimodal", "none"),
    ),
    "dreg": (
        objectives.IWAE(num_samples=2, gradient="dreg"),
        lambda: "mopoe",
        lambda batch, z, _: loops.iwae(batch, z, 1.0, 2, "powerset", "full"),
    ),
    "mvae": (
        objectives.MVAE(beta=0.5, num_subsets=2),
        lambda: "mvae",
        lambda batch, z, found: loops.mvae(batch, z, 0.5, found),
    ),
    "mmjsd": (objectives.MMJSD(beta=2.0), lambda: "mmjsd", lambda batch, z, _: loops.mmjsd(batch, z, 2.0)),
    "jmvae": (
        objectives.JMVAE(alpha=0.3, beta=1.5),
        small.joint_encoder,
        lambda batch, z, _: loops.jmvae(batch, z, 1.5, 0.3),
    ),
    "telbo": (
        objectives.TELBO(beta=0.5, unimodal_weight=3.0),
        small.joint_encoder,
        lambda batch, z, _: loops.telbo(batch, z, 0.5, 3.0),
    ),
    "crmvae": (
        objectives.CRMVAE(beta=2.5),
        lambda: "mvtcae",
        lambda batch, z, _: loops.crmvae(batch, z, 2.5),
    ),
    "mmvm": (
        objectives.MMVM(beta=1.5, alpha=0.3),
        lambda: "mmvae",
        lambda batch, z, _: loops.mmvm(batch, z, 1.5, 0.3),
    ),
    "jnf": (
        objectives.JNF(beta=1.5, alpha=0.7),
        small.joint_encoder,
        lambda batch, z, _: loops.jnf(batch, z, 1.5, 0.7),
    ),
    "info_nce": (
        objectives.InfoNCE(objectives.MVTCAE(beta=2.5), weight=3.0, temperature=0.5),
        lambda: "mvtcae",
        lambda batch, z, _: loops.mvtcae(batch, z, 2.5, 5.0 / 6.0) + 3.0 * loops.info_nce(batch, 0.5),
    ),
    "mvtcae": (
        objectives.MVTCAE(beta=2.5),
        lambda: "mvtcae",
        lambda batch, z, _: loops.mvtcae(batch, z, 2.5, 5.0 / 6.0),
    ),
}
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
            joint_posterior=joint_posterior(), objective=objective, reconstruction_weights="dimension"
        )
    return made


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("case", CASES)
def test_the_loss_equals_the_loop(models, case, given):
    model, inputs = models[case], INPUTS[given]
    terms, z = draws.decoded(model, lambda: model.loss_terms(inputs, SEED))
    expected = CASES[case][2](loops.Batch(model, inputs), z, terms.loss.numpy())
    np.testing.assert_allclose(terms.loss, expected, rtol=1e-5)
    assert set(terms.reconstruction) == {name for name in small.SHAPES if name in inputs}


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


def everything():
    """All of CASES, and a contrastive one of each kind of gradient."""
    yield from ((case, objective, joint()) for case, (objective, joint, _) in CASES.items())
    for base in (objectives.ELBO(kl="mixture"), objectives.IWAE(num_samples=2, gradient="dreg")):
        yield "contrastive", objectives.Contrastive(base), "mopoe"


@pytest.mark.parametrize("number", range(len(CASES) + 2))
def test_what_is_missing_reaches_neither_loss_nor_gradient_and_a_row_with_nothing_adds_zero(number):
    """NaN against zeros in the missing rows: bit for bit the same; row 0 has nothing at all."""
    case, objective, joint_posterior = list(everything())[number]
    # With densities at a drawn z the KL is a difference of logarithms: to a few units in the last place of 8 nats.
    limit = 4.0 * np.spacing(np.float32(8.0)) if case in ("iwae", "dreg", "contrastive") else 0.0
    model = small.model(joint_posterior=joint_posterior, objective=objective)
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


@pytest.mark.parametrize("case", sorted(set(CASES) - {"elbo", "iwae"}))
def test_each_trains_in_a_graph_with_missing_rows(case):
    """3 steps lower the loss of the rows seen, and move every variable."""
    names = ("word", "sensor")
    objective, joint_posterior, _ = CASES[case]
    joint_posterior = joint_posterior() if isinstance(joint_posterior(), str) else small.joint_encoder(names)
    model = small.compiled(names, joint_posterior=joint_posterior, objective=objective, learning_rate=0.03)
    before = [variable.numpy() for variable in model.trainable_variables]
    inputs = small.with_missing(small.rows(16, names), rate=0.2)
    losses = model.fit(inputs, epochs=3, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and np.all(np.isfinite(losses))
    for variable, old in zip(model.trainable_variables, before):
        assert np.any(variable.numpy() != old), variable.path


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
