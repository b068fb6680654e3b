"""What is drawn has the distribution that it should have, however seeds are split; and the check itself finds faults."""

import math

import draws
import family_reference as family
import numpy as np
import objective_reference as loops
import pytest
import reference
import small
import tensorflow as tf
from objective_cases import CASES

SEED = tf.constant([3, 4])
COUNT = 4000  # rows: a scale that is a quarter too large is found
FAMILIES = {"elbo": ("powerset", "full"), "iwae": ("unimodal", "none"), "dreg": ("powerset", "full")}


def sources(case, batch, calls):
    """z and the (loc, scale) of the components from which it must come, their weights too where these are not equal."""
    present = batch.present(0)
    if case == "elbo":
        yield calls[0], list(loops.components(batch, 0, *FAMILIES[case]).values())
    elif case in FAMILIES:  # K samples of each component in turn
        parts = loops.components(batch, 0, *FAMILIES[case])
        z = calls[0].reshape(len(small.family(FAMILIES[case][0], batch.names)), -1, 4)
        yield from ((z[number], [part]) for number, part in parts.items())
    elif case == "hoelder":
        subsets = family.singles_and_pairs(batch.names)
        for subset, z in zip(subsets, calls[0].reshape(len(subsets), -1, 4)):
            if set(subset) <= set(present):
                yield z, [family.geometric_mean(*(batch.expert(name, 0) for name in subset))[1:]]
    elif case == "mmjsd":
        yield calls[0], [(np.zeros(4), np.ones(4)), *(batch.expert(name, 0) for name in present)]
    elif case == "mvae":  # of all, of each, and of two random subsets, which are another test's
        for names, z in zip((present, *((name,) for name in batch.names)), calls):
            yield z, [batch.product([name for name in names if name in present], 0, with_prior=True)]
    elif case == "mmvm":
        yield from ((z, [batch.expert(name, 0)]) for name, z in zip(batch.names, calls) if name in present)
    elif case == "dmvae":
        for names, z in zip((batch.names, *((name,) for name in batch.names)), calls):
            if set(names) & set(present):
                yield z, [batch.product([name for name in names if name in present], 0, with_prior=True)]
    elif case == "code":
        for subset, z in zip(reference.powerset(batch.names), calls[0].reshape(7, -1, 4)):
            if set(subset) <= set(present):
                yield z, [family.consensus([batch.expert(name, 0) for name in subset], 0.4)]
    elif case.startswith("masked"):  # a part of n modalities is as likely as that of any other size
        posterior = family.product_with_prior if case == "masked" else family.set_encoder
        parts = [(), *reference.powerset(present)]
        shares = [1.0 / ((len(present) + 1) * math.comb(len(present), len(part))) for part in parts]
        yield calls[0], [posterior(batch, part, 0) for part in parts], shares
        yield calls[1], [posterior(batch, present, 0)]
    elif case in ("telbo", "crmvae"):
        yield calls[0], [batch.joint(0) if case == "telbo" else batch.product(present, 0)]
        yield from ((z, [batch.expert(name, 0)]) for name, z in zip(batch.names, calls[1:]) if name in present)
    else:
        yield calls[0], [batch.joint(0) if case in ("jmvae", "jnf") else batch.product(present, 0)]


@pytest.mark.parametrize("lacking", [None, "word"])
@pytest.mark.parametrize("case", CASES)
def test_what_an_objective_decodes_is_drawn_from_its_posterior(case, lacking):
    objective, joint_posterior, _ = CASES[case]
    model = small.model(joint_posterior=joint_posterior(tuple(small.SHAPES)), objective=objective(1.5))
    inputs = draws.repeated(small.rows(1), 0, COUNT)
    if lacking:
        inputs["has_" + lacking] = np.zeros(COUNT, bool)
    _, calls = draws.decoded(model, lambda: model.loss_terms(inputs, SEED))
    pairs = list(sources(case, loops.Batch(model, inputs), calls))
    assert pairs
    for z, parts, *weights in pairs:
        loc, scale = (np.stack(part) for part in zip(*parts))
        weights = weights[0] if weights else np.full(len(parts), 1.0 / len(parts))
        draws.assert_drawn_from(z, weights, loc, scale)


def test_generate_and_translate_draw_from_prior_and_posterior():
    model, inputs = small.model(), draws.repeated(small.rows(1), 0, COUNT)
    _, (z,) = draws.decoded(model, lambda: model.generate(COUNT, seed=1))
    draws.assert_drawn_from(z, [1.0], np.zeros((1, 4)), np.ones((1, 4)))
    for given in (("image",), ("image", "sensor"), tuple(small.SHAPES)):
        some = {name: inputs[name] for name in given}
        _, (z,) = draws.decoded(model, lambda: model.translate(some, seed=1))  # noqa: B023
        q = model.subset_posterior(some)
        draws.assert_drawn_from(z, [1.0], q.loc[:, None], q.stddev()[:, None])


def test_the_check_finds_a_scale_a_location_a_weight_and_what_is_drawn_twice():
    rng = np.random.default_rng(0)
    weights, loc, scale = np.array([0.3, 0.7]), np.array([[-1.0, 0.0], [1.0, 2.0]]), np.array([[1.0, 0.5], [2.0, 1.0]])
    index = rng.choice(2, size=COUNT, p=weights)
    noise = rng.normal(size=(COUNT, 2))
    z = loc[index] + scale[index] * noise
    draws.assert_drawn_from(z, weights, loc, scale)
    wrong = {
        "scale": loc[index] + 1.25 * scale[index] * noise,
        "location": loc[index] + 0.25 + scale[index] * noise,
        "component": loc[1] + scale[1] * noise,
        "noise of both numbers": loc[index] + scale[index] * noise[:, :1],
        "rows twice": np.repeat(z[::2], 2, axis=0),
    }
    for z in wrong.values():
        with pytest.raises(AssertionError):
            draws.assert_drawn_from(z, weights, loc, scale)
    laplace = loc[index] + scale[index] * rng.laplace(size=(COUNT, 2))
    draws.assert_drawn_from(laplace, weights, loc, scale, "laplace")
    with pytest.raises(AssertionError):
        draws.assert_drawn_from(laplace, weights, loc, scale)
