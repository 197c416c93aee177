"""Effects and shares of parameters: hand-made factorials, closed forms, and what selection must not flatter."""

import numpy as np
import pytest
import xarray as xr

from hornlib.statistics.estimators.any_difference import any_difference
from hornlib.statistics.estimators.factorial import full_factorial
from hornlib.statistics.influence import (
    Rates,
    at_best_learning_rate,
    influence,
    leading_parameter,
)

SIGNS = np.array([-1.0, 1.0])


def factorial(values, seeds=8, noise=0.0, levels=None):
    """Return a grid over axes a, b, ... with these true values, and noise of every run."""
    values = np.asarray(values, float)
    axes = "abcd"[: values.ndim]
    luck = noise * np.random.default_rng(0).normal(size=(*values.shape, seeds))
    coords = levels or {axis: np.arange(number) for axis, number in zip(axes, values.shape, strict=True)}
    return xr.DataArray(values[..., None] + luck, coords, (*coords, "seed")).assign_coords(seed=range(seeds))


def model(a, b, ab, c=0.0):
    """Return a x1 + b x2 + ab x1 x2 + c x3 at all combinations of x = -1, 1."""
    x1, x2, x3 = np.meshgrid(SIGNS, SIGNS, SIGNS, indexing="ij")
    return a * x1 + b * x2 + ab * x1 * x2 + c * x3


def test_effects_are_the_coefficients_of_a_two_level_factorial():
    found = influence(factorial(model(3, 1, 0.5)), seed=0).effects
    np.testing.assert_allclose(found[("a",)]["estimate"], [-3, 3])
    np.testing.assert_allclose(found[("b",)]["estimate"], [-1, 1])
    np.testing.assert_allclose(found[("a", "b")]["estimate"], [[0.5, -0.5], [-0.5, 0.5]])
    np.testing.assert_allclose(found[("a", "c")]["estimate"], 0, atol=1e-12)


def leader_of(grid, alpha=0.05):
    found = influence(grid, seed=0)
    return leading_parameter(found.shares, found.p_difference, alpha)


def test_the_parameter_of_the_largest_effect_leads():
    assert leader_of(factorial(model(3, 1, 0.5), noise=0.5)) == "a"


def test_two_parameters_of_nearly_equal_shares_are_not_put_in_an_order():
    """Cells differ without doubt, and which of the two matters more is a coin's flip."""
    found = influence(factorial(model(1, 1, 1.2), noise=0.5), seed=0)
    assert found.p_difference <= 0.01 and found.shares["largest_in_draws"].max() < 0.95
    assert leading_parameter(found.shares, found.p_difference, 0.05) == ""


def test_noise_has_no_leader():
    random = np.random.default_rng(6)
    grids = [factorial(np.zeros((2, 3))).copy(data=random.normal(size=(2, 3, 8))) for _ in range(40)]
    assert sum(bool(leader_of(grid)) for grid in grids) <= 2


def test_a_leader_needs_the_test_and_the_draws_and_somebody_to_lead():
    shares = influence(factorial(model(3, 1, 0.5), noise=0.5), seed=0).shares
    assert leading_parameter(shares, 0.05, 0.05) == "a"
    assert leading_parameter(shares, 0.051, 0.05) == ""
    assert leading_parameter(shares, np.nan, 0.05) == ""
    doubted = shares.assign(largest_in_draws=shares["largest_in_draws"] * 0.94)
    assert leading_parameter(doubted, 0.001, 0.05) == ""
    alone = influence(factorial([[1.0], [2.0]], noise=0.1), seed=0)
    assert alone.p_difference <= 0.05 and leading_parameter(alone.shares, 0.001, 0.05) == ""
    assert leading_parameter(xr.Dataset(), 0.001, 0.05) == ""


def test_the_range_of_a_share_over_the_draws_holds_the_share():
    found = influence(factorial(model(3, 1, 2), seeds=10, noise=2), seed=0).shares
    low, high = found["total_bound"].transpose("bound", ...)
    assert (low <= found["total"]).all() and (found["total"] <= high).all() and (low < high).all()


def test_the_test_of_any_difference_knows_that_rates_were_chosen():
    runs = rates(np.zeros((2, 3)), seeds=6)
    runs = runs + np.random.default_rng(1).normal(size=runs.shape)
    judged = at_best_learning_rate(runs, runs)
    known = influence(judged, 0, rates=Rates(runs, runs)).p_difference
    assert known == any_difference(runs.values, runs.values, 0)
    assert known != influence(judged, 0).p_difference


def test_the_test_of_any_difference_is_of_the_factorial_alone():
    """A level with gaps and a seed with gaps are left out of the test as they are of the effects."""
    runs = rates([[3, 1, 2], [1, 2, 3], [5, 5, 5]], seeds=6)
    runs = runs + 0.5 * np.random.default_rng(1).normal(size=runs.shape)
    gaps = runs.copy()
    gaps[2, :, 1:] = np.nan
    gaps[0, :, 5] = np.nan
    found = influence(at_best_learning_rate(gaps, gaps), 0, rates=Rates(gaps, gaps))
    kept = runs.values[:2, :, :5]
    assert (found.num_points, found.num_seeds) == (2, 5)
    assert found.p_difference == any_difference(kept, kept, 0)


def test_what_a_seed_does_to_all_cells_touches_no_effect():
    quiet = factorial(model(3, 1, 2), noise=0.1)
    loud = quiet + xr.DataArray(np.random.default_rng(3).normal(0, 50, 8), dims="seed")
    one, other = (influence(grid, seed=0) for grid in (quiet, loud))
    for subset in one.effects:
        xr.testing.assert_allclose(one.effects[subset], other.effects[subset], atol=1e-9)
    assert other.shares["noise"].item() == pytest.approx(one.shares["noise"].item())


def test_a_hole_leaves_out_a_level_and_says_so():
    grid = factorial(np.add.outer([0.0, 1.0, 2.0], [0.0, 10.0]), levels={"a": [4, 8, 16], "b": [0, 1]})
    grid[2, 1, 1:] = np.nan
    whole, told = full_factorial(grid)
    assert whole["a"].values.tolist() == [4, 8] or whole["b"].values.tolist() == [0]
    assert told and "lack runs" in told[0]
    found = influence(grid, seed=0)
    assert found.left_out == told and found.num_points in (3, 4)


def test_a_missing_seed_leaves_out_that_seed_and_says_so():
    grid = factorial(model(3, 1, 2))
    grid[0, 0, 0, 3] = np.nan
    found = influence(grid, seed=0)
    assert found.num_seeds == 7 and "1 seeds are left out" in found.left_out[0]
    np.testing.assert_allclose(found.effects[("a",)]["estimate"], [-3, 3])


@pytest.mark.parametrize("values", [np.full((2, 2), np.nan), np.zeros((1, 1))])
def test_without_a_factorial_there_is_nothing_but_a_reason(values):
    found = influence(factorial(values), seed=0)
    assert not found.effects and "no factorial" in found.left_out[-1]


def test_equal_cells_have_no_shares_and_one_axis_has_all():
    assert np.isnan(influence(factorial(np.full((2, 2), 0.9)), seed=0).shares["total"]).all()
    found = influence(factorial([[1.0], [2.0]]), seed=0)
    assert found.shares["total"].values.tolist() == [1] and found.shares.sizes["axis_pair"] == 0


def test_fewer_than_five_seeds_have_effects_without_interval():
    found = influence(factorial(model(3, 1, 2), seeds=4, noise=1), seed=0).effects[("a",)]
    assert np.isfinite(found["estimate"]).all() and np.isnan(found["interval"]).all()


def rates(values, seeds=6):
    """Return runs at two points and some learning rates; `values` (point, rate)."""
    data = np.repeat(np.array(values, float)[..., None], seeds, -1)
    coords = {"timesteps": 4 * np.arange(1, len(data) + 1), "learning_rate": np.arange(data.shape[1])}
    return xr.DataArray(data, coords, ("timesteps", "learning_rate", "seed")).assign_coords(seed=range(seeds))


def test_each_cell_is_judged_at_its_own_best_learning_rate():
    times = rates([[3, 1, 2], [1, 2, 3]])
    accuracy = rates([[0.3, 0.1, 0.2], [0.7, 0.8, 0.9]])
    found = at_best_learning_rate(accuracy, chosen_by=times)
    np.testing.assert_allclose(found, [[0.1] * 6, [0.7] * 6])


def test_rates_without_runs_are_never_chosen_and_missing_runs_stay_missing():
    times = rates([[3, 1, 2], [1, 2, 3]])
    times[0, 1] = np.nan
    times[1, 0, 4] = np.nan
    found = at_best_learning_rate(times, times)
    np.testing.assert_allclose(found[0], [2] * 6)
    np.testing.assert_allclose(found[1], [1, 1, 1, 1, np.nan, 1])


def test_the_best_of_many_equal_rates_is_hardly_flattered():
    random = np.random.default_rng(4)
    ours, naive = [], []
    for _ in range(60):
        times = rates(np.zeros((2, 8)), seeds=10)
        times = times + random.normal(size=times.shape)
        ours.append(at_best_learning_rate(times, times).mean().item())
        naive.append(times.mean("seed").min("learning_rate").mean().item())
    assert np.mean(naive) < -0.4  # the expected least of eight means of ten
    assert abs(np.mean(ours)) < 0.55 * abs(np.mean(naive))
