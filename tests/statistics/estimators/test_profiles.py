"""Performance profiles and AlgoPerf's score: hand cases and a numerical integral."""

import numpy as np
import pytest
import xarray as xr

from hornlib.statistics.estimators.profiles import algoperf_score, performance_profile, time_ratios

INF, NAN = np.inf, np.nan


def ratios(*rows):
    return time_ratios(xr.DataArray(np.array(rows, float), dims=("arm", "dataset")))


def test_the_fastest_has_the_ratio_one_and_a_miss_is_infinite():
    np.testing.assert_array_equal(ratios([10, 40, INF], [20, 20, 30]), [[1, 2, INF], [2, 1, 1]])


def test_where_everybody_misses_everybody_has_a_miss():
    found = ratios([INF, 10], [INF, 20])
    np.testing.assert_array_equal(found, [[INF, 1], [INF, 2]])
    np.testing.assert_allclose(algoperf_score(found), [1 / 2, (2 / 3) / 2])


def test_a_dataset_without_one_of_the_arms_is_left_out_and_an_arm_without_datasets_too():
    found = ratios([10, NAN], [20, 20], [NAN, NAN])
    np.testing.assert_array_equal(found, [[1, NAN], [2, NAN], [NAN, NAN]])
    np.testing.assert_allclose(algoperf_score(found), [1, 2 / 3, NAN])


def test_the_profile_is_the_share_of_datasets_within_the_ratio():
    found = performance_profile(ratios([10, 40, INF], [20, 20, 30]), [1, 1.5, 2, 4])
    np.testing.assert_allclose(found, np.array([[1, 1, 2, 2], [2, 2, 3, 3]]) / 3)
    assert found.dims == ("arm", "ratio_grid")


def test_the_score_is_the_integral_of_the_profile_from_one_to_four():
    random = np.random.default_rng(0)
    times = np.where(random.random((5, 8)) < 0.2, INF, random.lognormal(0, 0.7, (5, 8)))
    found = ratios(*times)
    fine = np.linspace(1, 4, 30_001)
    numerical = np.trapezoid(performance_profile(found, fine).values, fine, axis=-1) / 3
    np.testing.assert_allclose(algoperf_score(found), numerical, atol=1e-4)


def test_scores_run_from_nothing_within_four_times_to_the_fastest_everywhere():
    assert algoperf_score(ratios([1, 1], [4, 5])).values.tolist() == [1, 0]


def test_without_any_dataset_there_is_no_profile():
    assert np.isnan(performance_profile(ratios([NAN], [NAN]), [1.0])).all()
    assert float(algoperf_score(ratios([INF], [10])).sel(arm=1)) == pytest.approx(1)
