"""Interquartile means and probabilities of improvement, against scipy."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from hornlib.statistics.estimators.aggregate import interquartile_mean, normalised, probability_of_improvement


def scores(values):
    return xr.DataArray(np.array(values, float), dims=("dataset", "seed"))


def middle(values, **how):
    return interquartile_mean(scores(values), **{"seed": 0, **how})


@pytest.mark.parametrize("shape", [(1, 5), (1, 8), (3, 5), (4, 10)])
def test_the_interquartile_mean_is_scipys_trimmed_mean(shape):
    values = np.random.default_rng(0).normal(size=shape)
    assert middle(values)["estimate"].item() == pytest.approx(stats.trim_mean(values, 0.25, axis=None))


def test_missing_runs_and_datasets_are_left_out():
    values = np.random.default_rng(1).normal(size=(2, 6))
    gaps = np.full((3, 8), np.nan)
    gaps[:2, 1:7] = values
    xr.testing.assert_allclose(middle(values), middle(gaps))
    assert np.isnan(middle(np.full((2, 3), np.nan))["estimate"])
    assert np.isnan(middle([[1.0], [2.0]])["interval"]).all()


def test_datasets_are_given_so_that_their_distance_widens_nothing():
    noise = np.random.default_rng(2).normal(0, 0.01, (1, 10))
    one, three = (
        middle(noise + shift)["interval"] for shift in (np.zeros((3, 1)), np.array([[0], [5], [10]]))
    )
    widths = [float(np.diff(interval)[0]) for interval in (one, three)]
    assert widths[1] < 3 * widths[0] < 0.1


def test_one_arm_has_the_same_interval_whoever_its_neighbours_are():
    random = np.random.default_rng(3)
    arms = xr.DataArray(random.normal(size=(3, 2, 6)), dims=("arm", "dataset", "seed"))
    together = interquartile_mean(arms, seed=0)
    alone = interquartile_mean(arms.isel(arm=2), seed=0)
    xr.testing.assert_identical(together.isel(arm=2), alone)
    assert not together.equals(interquartile_mean(arms, seed=1))


def test_a_normalised_metric_is_one_at_the_baseline_and_nothing_at_chance_in_either_direction():
    metric = xr.DataArray([0.1, 0.5, 0.9], dims="seed")
    np.testing.assert_allclose(normalised(metric, xr.DataArray(0.1), xr.DataArray(0.9)), [0, 0.5, 1])
    error = xr.DataArray([1.0, 0.6, 0.2], dims="seed")
    np.testing.assert_allclose(normalised(error, xr.DataArray(1.0), xr.DataArray(0.2)), [0, 0.5, 1])
    assert np.isnan(normalised(metric, xr.DataArray(0.1), xr.DataArray(0.1))).all()


def runs(values):
    return xr.DataArray(np.array(values, float), dims="seed")


@pytest.mark.parametrize("rounded", [False, True])
def test_the_probability_of_improvement_is_mann_whitneys_u_over_all_pairs(rounded):
    random = np.random.default_rng(4)
    first, second = random.normal(0.5, 1, 7), random.normal(0, 1, 9)
    if rounded:
        first, second = np.round(first), np.round(second)
    found = probability_of_improvement(runs(first), runs(second))["estimate"].item()
    assert found == pytest.approx(stats.mannwhitneyu(first, second).statistic / 63)


def test_its_limits_solve_the_score_equation():
    random = np.random.default_rng(5)
    first, second = random.normal(0.7, 1, 8), random.normal(0, 1, 5)
    found = probability_of_improvement(runs(first), runs(second), alpha=0.1)
    estimate, z = found["estimate"].item(), stats.norm.ppf(0.95)
    for theta in found["interval"].values:
        # Hanley and McNeil's variance, with both group sizes replaced by their mean
        q1, q2, number = theta / (2 - theta), 2 * theta**2 / (1 + theta), (8 + 5) / 2
        variance = theta * (1 - theta) + (number - 1) * (q1 + q2 - 2 * theta**2)
        assert (estimate - theta) ** 2 == pytest.approx(z**2 * variance / 40, rel=1e-6)


def test_an_arm_that_always_wins_is_not_certain_to_and_swapping_the_arms_mirrors_it():
    better, worse = runs([3, 4, 5, 6, 7]), runs([1, 2, 1, 2, 1])
    there, back = (probability_of_improvement(*pair) for pair in ((better, worse), (worse, better)))
    assert there["estimate"].item() == 1 and 0.4 < there["interval"].values[0] < 0.8
    assert there["interval"].values[1] == pytest.approx(1)
    np.testing.assert_allclose(there["interval"].values, 1 - back["interval"].values[::-1])


def test_an_arm_against_itself_wins_half_the_time_and_without_runs_nothing_is_known():
    assert probability_of_improvement(runs([1, 2, 3]), runs([1, 2, 3]))["estimate"].item() == 0.5
    nothing = probability_of_improvement(runs([np.nan]), runs([1]))
    assert np.isnan(nothing["estimate"]) and np.isnan(nothing["interval"]).all()


def test_all_pairs_at_once_keep_their_labels():
    table = xr.DataArray(np.random.default_rng(6).normal(size=(3, 5)), dims=("contender", "seed"))
    found = probability_of_improvement(table, table.rename(contender="rival"))
    assert set(found["estimate"].dims) == {"contender", "rival"}
    np.testing.assert_allclose(found["estimate"] + found["estimate"].values.T, 1)
