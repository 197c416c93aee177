"""Numbers of connections: the published formulas, exact totals, and no layer above density 1."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.parameters import Weight
from hornlib.structures.connections.distribution import (
    DISTRIBUTIONS,
    apportioned,
    cut_off_problems,
    num_connections,
    sparse_weights,
)

LENET = [
    Weight("first", (300, 784), 0, "input", 1, 0),
    Weight("second", (100, 300), 1, "hidden", 1, 1),
    Weight("last", (10, 100), 2, "output", 1, 1),
]
WIDE_RESNET = [
    Weight("stem", (16, 3, 3, 3), 0, "input", 1024, 0),
    *[Weight(f"block.{k}", (64, 64, 3, 3), k, "hidden", 256, 256) for k in range(1, 9)],
    Weight("shortcut", (64, 16, 1, 1), 1, "hidden", 256, 256),
    Weight("last", (10, 64), 9, "output", 1, 1),
]


def by_formula(weights, density, score):
    """Return the densities of section 3 of the RigL paper: layers above 1 are made dense one after the other."""
    dense = set()
    while True:
        rest = density * sum(weight.size for weight in weights) - sum(
            weight.size for weight in weights if weight.name in dense
        )
        factor = rest / sum(score(weight) * weight.size for weight in weights if weight.name not in dense)
        above = {weight.name: factor * score(weight) for weight in weights if weight.name not in dense}
        worst = max(above, key=above.get)
        if above[worst] <= 1:
            return {weight.name: above.get(weight.name, 1.0) for weight in weights}
        dense.add(worst)


def scores(distribution):
    if distribution == "uniform":
        return lambda weight: 1.0
    if distribution == "er":
        return lambda weight: (weight.shape[0] + weight.shape[1]) / (weight.shape[0] * weight.shape[1])
    return lambda weight: sum(weight.shape) / math.prod(weight.shape)


@pytest.mark.parametrize("weights", [LENET, WIDE_RESNET], ids=["lenet", "resnet"])
@pytest.mark.parametrize("density", [0.02, 0.1, 0.2, 0.5, 0.95])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_densities_are_those_of_the_paper(weights, density, distribution):
    counts = num_connections(weights, density, distribution)
    expected = by_formula(weights, density, scores(distribution))
    for weight in weights:
        assert abs(counts[weight.name] - expected[weight.name] * weight.size) < 1
        if expected[weight.name] == 1:
            assert counts[weight.name] == weight.size
    assert sum(counts.values()) == round(density * sum(weight.size for weight in weights))


def test_erk_makes_small_layers_dense_and_er_does_not_see_kernels():
    counts = num_connections(WIDE_RESNET, 0.1, "erk")
    assert counts["stem"] == 432 and counts["last"] == 640
    assert num_connections(LENET, 0.1, "er") == num_connections(LENET, 0.1, "erk")
    assert num_connections(WIDE_RESNET, 0.1, "er") != counts


@pytest.mark.parametrize(
    ("sparse_layers", "names"),
    [
        ("all", ["in", "recurrent", "between", "out"]),
        ("all_but_first", ["recurrent", "between", "out"]),
        ("all_but_last", ["in", "recurrent", "between"]),
        ("inner", ["recurrent", "between"]),
        ("recurrent", ["recurrent"]),
    ],
)
def test_layers_stay_dense_by_choice(sparse_layers, names):
    roles = {"in": "input", "recurrent": "recurrent", "between": "hidden", "out": "output"}
    weights = [Weight(name, (4, 4), 0, role, 1, 1) for name, role in roles.items()]
    assert [weight.name for weight in sparse_weights(weights, sparse_layers)] == names


@given(
    st.lists(st.tuples(st.floats(0, 1e6, allow_nan=False), st.integers(0, 500)), min_size=1, max_size=6),
    st.floats(0, 1),
)
def test_parts_sum_to_the_total_and_stay_within_their_capacities(members, share):
    proportions, capacities = zip(*members, strict=True)
    total = round(share * sum(capacities))
    parts = apportioned(total, proportions, capacities)
    assert sum(parts) == total
    assert all(0 <= part <= capacity for part, capacity in zip(parts, capacities, strict=True))


@pytest.mark.parametrize("proportions", [[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0]])
def test_without_proportions_the_capacities_decide(proportions):
    assert apportioned(40, proportions, [30, 90]) == [10, 30]


def test_parts_follow_the_proportions_and_give_the_surplus_of_the_full_to_the_others():
    assert apportioned(10, [1, 4], [100, 100]) == [2, 8]
    assert apportioned(10, [1, 4], [100, 5]) == [5, 5]


def test_too_few_connections_are_said_with_the_units_that_they_would_cut_off():
    counts = num_connections(LENET, 1e-3, "uniform")
    problems = cut_off_problems("sparse_training", 1e-3, LENET, counts)
    assert counts == {"first": 235, "second": 30, "last": 1}
    assert [
        ("first" in problem, problem.startswith("sparse_training: density: 0.001")) for problem in problems
    ] == [
        (True, True),
        (False, True),
        (False, True),
    ]
    assert "65 of its units would be cut off" in problems[0]
    assert "70 of its units would be cut off" in problems[1]
    assert cut_off_problems("sparse_training", 0.1, LENET, num_connections(LENET, 0.1, "erk")) == []
