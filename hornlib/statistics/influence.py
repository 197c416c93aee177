"""The influence of parameters: main effects, interactions and shares of variance over a grid of cells."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.statistics.estimators.any_difference import any_difference
from hornlib.statistics.estimators.factorial import Subset, components, full_factorial
from hornlib.statistics.estimators.intervals import FEWEST, mean_interval, resampling_weights
from hornlib.statistics.estimators.student import as_bounds
from hornlib.statistics.estimators.variance_shares import variance_shares

__all__ = [
    "AGREEING_DRAWS",
    "Influence",
    "Rates",
    "at_best_learning_rate",
    "effects",
    "influence",
    "leading_parameter",
]

AGREEING_DRAWS = 0.95
"""Share of the bootstrap draws in which a parameter must have the largest total share before it is named."""


class Rates(NamedTuple):
    """The runs of a grid at every learning rate: arrays (*axes, learning rate, seed).

    Attributes:
        judged: outcome of the runs.
        chosen_by: score by which the rate is chosen; smaller is better.
    """

    judged: xr.DataArray
    chosen_by: xr.DataArray


class Influence(NamedTuple):
    """The influence of the parameters of a grid on one outcome.

    Attributes:
        effects: subset of one or two axes -> `estimate` and `interval` over the levels of these axes.
        shares: from `variance_shares`.
        num_points: number of cells of the factorial.
        num_seeds: number of seeds of each cell.
        left_out: clauses that name the levels and the seeds that are not in the factorial.
        p_difference: p-value of the hypothesis that all cells are equal; NaN if it cannot be tested.
    """

    effects: dict[Subset, xr.Dataset]
    shares: xr.Dataset
    num_points: int
    num_seeds: int
    left_out: list[str]
    p_difference: float


def at_best_learning_rate(
    judged: xr.DataArray, chosen_by: xr.DataArray, dim: str = "learning_rate"
) -> xr.DataArray:
    """Return every run at the best learning rate of its point, as the mean of two outcomes whose biases cancel.

    y = (y at the rate that all seeds choose + y at the rate that the other half of the seeds chooses) / 2. The choice
    is the argmin over rates of the mean of `chosen_by`. The first outcome is too good, because the run helped to choose
    its rate. The second outcome is too bad, because half of the seeds choose worse, and it makes effects more variable
    than their intervals assume. The intervals of effects on the mean of both cover as promised for rates that are far
    apart, nearly equal, or equal in some cells (benchmarks/coverage.md).

    Args:
        judged: outcome of the runs, (.., dim, seed).
        chosen_by: score by which the rate is chosen, of the same shape; smaller is better. A rate without a run is
            never chosen.
        dim: dimension of the learning rates.

    Returns:
        (.., seed); NaN if the run is missing, or if either half of the seeds has no run to choose by.
    """
    second_half = xr.DataArray(np.arange(judged.sizes["seed"]) % 2 == 1, dims="seed")
    by_all, by_first, by_second = (
        _at_least(judged, scores.mean("seed"), dim)
        for scores in (chosen_by, chosen_by.where(~second_half), chosen_by.where(second_half))
    )
    return (by_all + xr.where(second_half, by_first, by_second)) / 2


def _at_least(judged: xr.DataArray, score: xr.DataArray, dim: str) -> xr.DataArray:
    """Return the runs at the rate with the smallest score."""
    best = score.fillna(np.inf).argmin(dim)
    return judged.isel({dim: best}).where(score.notnull().any(dim)).drop_vars(dim, errors="ignore")


def influence(
    grid: xr.DataArray,
    seed: int,
    alpha: float = 0.05,
    draws: int = 2000,
    rates: Rates | None = None,
    rate: str = "learning_rate",
) -> Influence:
    """Return main effects, two-way interactions and shares of variance of one outcome over a grid.

    Args:
        grid: (*axes, seed), at the best learning rate of each point; NaN where a run is missing.
        seed: seed of the draws.
        alpha: 1 - confidence of each effect, two-sided.
        draws: number of bootstrap draws.
        rates: the runs at all learning rates, so that the test of any difference repeats the choice; None if the rate
            was not chosen.
        rate: dimension of the learning rates.
    """
    grid, left_out = full_factorial(grid)
    axes = [str(axis) for axis in grid.dims if axis != "seed" and grid.sizes[axis] > 1]
    if not axes or grid.sizes["seed"] < 2 or not grid.size:
        reason = "no factorial of two levels and two seeds remains, so that no effect of a parameter can be computed"
        return Influence({}, xr.Dataset(), 0, 0, [*left_out, reason], np.nan)
    p_difference = _p_difference(grid, rates, rate, seed)
    grid = grid.squeeze([axis for axis in grid.dims if axis not in (*axes, "seed")], drop=True)
    weights = resampling_weights(draws, grid.sizes["seed"], seed)
    number = grid.sizes["seed"]
    return Influence(
        effects(grid, axes, weights, alpha),
        variance_shares(grid, axes, weights),
        grid.size // number,
        number,
        left_out,
        p_difference,
    )


def _p_difference(grid: xr.DataArray, rates: Rates | None, rate: str, seed: int) -> float:
    """Return the p-value of the hypothesis that all cells of a full factorial are equal."""
    if rates is None:
        rates = Rates(grid.expand_dims(rate), grid.expand_dims(rate))
    axes = [str(axis) for axis in grid.dims if axis != "seed"]
    levels = {axis: grid[axis].values for axis in (*axes, "seed") if axis in grid.coords}
    judged, chosen_by = (
        values.sel(levels)
        .transpose(*axes, rate, "seed")
        .values.reshape(-1, values.sizes[rate], grid.sizes["seed"])
        for values in rates
    )
    return any_difference(judged, chosen_by, seed)


def leading_parameter(shares: xr.Dataset, p_difference: float, alpha: float) -> str:
    """Return the parameter with the largest influence, "" if no parameter can be named.

    A parameter is named only if the test of any difference between the cells rejects, and if this parameter has the
    largest total share in `AGREEING_DRAWS` of the bootstrap draws. A single parameter is not named.

    Args:
        shares: from `variance_shares`; it reads `largest_in_draws` (axis_name).
        p_difference: p-value of the hypothesis that all cells are equal, corrected if it is one of several tests.
        alpha: level of that test.
    """
    if "total" not in shares or shares.sizes["axis_name"] < 2 or not p_difference <= alpha:
        return ""
    leads = shares["largest_in_draws"].values
    if not leads.max() >= AGREEING_DRAWS:
        return ""
    return str(shares["axis_name"].values[leads.argmax()])


def effects(
    grid: xr.DataArray, axes: Sequence[str], weights: np.ndarray, alpha: float
) -> dict[Subset, xr.Dataset]:
    """Return main effects and two-way interactions of a full factorial, with intervals over seeds.

    Every seed has all points, so that each seed gives one value of the effect, without the effect of the seed on all
    points. The interval is the studentised bootstrap interval of the mean of these values. It is NaN for fewer than
    five seeds, and if ties make it unbounded.

    Args:
        grid: (*axes, seed), without NaN.
        axes: the factors.
        weights: (draw, seed), weights of the seeds in each bootstrap draw.
        alpha: 1 - confidence of each effect, two-sided.

    Returns:
        Subset of one or two axes -> `estimate` (*subset) and `interval` (*subset, bound).
    """
    parts = components(grid, axes)
    return {subset: _effect(part, weights, alpha) for subset, part in parts.items() if 1 <= len(subset) <= 2}


def _effect(part: xr.DataArray, weights: np.ndarray, alpha: float) -> xr.Dataset:
    """Return the mean over seeds of an effect at every level, with its interval."""
    part = part.transpose(..., "seed")
    estimate = part.mean("seed")
    ends = np.full((estimate.size, 2), np.nan)
    if part.sizes["seed"] >= FEWEST:
        ends = mean_interval(part.values.reshape(estimate.size, -1), weights, alpha)
    low, high = (estimate.copy(data=end.reshape(estimate.shape)) for end in ends.T)
    interval = as_bounds(low, high)
    return xr.Dataset({"estimate": estimate, "interval": interval.where(np.isfinite(interval))})
