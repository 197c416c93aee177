"""Grids of cells, the full factorial within a grid with gaps, and its components."""

import numpy as np
import pytest
import xarray as xr

from hornlib.statistics.estimators.factorial import components, full_factorial, level_label, on_grid


def grid_of(*shape, seeds=4):
    """Return random runs on axes a, b, c."""
    values = np.random.default_rng(0).normal(size=(*shape, seeds))
    axes = "abc"[: len(shape)]
    coords = {axis: np.arange(number) for axis, number in zip(axes, shape, strict=True)}
    return xr.DataArray(values, coords, (*axes, "seed")).assign_coords(seed=range(seeds))


def test_components_add_up_to_the_grid_and_are_orthogonal():
    grid = grid_of(2, 3, 4).isel(seed=0, drop=True)
    found = components(grid, ["a", "b", "c"])
    assert len(found) == 8
    xr.testing.assert_allclose(sum(found.values()), grid)
    squares = {subset: float((part**2).broadcast_like(grid).mean()) for subset, part in found.items()}
    assert sum(squares.values()) == pytest.approx(float((grid**2).mean()))
    for subset, part in found.items():
        for axis in subset:
            np.testing.assert_allclose(part.sum(axis), 0, atol=1e-12)


def test_cells_are_put_on_the_grid_by_numbers_and_by_words():
    coords = {"timesteps": ("contender", [8.0, 4.0, 8.0]), "unit": ("contender", ["gru", "lstm", "lstm"])}
    runs = xr.DataArray([[1.0, 2], [3, 4], [5, 6]], coords, ("contender", "seed"))
    grid = on_grid(runs.assign_coords(seed=[0, 1]), ["timesteps", "unit"])
    assert grid.sel(timesteps=8, unit="lstm").values.tolist() == [5, 6]
    assert np.isnan(grid.sel(timesteps=4, unit="gru")).all()
    assert level_label("timesteps", 8.0) == "timesteps=8" and level_label("unit", "gru") == "unit=gru"


def test_a_full_grid_stays_as_it_is():
    grid = grid_of(2, 3)
    whole, told = full_factorial(grid)
    xr.testing.assert_identical(whole, grid)
    assert not told


def test_the_level_with_most_gaps_goes():
    grid = grid_of(3, 4)
    grid[1, [0, 2, 3]] = np.nan
    whole, told = full_factorial(grid)
    assert whole["a"].values.tolist() == [0, 2] and whole.sizes["b"] == 4
    assert told == ["a=1 is left out of the factorial: 3 of its cells lack runs"]


def test_one_seed_is_as_good_as_none():
    grid = grid_of(2, 3)
    grid[0, 1, 1:] = np.nan
    whole, told = full_factorial(grid)
    assert whole.notnull().all() and "1 of its cells" in told[0]


@pytest.mark.parametrize("shape", [(2,), (2, 2, 2)])
def test_nothing_is_left_of_an_empty_grid(shape):
    whole, told = full_factorial(grid_of(*shape) * np.nan)
    assert whole.size == 0 and told
