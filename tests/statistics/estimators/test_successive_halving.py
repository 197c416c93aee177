"""Successive halving read off curves: hand cases, and a plain simulation that trains and stops candidates itself."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from hornlib.errors import ResultsError
from hornlib.statistics.estimators.successive_halving import (
    cost_until_level,
    halving_rungs,
    num_candidates_at,
    successive_halving,
)

NAN = np.nan


def curves(values, steps, costs=None):
    """Return metric and cost (candidate, step); a step of candidate i costs costs[i], else 1."""
    metric = xr.DataArray(np.array(values, float), {"step": steps}, ("candidate", "step"))
    of_a_step = np.ones(len(values)) if costs is None else np.array(costs, float)
    cost = xr.DataArray(of_a_step[:, None] * np.array(steps), {"step": steps}, ("candidate", "step"))
    return metric, cost.where(metric.notnull())


def simulated(metric, cost, rungs, eta):
    """Train candidates from rung to rung and stop the worse ones, one after another, for one replicate.

    Args:
        metric, cost: rung -> number, one mapping a candidate.
        rungs: in their order.
        eta: factor.

    Returns:
        The chosen candidate, what all have cost, and the last rung of each.
    """
    number, alive, spent = len(metric), list(range(len(metric))), {}
    for place, rung in enumerate(rungs):
        for candidate in alive:
            spent[candidate] = (rung, cost[candidate][rung])
        alive.sort(key=lambda candidate: (-metric[candidate][rung], cost[candidate][rung], candidate))
        alive = alive[: max(1, number // eta ** (place + 1))]
    return alive[0], sum(flops for _, flops in spent.values()), [spent[i][0] for i in range(number)]


def test_rungs_are_equal_shares_of_the_whole_cost():
    assert halving_rungs(16, 160, 2) == [10, 20, 40, 80, 160]
    assert halving_rungs(16, 160, 4) == [10, 40, 160]
    assert halving_rungs(17, 90, 3) == [10, 30, 90]
    assert halving_rungs(1, 90, 3) == [90]
    assert num_candidates_at(16, 5, 2) == [16, 8, 4, 2, 1]
    assert num_candidates_at(17, 3, 3) == [17, 5, 1]
    assert num_candidates_at(2, 4, 3) == [2, 1, 1, 1]


def test_half_of_the_candidates_stop_at_each_rung_and_the_cost_is_that_of_their_steps():
    steps = [1, 2, 4]
    metric, cost = curves([[0.1, 0.2, 0.9], [0.4, 0.5, 0.6], [0.3, 0.7, 0.8], [0.2, 0.1, 0.1]], steps)
    halving = successive_halving(metric, cost, steps)
    assert halving["stopped_at"].values.tolist() == [1, 2, 4, 1]
    assert halving["chosen"].item() == 2
    assert halving["cost"].item() == 1 + 2 + 4 + 1
    assert halving["num_candidates"].values.tolist() == [4, 2, 1] and halving["rung"].values.tolist() == steps


def test_with_the_last_step_as_its_one_rung_it_is_random_search():
    metric, cost = curves([[0.1, 0.9], [0.4, 0.6], [0.3, 0.8]], [1, 4])
    search = successive_halving(metric, cost, [4])
    assert search["chosen"].item() == 0 and search["cost"].item() == 12
    assert search["stopped_at"].values.tolist() == [4, 4, 4]


def test_a_late_starter_is_lost_by_halving_and_found_by_random_search():
    metric, cost = curves([[0.1, 0.95], [0.5, 0.8], [0.4, 0.7], [0.3, 0.6]], [1, 4])
    assert successive_halving(metric, cost, [1, 4], eta=4)["chosen"].item() == 1
    assert successive_halving(metric, cost, [4])["chosen"].item() == 0


def test_of_equal_candidates_the_cheaper_one_stays_then_the_first_one():
    steps = [1, 2]
    metric, cost = curves([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.1, 0.1]], steps, costs=[3, 1, 1, 1])
    halving = successive_halving(metric, cost, steps)
    assert halving["stopped_at"].values.tolist() == [1, 2, 2, 1] and halving["chosen"].item() == 1


def test_a_diverged_run_is_the_worst_and_costs_what_it_had_cost():
    steps = [1, 2, 4]
    metric, cost = curves([[0.9, NAN, NAN], [0.5, 0.5, 0.5], [0.4, 0.4, 0.4], [0.1, 0.1, 0.1]], steps)
    halving = successive_halving(metric, cost, steps)
    assert halving["stopped_at"].values.tolist() == [2, 4, 1, 1] and halving["chosen"].item() == 1
    assert halving["cost"].item() == 1 + 4 + 1 + 1


def test_where_all_diverge_nobody_is_chosen_and_the_cost_is_known():
    metric, cost = curves([[0.9, NAN], [0.8, NAN], [0.7, NAN]], [1, 2])
    metric = xr.concat([metric, metric.fillna(0.5)], "seed")
    halving = successive_halving(metric, cost, [1, 2])
    assert halving["chosen"].values.tolist() == [-1, 0] and halving["cost"].values[0] == 3


def test_a_missing_candidate_leaves_its_seed_without_a_result():
    metric, cost = curves([[0.9, 0.9], [0.5, 0.5]], [1, 2])
    both = xr.concat([metric, metric.where(metric["step"] < 0)], "seed")
    both[1, 0] = metric[0]
    halving = successive_halving(both, cost, [1, 2])
    assert halving["chosen"].values.tolist() == [0, -1]
    assert halving["cost"].values[0] == 3 and np.isnan(halving["cost"].values[1])


def test_a_metric_that_falls_is_minimised():
    metric, cost = curves([[0.1, 0.2], [0.4, 0.1]], [1, 2])
    assert successive_halving(metric, cost, [1, 2], direction="minimise")["chosen"].item() == 0
    assert successive_halving(metric, cost, [2], direction="minimise")["chosen"].item() == 1


def test_a_rung_between_two_evaluations_is_judged_at_the_earlier_one():
    metric, cost = curves([[0.1, NAN, 0.9], [0.2, NAN, 0.1]], [1, 2, 4])
    halving = successive_halving(metric, cost, [3, 4])
    assert halving["rung"].values.tolist() == [1, 4]
    assert halving["chosen"].item() == 1 and halving["cost"].item() == 1 + 4


@pytest.mark.parametrize(
    ("rungs", "eta", "words"),
    [
        ([1, 2], 1, "eta: got 1"),
        ([2, 1], 2, "they are ascending"),
        ([], 2, "they are ascending"),
        ([0.5, 2], 2, "the first evaluation is after step 1"),
    ],
)
def test_what_cannot_be_halved_is_refused(rungs, eta, words):
    with pytest.raises(ResultsError, match=words):
        successive_halving(*curves([[0.1, 0.9], [0.2, 0.8]], [1, 2]), rungs, eta)


@settings(max_examples=40)
@given(st.integers(1, 20), st.integers(2, 5), st.integers(0, 10_000))
def test_it_agrees_with_a_simulation_that_stops_candidates_itself(number, eta, seed):
    random = np.random.default_rng(seed)
    rungs = halving_rungs(number, 3 * eta**4, eta)
    metric = xr.DataArray(
        random.integers(0, 6, (number, 3, len(rungs))) / 5, {"step": rungs}, ("candidate", "seed", "step")
    )
    of_a_step = random.integers(1, 4, (number, 1, 1))
    cost = xr.DataArray(of_a_step * np.array(rungs) * np.ones((1, 3, 1)), metric.coords, metric.dims)
    halving = successive_halving(metric, cost, rungs, eta)
    for replicate in range(3):
        at_rungs = [
            [dict(zip(rungs, row, strict=True)) for row in values.values[:, replicate]]
            for values in (metric, cost)
        ]
        chosen, spent, stops = simulated(*at_rungs, rungs, eta)
        assert halving["chosen"].values[replicate] == chosen
        assert halving["cost"].values[replicate] == pytest.approx(spent)
        assert halving["stopped_at"].transpose("seed", "candidate").values[replicate].tolist() == stops


def test_a_search_side_by_side_ends_with_the_first_candidate_that_reaches_the_level():
    steps = [1, 2, 4]
    metric, cost = curves([[0.1, 0.2, 0.9], [0.4, 0.5, 0.6], [0.3, 0.7, 0.8], [0.2, 0.1, 0.1]], steps)
    halving = successive_halving(metric, cost, steps)  # stops the candidates at 1, 2, 4 and 1

    def until(level):
        costs = cost_until_level(metric, cost, halving["stopped_at"], level)
        return costs["cost"].item(), costs["reached"].item()

    assert until(0.4) == (4, True)
    assert until(0.7) == (1 + 2 + 2 + 1, True)
    assert until(0.8) == (1 + 2 + 4 + 1, True)
    assert until(0.9) == (8, False)  # the only one that would reach it was stopped
    search = successive_halving(metric, cost, [4])["stopped_at"]
    assert cost_until_level(metric, cost, search, 0.7)["cost"].item() == 4 * 2
    assert cost_until_level(-metric, cost, search, -0.7, "minimise")["cost"].item() == 4 * 2


def test_a_run_that_diverged_costs_a_search_side_by_side_no_more():
    metric, cost = curves([[0.2, NAN, NAN], [0.3, 0.4, 0.9]], [1, 2, 4])
    search = successive_halving(metric, cost, [4])["stopped_at"]
    assert cost_until_level(metric, cost, search, 0.9)["cost"].item() == 1 + 4
    missing = metric.copy()
    missing[0] = NAN
    costs = cost_until_level(missing, cost, search, 0.9)
    assert np.isnan(costs["cost"]) and not costs["reached"]
