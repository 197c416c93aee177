"""Non-inferiority and shares of runs, against scipy."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from hornlib.statistics.estimators.final import non_inferior, share_of_runs
from hornlib.statistics.estimators.student import student_interval


def pairs(*values):
    return xr.DataArray(np.array(values, float), dims="seed")


@pytest.mark.parametrize("happened", range(6))
def test_shares_have_wilsons_interval(happened):
    runs = pairs(*[1] * happened, *[0] * (5 - happened), np.nan)
    found = share_of_runs(runs, alpha=0.1)
    expected = stats.binomtest(happened, 5).proportion_ci(0.9, method="wilson")
    np.testing.assert_allclose(found["interval"], [expected.low, expected.high], atol=1e-12)
    assert found["estimate"].item() == happened / 5 and found["num_seeds"].item() == 5


def test_a_share_of_no_runs_is_unknown():
    found = share_of_runs(pairs(np.nan, np.nan))
    assert np.isnan(found["estimate"]) and np.isnan(found["interval"]).all()


def test_better_worse_and_unclear_are_told_apart():
    noise = 0.002 * np.array([-1, 1, -1, 1, -1, 1, 0])
    found = [non_inferior(pairs(*(shift + noise)), 0.01).item() for shift in (0.05, 0, -0.01, -0.05)]
    assert found == ["yes", "yes", "undecided", "no"]


def test_it_follows_the_interval_of_twice_the_level():
    random = np.random.default_rng(0)
    gain = xr.DataArray(random.normal(-0.01, 0.01, (200, 8)), dims=("case", "seed"))
    low, high = student_interval(gain, 0.1)["interval"].values.T
    expected = np.where(low > -0.01, "yes", np.where(high < -0.01, "no", "undecided"))
    np.testing.assert_array_equal(non_inferior(gain, 0.01, alpha=0.05), expected)


def test_too_few_pairs_stay_undecided():
    good = pairs(0.1, 0.11, 0.1, 0.11, 0.1, np.nan)
    assert non_inferior(good, 0.01).item() == "yes"
    assert non_inferior(good, 0.01, min_seeds=6).item() == "undecided"
    assert non_inferior(pairs(0.1), 0.01).item() == "undecided"


@pytest.mark.parametrize("num_seeds", [5, 10])
def test_one_that_loses_just_the_margin_passes_in_at_most_the_level(num_seeds):
    gain = np.random.default_rng(num_seeds).normal(-0.01, 0.01, (20_000, num_seeds))
    found = non_inferior(xr.DataArray(gain, dims=("case", "seed")), 0.01, alpha=0.05)
    assert (found == "yes").mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20_000)
