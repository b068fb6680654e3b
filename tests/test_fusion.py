"""NumPy's fusion is the model's subset posterior."""

import itertools
import json
import pathlib
import runpy
import sys

import numpy as np
import pytest
import small

import tf_mopoe as mopoe
from tf_mopoe import export, pooling

NAMES = list(small.SHAPES)
RULES = {
    "mopoe": "mopoe",
    "mvae": "mvae",
    "mmvae": "mmvae",
    "powerset, all": mopoe.MixtureOfProducts("powerset", "all"),
    "unimodal, full": mopoe.MixtureOfProducts("unimodal", "full"),
    "full, none": mopoe.MixtureOfProducts("full", "none"),
    "conjunctive": mopoe.MixtureOfProducts("full", "conjunctive"),
}


def encoded(model, inputs):
    """What devices send of the rows that they have, NaN elsewhere; and the flags."""
    experts, flags = {}, {}
    for name in (name for name in NAMES if name in inputs):
        flags[name] = inputs.get(f"has_{name}", np.ones(len(inputs[name]), bool))
        expert = model.encoders[name](np.where(np.isnan(inputs[name]), 0.0, inputs[name]))
        loc, scale = expert.loc.numpy(), expert.stddev().numpy()
        loc[~flags[name]] = scale[~flags[name]] = np.nan
        experts[name] = {"loc": loc, "scale": scale}
    return experts, flags


@pytest.mark.parametrize("rule", RULES)
def test_it_is_the_models_subset_posterior(rule):
    model = small.model(joint_posterior=RULES[rule])
    model.encoders["word"].log_variance_head.bias.assign([-1.0, -0.5, 0.5, 1.0])  # scales on both sides of 1
    for size in range(1, 4):
        for given in itertools.combinations(NAMES, size):
            for inputs in (small.rows(9, given), small.with_missing(small.rows(9, given))):
                experts, flags = encoded(model, inputs)
                loc, scale = export.fuse(experts, NAMES, flags, model.mixture.prior_expert)
                q = model.subset_posterior(inputs)
                np.testing.assert_allclose(loc, q.loc, rtol=1e-5, atol=1e-6)
                np.testing.assert_allclose(scale, q.stddev(), rtol=1e-5)


POOLINGS = {
    "product": lambda: pooling.Product("all"),
    "weighted": pooling.WeightedProduct,
    "geometric": pooling.GeometricMean,
    "geometric, with the prior": lambda: pooling.GeometricMean(with_prior=True),
    "hoelder": pooling.Hoelder,
    "hellinger": pooling.Hellinger,
    "correlated": lambda: pooling.Correlated(0.4),
    "correlated, learned": lambda: pooling.Correlated(0.3, learned=True),
}


@pytest.mark.parametrize("kind", POOLINGS)
def test_every_pooling_has_its_twin(kind):
    """For every subset of three experts, with the numbers that the layer gives for the .json, read back from it."""
    layer = POOLINGS[kind]()
    model = small.model(joint_posterior=mopoe.MixtureOfProducts(pooling=layer))
    for number, encoder in enumerate(model.encoders.values()):
        encoder.log_variance_head.bias.assign(np.linspace(-1.0, 1.0, 4) * (number - 1))
        encoder.loc_head.bias.assign(np.full(4, 0.5 * number))
    for variable in layer.trainable_variables:
        variable.assign_add(np.random.default_rng(0).normal(size=variable.shape))
    settings = json.loads(json.dumps(layer.fusion()))
    for size in range(1, 4):
        for given in itertools.combinations(NAMES, size):
            for inputs in (small.rows(9, given), small.with_missing(small.rows(9, given))):
                experts, flags = encoded(model, inputs)
                loc, scale = export.fuse(experts, NAMES, flags, **settings)
                q = model.subset_posterior(inputs)
                np.testing.assert_allclose(loc, q.loc, rtol=1e-5, atol=1e-6)
                np.testing.assert_allclose(scale, q.stddev(), rtol=1e-5)
    nothing = {name: {"loc": np.full([2, 4], np.nan), "scale": np.zeros([2, 4])} for name in NAMES}
    loc, scale = export.fuse(nothing, NAMES, {name: np.zeros(2, bool) for name in NAMES}, **settings)
    np.testing.assert_array_equal((loc, scale), (np.zeros([2, 4]), np.ones([2, 4])))


def test_values_by_hand():
    a = {"loc": [[2.0], [2.0], [9.0]], "scale": [[0.5], [0.5], [np.nan]]}
    b = {"loc": [[-1.0], [np.nan], [0.0]], "scale": [[1.0], [0.0], [-1.0]]}
    has = {"a": np.array([True, True, False]), "b": np.array([True, False, False])}
    loc, scale = export.fuse({"a": a, "b": b}, ["a", "b"], has)  # precision 4 + 1 + the prior's 1; 4; nothing
    np.testing.assert_allclose(loc[:, 0], [7 / 6, 2.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(scale[:, 0], [6**-0.5, 0.5, 1.0], rtol=1e-6)
    assert loc.dtype == scale.dtype == np.float32
    loc, _ = export.fuse({"a": {"loc": [[2.0]], "scale": [[0.5]]}}, ["a"])  # a lone expert stays as it is
    assert loc == [[2.0]]
    loc, _ = export.fuse({"a": {"loc": [[2.0]], "scale": [[0.5]]}}, ["a", "b"], prior_expert="all")
    np.testing.assert_allclose(loc, [[8 / 5]], rtol=1e-6)
    # Conjunctive is "all": precision 4 + 1/4 + the prior's 1 of two, 4 + 1 of one, the prior of none.
    loc, scale = export.fuse({"a": a, "b": b | {"scale": [[2.0], [0.0], [-1.0]]}}, ["a", "b"], has, "conjunctive")
    np.testing.assert_allclose(loc[:, 0], [7.75 / 5.25, 8 / 5, 0.0], rtol=1e-6)
    np.testing.assert_allclose(scale[:, 0], [5.25**-0.5, 5**-0.5, 1.0], rtol=1e-6)
    none = {"loc": np.zeros([0, 3]), "scale": np.zeros([0, 3])}
    assert [x.shape for x in export.fuse({"a": none}, ["a"])] == [(0, 3), (0, 3)]


def test_errors_say_what_is_wrong():
    good = {"loc": np.zeros([2, 3]), "scale": np.ones([2, 3])}
    with pytest.raises(ValueError, match=r"`experts` must be some of \['a', 'b'\]. Received: \['c'\]"):
        export.fuse({"c": good}, ["a", "b"])
    with pytest.raises(ValueError, match=r"`experts` must be some of \['a'\]. Received: \[\]"):
        export.fuse({}, ["a"])
    with pytest.raises(ValueError, match="`prior_expert` must be .* Received: prior_expert='some'"):
        export.fuse({"a": good}, ["a"], prior_expert="some")
    with pytest.raises(ValueError, match="must have the same shape .rows, latent_dim.. Received: .*2, 4"):
        export.fuse({"a": good, "b": {"loc": np.zeros([2, 4]), "scale": np.ones([2, 4])}}, ["a", "b"])
    with pytest.raises(ValueError, match=r"has\['a'\] must be bool \(2,\). Received: int64"):
        export.fuse({"a": good}, ["a"], {"a": np.array([1, 0])})
    with pytest.raises(ValueError, match="`pooling` must be .* Received: pooling='sum'"):
        export.fuse({"a": good}, ["a"], pooling="sum")
    for weights in (None, {"a": np.ones(3)}, {"a": np.ones(2), "b": np.ones(3)}, {"a": -np.ones(3), "b": np.ones(3)}):
        with pytest.raises(ValueError, match=r"`weights` must have \(3,\) numbers, .* Received: weights="):
            export.fuse({"a": good}, ["a", "b"], pooling="weighted", weights=weights)
    for correlation in (None, 1.0, -0.1, True, float("nan")):
        with pytest.raises(
            ValueError, match="`correlation` must be a number from 0 to below 1. Received: correlation="
        ):
            export.fuse({"a": good}, ["a"], pooling="correlated", correlation=correlation)
    for bad in ({"loc": np.full([2, 3], np.nan)}, {"scale": np.zeros([2, 3])}, {"scale": np.full([2, 3], np.inf)}):
        with pytest.raises(ValueError, match="positive, finite scale .* Received: others of 'a'"):
            export.fuse({"a": good | bad}, ["a"])


def test_the_file_stands_by_itself():
    path = pathlib.Path(mopoe.__file__).parent / "export" / "fusion.py"
    lines = [line.split() for line in path.read_text().splitlines() if line.startswith(("import ", "from "))]
    assert {words[1].split(".")[0] for words in lines} - sys.stdlib_module_names == {"numpy"}
    fuse = runpy.run_path(str(path))["fuse"]
    np.testing.assert_array_equal(fuse({"a": {"loc": [[3.0]], "scale": [[1.0]]}}, ["a"])[0], [[3.0]])
