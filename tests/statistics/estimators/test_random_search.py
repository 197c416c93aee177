"""Random search with fewer candidates than were trained, against walks over all subsets and all orders."""

from itertools import combinations, permutations

import numpy as np
import pytest
import xarray as xr

from hornlib.statistics.estimators.random_search import cost_until_first, outcome_of_chosen
from hornlib.statistics.tuning_cost import expected_best

NUMBER = 6


def candidates(*columns):
    """Return arrays (candidate,)."""
    return [xr.DataArray(np.array(column), dims="candidate") for column in columns]


@pytest.mark.parametrize("direction", ["maximise", "minimise"])
def test_the_expected_outcome_is_the_mean_over_all_subsets(direction):
    random = np.random.default_rng(1)
    selection, outcome, cost = candidates(
        random.integers(0, 4, NUMBER) / 3, random.random(NUMBER), random.random(NUMBER)
    )
    sign = -1 if direction == "maximise" else 1

    def chosen(subset):
        return min(subset, key=lambda place: (sign * selection.values[place], cost.values[place], place))

    for number in range(1, NUMBER + 1):
        outcomes = [outcome.values[chosen(subset)] for subset in combinations(range(NUMBER), number)]
        expected = outcome_of_chosen(selection, outcome, cost, direction).sel(num_candidates=number)
        assert expected.item() == pytest.approx(np.mean(outcomes))


def test_where_choice_and_outcome_are_the_same_it_is_the_expected_best():
    scores = np.random.default_rng(2).random(NUMBER)
    (selection,) = candidates(scores)
    best = expected_best(selection.rename(candidate="trial"), "maximise")
    np.testing.assert_allclose(outcome_of_chosen(selection, selection, selection), best)


def test_a_diverged_candidate_is_chosen_only_where_it_is_alone():
    selection, outcome, cost = candidates([np.nan, 0.2], [0.1, 0.9], [1.0, 5.0])
    np.testing.assert_allclose(outcome_of_chosen(selection, outcome, cost), [0.5, 0.9])


def test_the_expected_cost_is_the_mean_over_all_orders():
    random = np.random.default_rng(3)
    for hits in range(1, NUMBER + 1):
        cost, reached = candidates(random.random(NUMBER), random.permutation(np.arange(NUMBER) < hits))
        spent = []
        for order in permutations(range(NUMBER)):
            first = next(place for place, candidate in enumerate(order) if reached.values[candidate])
            spent.append(cost.values[list(order[: first + 1])].sum())
        assert cost_until_first(cost, reached).item() == pytest.approx(np.mean(spent))


def test_where_none_reaches_the_level_all_are_paid_and_an_unknown_cost_stays_unknown():
    cost, reached = candidates([1.0, 2.0, 4.0], [False, False, False])
    assert cost_until_first(cost, reached).item() == 7
    cost, reached = candidates([1.0, np.nan], [True, False])
    assert np.isnan(cost_until_first(cost, reached))
