"""Student's interval with a degree of freedom given up, against scipy."""

import numpy as np
import xarray as xr
from scipy import stats

from hornlib.statistics.estimators.student import as_bounds, student_interval


def runs(*rows):
    return xr.DataArray(np.array(rows, float), dims=("arm", "seed"))


def test_it_is_scipys_t_interval_with_two_degrees_less_than_runs():
    values = np.random.default_rng(0).normal(size=(4, 9))
    found = student_interval(runs(*values), alpha=0.1)
    for row, own in zip(found["interval"].values, values, strict=True):
        np.testing.assert_allclose(row, stats.t.interval(0.9, len(own) - 2, own.mean(), stats.sem(own)))
    np.testing.assert_allclose(found["estimate"], values.mean(1))


def test_missing_runs_are_left_out():
    values = np.random.default_rng(1).normal(size=6)
    whole, gaps = runs(values), runs([*values, np.nan, np.nan])
    xr.testing.assert_allclose(student_interval(whole), student_interval(gaps))
    assert student_interval(gaps)["num_seeds"].item() == 6


def test_fewer_than_three_runs_have_no_interval_and_none_no_mean():
    found = student_interval(runs([1, 2, np.nan], [1, np.nan, np.nan], [np.nan] * 3))
    assert np.isnan(found["interval"]).all()
    np.testing.assert_array_equal(found["estimate"], [1.5, 1, np.nan])


def test_equal_runs_have_an_interval_without_width():
    assert student_interval(runs([0.5] * 5))["interval"].values.tolist() == [[0.5, 0.5]]


def test_bounds_come_last_and_are_labelled():
    found = as_bounds(runs([1, 2]), runs([3, 4]))
    assert found.dims == ("arm", "seed", "bound")
    np.testing.assert_array_equal(found.sel(bound="high"), [[3, 4]])
