"""Seeds needed: the protocol's table, and simulated tests."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from hornlib.statistics.power import log_time_sd, seeds_needed


def needed(sd, *effects, **how):
    return seeds_needed(xr.DataArray(sd), effects, **how).values.tolist()


def test_it_gives_the_protocols_table():
    assert needed(0.2, 1.5, 1.2, 1.1) == [7, 27, 94]
    assert needed(0.2, 1.5, 1.2, 1.1, num_tests=3) == [9, 34, 121]
    assert needed(0.3, 1.5, 1.2, 1.1) == [13, 58, 210]


@pytest.mark.parametrize(("sd", "effect"), [(0.2, 1.5), (0.3, 1.5), (0.2, 1.2)])
def test_simulated_tests_reach_the_power_with_so_many_seeds_and_not_with_one_less(sd, effect):
    number = int(needed(sd, effect)[0])
    random = np.random.default_rng(number)
    seen = []
    for seeds in (number - 1, number):
        arms = random.normal([[[0.0]], [[np.log(effect)]]], sd, (2, 40_000, seeds))
        seen.append((stats.ttest_ind(*arms, axis=1).pvalue < 0.05).mean())
    assert seen[1] >= 0.9 - 0.005 and seen[0] < 0.9 + 0.005


def test_slower_and_faster_by_the_same_factor_take_the_same_seeds():
    assert needed(0.2, 1.2) == needed(0.2, 1 / 1.2)


def test_without_noise_two_seeds_are_enough_and_an_unknown_sd_tells_nothing():
    assert needed([0.0, 1e-6], 1.5) == [[2], [2]]
    assert np.isnan(needed(np.nan, 1.5)).all()


def test_labels_are_kept():
    sd = xr.DataArray([[0.2, 0.3]], dims=("contender", "rival"))
    found = seeds_needed(sd, [1.5, 1.2])
    assert found.dims == ("contender", "rival", "effect")
    assert found.sel(effect=1.5).values.tolist() == [[7, 13]]


def test_the_sd_of_one_arm_follows_from_paired_log_ratios():
    random = np.random.default_rng(0)
    ratio = random.normal(0, 0.2, 100_000) - random.normal(0, 0.2, 100_000)
    assert float(log_time_sd(xr.DataArray(ratio, dims="seed"))) == pytest.approx(0.2, rel=0.02)
    few = xr.DataArray([[1.0, 3.0, np.nan], [1.0, np.nan, np.nan]], dims=("pair", "seed"))
    np.testing.assert_allclose(log_time_sd(few), [np.std([1, 3], ddof=1) / np.sqrt(2), np.nan])
