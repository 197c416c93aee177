"""Power: closed forms against scipy, and seeds needed against simulations of the rule that makes verdicts."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from hornlib.statistics.estimators.holm import holm
from hornlib.statistics.estimators.paired_t import paired_t
from hornlib.statistics.estimators.power import (
    conjunction_detectable,
    conjunction_seeds,
    detectable_log_ratio,
    log_ratio_sd,
    sd_scales,
    seeds_needed,
)


def needed(sd, *effects, powers=(0.9,), **how):
    return seeds_needed(xr.DataArray(sd), effects, powers, **how).sel(power=powers[0]).values.tolist()


def equicorrelated(number, sd, correlation):
    """Return F with F F' the covariance of log ratios that share a part."""
    return np.linalg.cholesky(sd**2 * ((1 - correlation) * np.eye(number) + correlation))


def shown(factor, num_seeds, effect, alpha, num_datasets=1, draws=20_000):
    """Return how often the product's rule says yes to every rival on the first of several datasets.

    The true ratio is 1 / effect there, and 1 on the other datasets, which are in Holm's family.
    """
    random = np.random.default_rng([num_seeds, len(factor)])
    logs = random.standard_normal((num_datasets, draws, num_seeds, factor.shape[1])) @ factor.T
    logs[0] -= np.log(effect)
    tests = paired_t(np.moveaxis(logs, 2, -1))
    yes = (holm(tests.p_value()) <= alpha) & (tests.mean < 0)
    return yes[0].all(-1).mean()


@pytest.mark.parametrize(
    ("sd", "effect", "level"), [(0.3, 1.5, 0.05), (0.5, 1.5, 0.05 / 3), (0.3, 1.2, 0.01)]
)
def test_one_comparison_needs_as_many_seeds_as_the_noncentral_t_distribution_says(sd, effect, level):
    def power(number):
        critical = stats.t.ppf(1 - level / 2, number - 1)
        return stats.nct.sf(critical, number - 1, np.log(effect) / sd * np.sqrt(number))

    number = needed(sd, effect, level=level)[0]
    assert power(number) >= 0.9 > power(number - 1)


@pytest.mark.parametrize(
    ("num_rivals", "sd", "correlation", "num_datasets"),
    [(1, 0.35, 0, 1), (2, 0.35, 0.5, 1), (5, 0.35, 0.5, 1), (2, 0.5, 0.3, 3), (3, 0.3, 0.9, 3)],
)
def test_a_claim_reaches_its_power_within_two_points_with_the_seeds_needed_and_not_with_two_less(
    num_rivals, sd, correlation, num_datasets
):
    factor = equicorrelated(num_rivals, sd, correlation)
    number = int(conjunction_seeds(factor, 0.05 / num_datasets, effects=(1.5,), powers=(0.8,)).item())
    assert shown(factor, number, 1.5, 0.05, num_datasets) >= 0.8 - 0.02
    assert shown(factor, number - 2, 1.5, 0.05, num_datasets) < 0.8
    assert shown(factor, number - 1, 1.5, 0.05, num_datasets) < 0.8 + 0.02


def test_a_conjunction_of_one_is_the_single_test_and_each_further_rival_costs_seeds():
    many = [conjunction_seeds(equicorrelated(number, 0.4, 0.5), 0.05)[0] for number in (1, 2, 4)]
    np.testing.assert_array_equal(many[0], seeds_needed(xr.DataArray(0.4)))
    assert (many[0] < many[1]).all() and (many[1] < many[2]).all()


def test_rivals_that_are_one_arm_under_two_names_cost_nothing():
    once = conjunction_seeds(np.array([[0.4]]), 0.05)
    twice = conjunction_seeds(np.array([[0.4], [0.4]]), 0.05)
    np.testing.assert_allclose(twice, once, rtol=0.02, atol=1)


def test_the_detectable_ratio_and_the_seeds_needed_are_each_others_inverse():
    for number in (7, 20):
        ratio = float(np.exp(detectable_log_ratio(xr.DataArray(0.4), xr.DataArray(number), 0.01, 0.8)))
        assert needed(0.4, ratio * 1.0001, powers=(0.8,), level=0.01) == [number]
        assert needed(0.4, ratio * 0.9999, powers=(0.8,), level=0.01) == [number + 1]
        factor = equicorrelated(3, 0.4, 0.5)
        ratio = float(np.exp(conjunction_detectable(factor, number, 0.01, (0.8,))[0]))
        assert conjunction_seeds(factor, 0.01, effects=(1.0001 * ratio,), powers=(0.8,)).item() == number


def test_fewer_seeds_than_a_verdict_needs_are_never_recommended():
    assert needed([0.0, 1e-6, 0.1], 1.5, min_seeds=7) == [[7], [7], [7]]
    assert (conjunction_seeds(equicorrelated(2, 0.01, 0.5), 0.05, min_seeds=7) == 7).all()


def test_an_unknown_deviation_gives_no_number_and_a_large_one_a_number_beyond_the_table():
    assert np.isnan(needed(np.nan, 1.5)).all()
    sd, z = 3.0, stats.norm.ppf(0.975) + stats.norm.ppf(0.9)
    assert needed(sd, 1.1)[0] == pytest.approx((z * sd / np.log(1.1)) ** 2, rel=0.01)


def test_very_small_levels_come_to_an_end_and_need_more_seeds():
    numbers = [needed(0.3, 1.5, level=level)[0] for level in (0.05, 1e-4, 1e-6, 1e-9)]
    assert numbers == sorted(numbers) and numbers[-1] < 100
    beyond, below = (
        float(detectable_log_ratio(xr.DataArray(1.0), xr.DataArray(2), level, 0.8))
        for level in (6.3e-4, 6.4e-4)
    )
    assert beyond == pytest.approx(below * 6.4 / 6.3, rel=1e-3)  # on either side of the switch


def test_slower_and_faster_by_the_same_factor_take_the_same_seeds():
    assert needed(0.2, 1.2) == needed(0.2, 1 / 1.2)


def test_labels_are_kept():
    sd = xr.DataArray([[0.2, 0.3]], dims=("contender", "rival"))
    level = xr.DataArray([0.05, 0.05 / 3], dims="rival")
    number = seeds_needed(sd, [1.5, 1.2], [0.9], level)
    assert number.dims == ("contender", "rival", "effect", "power")
    expected = [needed(0.2, 1.5)[0], needed(0.3, 1.5, level=0.05 / 3)[0]]
    assert number.sel(effect=1.5, power=0.9).values.tolist() == [expected]


def test_the_sd_is_that_of_the_pairs_there_are():
    few = xr.DataArray([[1.0, 3.0, np.nan], [1.0, np.nan, np.nan]], dims=("pair", "seed"))
    np.testing.assert_allclose(log_ratio_sd(few), [np.std([1, 3], ddof=1), np.nan])


def test_the_interval_of_a_deviation_covers_as_often_as_it_says():
    sd = np.random.default_rng(0).normal(0, 0.3, (20_000, 7)).std(1, ddof=1)
    low, high = sd_scales(xr.DataArray(7)).values
    assert ((sd * low <= 0.3) & (sd * high >= 0.3)).mean() == pytest.approx(0.95, abs=0.006)
    assert np.isnan(sd_scales(xr.DataArray(1))).all()
