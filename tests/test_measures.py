"""The measures of coherence, latent space and likelihood, against closed forms and slow references."""

import itertools

import draws
import numpy as np
import pytest
import small
from linear_gaussian import exact, linear_gaussian

from tf_mopoe import evaluation
from tf_mopoe.evaluation.linear_probe import stratified_rows

METHODS = ("mopoe", "mvae", "mmvae")
NAMES = tuple(small.SHAPES)
SUBSETS = [given for size in (1, 2, 3) for given in itertools.combinations(NAMES, size)]
THREE = {"a": 3, "b": 5, "c": 4}


def brightest(x):
    return np.argmax(x.reshape(len(x), -1), axis=1) % 3


READERS = dict.fromkeys(NAMES, brightest)


# ---- what is made from subsets


@pytest.mark.parametrize("method", METHODS)
def test_coherence_is_that_of_translate_and_encodes_each_row_once(method, monkeypatch):
    model, inputs, labels = small.model(joint_posterior=method), small.rows(300), np.arange(300) % 3
    calls = {"encode": 0, "decode": 0}
    for name in calls:
        original = getattr(model, name)

        def counted(*args, name=name, original=original, **kwargs):
            calls[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(model, name, counted)
    reported, read = [], {name: [] for name in NAMES}

    def reader(name):
        return lambda x: read[name].append(x) or brightest(x)

    with draws.recorded(model) as got:
        coherence = evaluation.conditional_coherence(
            model,
            inputs,
            labels,
            {name: reader(name) for name in NAMES},
            batch_size=120,
            seed=4,
            progress=lambda *part: reported.append(part),
        )
    assert calls == {"encode": 3, "decode": 3 * 9}  # three batches; nine pairs of given and target
    assert reported == [(done, 18) for done in range(1, 19)]
    monkeypatch.undo()
    assert len(coherence) == 9
    for target in NAMES:
        some = [given for given in SUBSETS if target not in given]
        for number, given in enumerate(some):  # in each batch one after the other
            z, made = (np.concatenate(parts[target][number :: len(some)]) for parts in (got, read))
            draws.assert_translates_from(model, inputs, given, z)
            np.testing.assert_allclose(made, model.decode(z, target), rtol=1e-5, atol=1e-6)
            assert coherence[given, target] == np.mean(brightest(made) == labels)


def test_labels_are_one_class_a_row():
    model, inputs = small.model(), small.rows(6)
    for labels in (np.zeros([6, 1], int), np.zeros(12, int)):
        for measure in (
            lambda: evaluation.conditional_coherence(model, inputs, labels, READERS),  # noqa: B023
            lambda: evaluation.classifier_accuracy(inputs, labels, READERS),  # noqa: B023
            lambda: evaluation.linear_accuracy(model, inputs, np.arange(6) % 2, inputs, labels),  # noqa: B023
        ):
            with pytest.raises(ValueError, match=r"`labels` must be one class per row, shape \(6,\). Received: shape"):
                measure()


def test_measures_need_complete_rows():
    model, inputs = small.model(), small.rows(6)
    for bad in ({"image": inputs["image"]}, {**inputs, "has_word": np.ones(6, bool)}):
        for measure in (evaluation.joint_log_likelihoods, evaluation.conditional_log_likelihoods):
            with pytest.raises(ValueError, match="`inputs` must hold complete rows of all modalities.*Received: "):
                measure(model, bad)
        with pytest.raises(ValueError, match="`inputs` must hold complete rows"):
            evaluation.conditional_coherence(model, bad, np.zeros(6), READERS)
        with pytest.raises(ValueError, match="`inputs` must hold complete rows"):
            evaluation.frechet_distances(model, bad, {})


# ---- the linear probe


@pytest.mark.parametrize("method", ("mopoe", "mvae"))
def test_linear_accuracy_is_that_of_a_probe_on_the_products_means(method):
    linear_model = pytest.importorskip("sklearn.linear_model", reason="the linear probe needs scikit-learn")
    model, train, test = small.model(joint_posterior=method), small.rows(300), small.rows(200, seed=1)
    labels = {id(x): (x["sensor"][:, 0] > 0).astype(int) for x in (train, test)}  # known to the sensor only
    reported = []
    accuracy = evaluation.linear_accuracy(
        model, train, labels[id(train)], test, labels[id(test)], progress=lambda *part: reported.append(part)
    )
    assert list(accuracy) == SUBSETS and reported == [(done, 7) for done in range(1, 8)]
    for given in SUBSETS:
        loc = [model.subset_posterior({name: x[name] for name in given}).loc.numpy() for x in (train, test)]
        probe = linear_model.LogisticRegression(max_iter=1000).fit(loc[0].astype(float), labels[id(train)])
        # another solver: up to one row of the 200 may fall to the other side
        assert accuracy[given] == pytest.approx(np.mean(probe.predict(loc[1]) == labels[id(test)]), abs=0.0051)


def test_linear_accuracy_of_a_mixture_is_that_of_its_experts_in_turn():
    pytest.importorskip("sklearn", reason="the linear probe needs scikit-learn")
    model, _, inputs = linear_gaussian(rows=1500, joint_posterior="mmvae")
    labels = (inputs["a"] @ model.encoders["a"].network.matrix @ np.array([1.0, 0.0]) > 0).astype(int)
    inputs["b"] = np.random.default_rng(1).normal(size=inputs["b"].shape).astype(np.float32)  # knows nothing
    train, test = ({name: x[rows] for name, x in inputs.items()} for rows in (slice(500), slice(500, None)))
    accuracy = evaluation.linear_accuracy(model, train, labels[:500], test, labels[500:])
    error = 5 * np.sqrt(0.25 / 1000)
    assert accuracy["a",] > 0.97
    assert accuracy["b",] == pytest.approx(0.5, abs=error)
    assert accuracy["a", "b"] == pytest.approx((accuracy["a",] + accuracy["b",]) / 2, abs=error)


def test_the_probes_rows_have_the_classes_in_proportion():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 5], [500, 300, 190, 10]))
    for count in (10, 100, 501, 1000):
        rows = stratified_rows(labels, count, seed=3)
        assert len(set(rows)) == count
        found = np.bincount(labels[rows], minlength=6)[[0, 1, 2, 5]]
        assert np.all(np.abs(found - count * np.array([0.5, 0.3, 0.19, 0.01])) <= 1.0 + 1e-9)
    np.testing.assert_array_equal(stratified_rows(labels, 100, seed=3), stratified_rows(labels, 100, seed=3))
    assert set(stratified_rows(labels, 100, seed=3)) != set(stratified_rows(labels, 100, seed=4))
    with pytest.raises(ValueError, match="`num_train` must be 1 to 1000.*Received: num_train=1001"):
        stratified_rows(labels, 1001, seed=0)


# ---- likelihoods


def test_log_likelihoods_agree_with_the_closed_form():
    model, weights, inputs = linear_gaussian(THREE, rows=30)
    truth = {names: exact(weights, inputs, names).mean() for size in (1, 2, 3) for names in subsets(size)}
    reported = []
    joint = evaluation.joint_log_likelihoods(
        model, inputs, num_samples=1000, batch_size=20, progress=lambda *part: reported.append(part)
    )
    assert set(joint) == set(truth) and reported == [(done, 14) for done in range(1, 15)]
    for value in joint.values():
        assert value == pytest.approx(truth["a", "b", "c"], abs=0.05)
    conditional = evaluation.conditional_log_likelihoods(model, inputs, num_samples=1000, batch_size=20)
    assert set(conditional) == {
        (given, target) for size in (1, 2) for given in subsets(size) for target in outside(given)
    }
    for (given, target), value in conditional.items():
        both = tuple(sorted((*given, target)))
        assert value == pytest.approx(truth[both] - truth[given], abs=0.05)


def subsets(size):
    return itertools.combinations(THREE, size)


def outside(given):
    return [name for name in THREE if name not in given]


def test_calibration_is_the_share_of_pairs_in_which_one_more_helps():
    values = {("a",): -5.0, ("b",): -4.0, ("c",): -3.0, ("a", "b"): -3.5, ("a", "c"): -4.5, ("b", "c"): -2.0}
    values["a", "b", "c"] = -2.5
    # Lower with one more: a c below c, a b c below b c. The other 7 of 9 pairs are higher.
    assert evaluation.expert_calibration(values) == pytest.approx(7 / 9)
    with pytest.raises(ValueError, match="`log_likelihoods` must hold a subset and the same with one more"):
        evaluation.expert_calibration({("a",): -5.0})


def test_perfect_experts_are_calibrated_and_one_that_is_far_too_sure_is_not():
    model, weights, inputs = linear_gaussian(THREE, rows=100, perfect=True, joint_posterior="mvae")
    values = evaluation.joint_log_likelihoods(model, inputs, num_samples=4)
    assert evaluation.expert_calibration(values) == 1.0
    # The product of all is the true posterior: then every sample's weight is p(X).
    assert values["a", "b", "c"] == pytest.approx(exact(weights, inputs, THREE).mean(), rel=1e-5)
    head = model.encoders["c"].log_variance_head
    head.bias.assign(head.bias - 2 * np.log(30.0))
    values = evaluation.joint_log_likelihoods(model, inputs, num_samples=4)
    for given in (("a",), ("b",), ("a", "b")):
        assert values[(*given, "c")] < values[given]
    assert evaluation.expert_calibration(values) <= 6 / 9


# ---- the mixture in the latent space


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_the_latent_mixture_has_the_moments_of_the_posteriors_means(covariance):
    pytest.importorskip("sklearn", reason="the mixture needs scikit-learn")
    model, _, inputs = linear_gaussian(rows=600)
    shift = np.random.default_rng(2).integers(2, size=(600, 1)) * 4.0 - 2.0  # two clusters
    inputs = {name: (x + shift).astype(np.float32) for name, x in inputs.items()}
    loc = model.subset_posterior(inputs).loc.numpy()
    latent = evaluation.latent_mixture(model, inputs, num_components=3, covariance=covariance, seed=1, batch_size=250)
    z = latent(200_000, seed=5)
    assert z.dtype == np.float32 and z.shape == (200_000, 2)
    error = 5 * loc.std(axis=0) / np.sqrt(200_000)
    # EM keeps the mean at every step, and the covariance too; "diag" within the components only on the diagonal.
    assert np.all(np.abs(z.mean(axis=0) - loc.mean(axis=0)) < error)
    np.testing.assert_allclose(z.var(axis=0), loc.var(axis=0), rtol=0.03)
    if covariance == "full":
        np.testing.assert_allclose(np.cov(z.T), np.cov(loc.T), atol=0.03 * loc.var())
    np.testing.assert_array_equal(latent(10, seed=5), latent(10, seed=5))
    assert np.any(latent(10, seed=5) != latent(10, seed=6))
    assert set(model.decode(latent(10))) == {"a", "b"}


def test_the_latent_mixtures_covariance_is_full_or_diag():
    with pytest.raises(ValueError, match='`covariance` must be "full" or "diag". Received: covariance=\'tied\''):
        evaluation.latent_mixture(small.model(), small.rows(4), covariance="tied")
