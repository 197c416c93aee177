"""Factorial designs: cells on the grid of their parameters, the full factorial within it, and its components."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import xarray as xr

__all__ = ["Subset", "components", "full_factorial", "level_label", "on_grid"]

Subset = tuple[str, ...]
"""The axes that a component depends on."""


def on_grid(runs: xr.DataArray, axes: Sequence[str], dim: str = "contender") -> xr.DataArray:
    """Return runs on the grid of their parameters, (*axes, seed); a point without a cell is NaN.

    Args:
        runs: (dim, seed), with every axis as a coordinate on `dim`.
        axes: parameters that distinguish the cells, numbers or words. If two cells share a point, the first counts.
        dim: dimension of the cells.
    """
    levels = {axis: np.unique(runs[axis].values) for axis in axes}
    places = tuple(np.searchsorted(values, runs[axis].values) for axis, values in levels.items())
    runs = runs.transpose(dim, "seed")
    grid = np.full((*map(len, levels.values()), runs.sizes["seed"]), np.nan)
    for index in reversed(range(runs.sizes[dim])):
        grid[tuple(place[index] for place in places)] = runs.values[index]
    return xr.DataArray(grid, dims=(*axes, "seed"), coords={**levels, "seed": runs["seed"].values})


def full_factorial(grid: xr.DataArray) -> tuple[xr.DataArray, list[str]]:
    """Return the full factorial within a grid with gaps, and a clause for everything that was left out of it.

    A gap is a point with fewer than two seeds. The level with the largest share of gaps is left out until no gap
    remains. After that, only the seeds that every point has remain. Effects over unequal sets of points would mix the
    axes.

    Args:
        grid: (*axes, seed); NaN where a run is missing.
    """
    left_out = []
    axes = [axis for axis in grid.dims if axis != "seed"]
    gaps = grid.count("seed") < 2
    while gaps.any():
        worst: dict[str, tuple[float, int]] = {}
        for axis in axes:
            lacking = gaps.mean([other for other in axes if other != axis])
            worst[str(axis)] = float(lacking.max()), int(lacking.values.argmax())
        axis, (_, place) = max(worst.items(), key=lambda item: item[1][0])
        number = int(gaps.isel({axis: place}).sum())
        label = level_label(axis, grid[axis].values[place])
        left_out.append(f"{label} is left out of the factorial: {number} of its cells lack runs")
        keep = [index for index in range(grid.sizes[axis]) if index != place]
        grid, gaps = grid.isel({axis: keep}), gaps.isel({axis: keep})
    common = grid.notnull().all(axes)
    if grid.size and not common.all():
        lost = int((~common & grid.notnull().any(axes)).sum())
        if lost:
            left_out.append(f"{lost} seeds are left out of the factorial: some of its cells lack them")
        grid = grid.isel(seed=np.flatnonzero(common))
    return grid, left_out


def level_label(axis: str, level: str | float) -> str:
    """Return the label of a level of an axis: `timesteps=8`.

    Args:
        axis: name of the parameter.
        level: its value.
    """
    return f"{axis}={level}" if isinstance(level, str) else f"{axis}={level:g}"


def components(grid: xr.DataArray, axes: Sequence[str]) -> dict[Subset, xr.DataArray]:
    """Return the orthogonal components of a full factorial, for every subset of its axes.

    f_S is the mean over the axes outside S minus all f_T of proper subsets T of S. f_{} is the grand mean, f_{i} a main
    effect and f_{ij} a two-way interaction. The sum of all components is the grid.

    Args:
        grid: (*axes, ..); the result keeps all other dimensions.
        axes: the factors.

    Reference:
        Sobol, Mathematical Modelling and Computational Experiments 1 (1993), 407-414; the sums of squares are those of
        the balanced analysis of variance.
    """
    parts: dict[Subset, xr.DataArray] = {}
    for order in range(len(axes) + 1):
        for subset in combinations(axes, order):
            part = grid.mean([axis for axis in axes if axis not in subset])
            for smaller, component in parts.items():
                if set(smaller) < set(subset):
                    part = part - component
            parts[subset] = part
    return parts
