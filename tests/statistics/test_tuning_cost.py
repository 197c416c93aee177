"""The expected best of n trials, against all draws; and time with tuning in it."""

from itertools import combinations

import numpy as np
import pytest
import xarray as xr

from hornlib.statistics.tuning_cost import expected_best, time_with_tuning

SCORES = [0.3, 0.9, 0.1, 0.5, 0.5, 0.7]


def best_of(scores, direction):
    return expected_best(xr.DataArray(np.array(scores, float), dims="trial"), direction).values


@pytest.mark.parametrize(("direction", "best"), [("maximise", max), ("minimise", min)])
def test_it_is_the_mean_over_all_draws_without_replacement(direction, best):
    expected = [
        np.mean([best(drawn) for drawn in combinations(SCORES, number)])
        for number in range(1, len(SCORES) + 1)
    ]
    np.testing.assert_allclose(best_of(SCORES, direction), expected)


def test_more_trials_never_hurt_and_all_of_them_give_the_best():
    found = best_of(np.random.default_rng(0).normal(size=40), "maximise")
    assert (np.diff(found) > 0).all()
    assert best_of(SCORES, "minimise")[-1] == pytest.approx(0.1)


def test_trials_without_a_score_do_not_count():
    found = best_of([*SCORES, np.nan], "maximise")
    np.testing.assert_allclose(found, [*best_of(SCORES, "maximise"), np.nan])
    assert np.isnan(best_of([np.nan, np.nan], "maximise")).all()


def test_trials_are_counted_from_one_and_other_dimensions_are_kept():
    scores = xr.DataArray([SCORES, SCORES[::-1]], dims=("arm", "trial"))
    found = expected_best(scores, "maximise")
    assert found.dims == ("arm", "num_trials") and found["num_trials"].values.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(found[0], found[1])


def test_tuning_is_paid_once_and_shared():
    assert time_with_tuning(xr.DataArray(10.0), xr.DataArray(160.0)).item() == 170
    assert time_with_tuning(xr.DataArray(10.0), xr.DataArray(160.0), num_trainings=16).item() == 20
