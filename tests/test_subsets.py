import numpy as np
import pytest
import reference

from tf_mopoe import subsets

NAMES = ("a", "b", "c")


def test_families():
    assert list(subsets.subset_names("powerset", NAMES)) == reference.powerset(NAMES)
    assert len(subsets.subset_names("powerset", "abcdefgh")) == 2**8 - 1
    assert subsets.subset_names("unimodal", NAMES) == (("a",), ("b",), ("c",))
    assert subsets.subset_names("full", NAMES) == (NAMES,)
    assert subsets.subset_names([("c", "a"), "b"], NAMES) == (("a", "c"), ("b",))


@pytest.mark.parametrize("available", [[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0]])
@pytest.mark.parametrize("family", ["powerset", "unimodal", "full", [("a", "b"), ("b", "c"), ("a",)]])
def test_weights_are_uniform_over_the_subsets_a_row_can_form_and_sum_to_1(family, available):
    names = subsets.subset_names(family, NAMES)
    has = {name for name, present in zip(NAMES, available) if present}
    weights, formable = subsets.component_weights(subsets.membership_matrix(names, NAMES), np.array([available], bool))
    can = np.array([set(subset) <= has for subset in names])
    assert bool(formable[0]) == can.any()
    expected = can / can.sum() if can.any() else np.eye(len(names))[0]
    np.testing.assert_allclose(weights[0], expected, rtol=1e-6)
    np.testing.assert_allclose(np.sum(weights), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    "family, text",
    [
        ("all", "'powerset', 'unimodal', 'unimodal_and_prior', 'full'.*Received: subsets='all'"),
        ([], "Received: subsets="),
        ([("a", "x")], r"\['a', 'b', 'c'\].*'x'.*unknown"),
        ([("a", "a")], "each once"),
        ([()], "one or more"),
        ([("a", "b"), ("b", "a")], "twice"),
    ],
)
def test_a_family_that_is_none_is_an_error(family, text):
    with pytest.raises(ValueError, match=text):
        subsets.subset_names(family, NAMES)
