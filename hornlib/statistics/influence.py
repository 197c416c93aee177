"""Which parameters matter: main effects, interactions and shares of variance over a grid of cells."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.statistics.estimators.any_difference import any_difference
from hornlib.statistics.estimators.factorial import Subset, components, full_factorial
from hornlib.statistics.estimators.intervals import FEWEST, mean_interval, resampling_weights
from hornlib.statistics.estimators.student import as_bounds

__all__ = [
    "AGREEING_DRAWS",
    "Influence",
    "Rates",
    "at_best_learning_rate",
    "effects",
    "influence",
    "leading_parameter",
    "shares",
]

ROUNDING = 1e-24
"""Of the mean square: a variance below it is that of rounding errors."""

AGREEING_DRAWS = 0.95
"""Share of the bootstrap's draws in which a parameter must lead before an order of parameters is told."""


class Rates(NamedTuple):
    """The runs of a grid at every learning rate: a dimension for each axis, the learning rate, and `seed`.

    Attributes:
        judged: outcome of the runs.
        chosen_by: what the rate is chosen by, smaller is better; of the same shape.
    """

    judged: xr.DataArray
    chosen_by: xr.DataArray


class Influence(NamedTuple):
    """What a grid of cells says of its parameters, for one outcome.

    Attributes:
        effects: subset of axes (one or two) -> `estimate`, `interval` over the levels of these axes.
        shares: from `shares`.
        num_points: cells of the factorial that all this is about.
        num_seeds: seeds that each of them has.
        left_out: sentences: which levels, and which seeds, are not in it.
        p_difference: p-value of the hypothesis that all cells are alike; NaN where there is nothing to test.
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
    """Return every run at its point's own best learning rate: the mean of two judgements whose biases cancel.

    y = (y at the rate that all seeds choose + y at the rate that the other half of the seeds chooses) / 2, a choice
    being the argmin over rates of the mean of `chosen_by`. The first is too good, since the run helped to choose what
    it is judged at (the best of several noisy rates looks better than it is); the second is too bad, since half of
    the seeds choose worse, and with it effects move more than their intervals know. Intervals of effects on the mean of
    both hold what they promise, be the rates far apart, nearly equal, or equal in some cells (benchmarks/coverage.md).

    Args:
        judged: outcome of the runs, with the dimensions `dim` and `seed`.
        chosen_by: smaller is better; of the same shape. Rates without a run are never chosen.
        dim: dimension of the learning rates.

    Returns:
        `judged` without `dim`; NaN where either half has no run to choose by, or the run is missing.
    """
    second_half = xr.DataArray(np.arange(judged.sizes["seed"]) % 2 == 1, dims="seed")
    by_all, by_first, by_second = (
        _at_least(judged, scores.mean("seed"), dim)
        for scores in (chosen_by, chosen_by.where(~second_half), chosen_by.where(second_half))
    )
    return (by_all + xr.where(second_half, by_first, by_second)) / 2


def _at_least(judged: xr.DataArray, score: xr.DataArray, dim: str) -> xr.DataArray:
    """Return the runs at the rate of the least score."""
    best = score.fillna(np.inf).argmin(dim)
    return judged.isel({dim: best}).where(score.notnull().any(dim)).drop_vars(dim, errors="ignore")


def shares(grid: xr.DataArray, axes: Sequence[str], weights: np.ndarray) -> xr.Dataset:
    """Return which share of the variance between the cells of a full factorial each axis explains.

    V_S = mean f_S^2 - df_S s^2 / (n P) for each component of the means over n seeds at P points; df_S is the product
    of (levels - 1), s^2 the variance of runs within points once the seeds' own means, which all points share, are
    taken off. The first-order share of an axis is V_i / V and the total share sum over S with i in S of V_S / V,
    V = sum V_S: the Sobol indices of the factorial. What noise alone would bring is taken off: a share may be 0.

    Args:
        grid: a dimension for each axis, and `seed`; no NaN.
        axes: the factors.
        weights: of the seeds in each draw of a bootstrap, (draw, seed), to tell how sure the order of the axes is.

    Returns:
        `first_order` and `total` over `axis_name`; `total_bound` (axis_name, bound), the range of the middle 95 % of
        the draws; `interaction` over `axis_pair` (labels "a x b"); `noise`, the share of a single run's variance that
        is its seed's; `largest_in_draws` over `axis_name`, the share of draws in which the axis has the largest total
        share. NaN where nothing rises above the noise.
    """
    number, points = grid.sizes["seed"], int(np.prod([grid.sizes[axis] for axis in axes]))
    noise = _noise(grid, axes)
    parts = _variances(components(grid.mean("seed"), axes), noise / number, points)
    between = sum(parts.values(), xr.DataArray(0.0))
    least = ROUNDING * float((grid**2).mean())
    first, total, pairs = _shares(parts, axes, least)
    drawn = grid.dot(xr.DataArray(weights, dims=("draw", "seed"), coords={"seed": grid["seed"]}), "seed")
    # A bootstrap mean carries the noise of the runs and, on top, that of the draw.
    extra = noise / number * (2 - 1 / number)
    drawn_total = _shares(_variances(components(drawn, axes), extra, points), axes, least)[1]
    leads = (drawn_total == drawn_total.max("axis_name")).mean("draw")
    low, high = (
        total.copy(data=np.quantile(drawn_total.transpose("axis_name", "draw").values, end, axis=1))
        for end in (0.025, 0.975)
    )
    return xr.Dataset(
        {
            "first_order": first,
            "total": total,
            "total_bound": as_bounds(low, high).where(total.notnull()),
            "interaction": pairs,
            "noise": noise / (noise + between.clip(min=0)),
            "largest_in_draws": leads.where(total.notnull()),
        }
    )


def _noise(grid: xr.DataArray, axes: Sequence[str]) -> xr.DataArray:
    """Return the variance of runs within points, without what a seed does to all points alike."""
    number, points = grid.sizes["seed"], int(np.prod([grid.sizes[axis] for axis in axes]))
    left = grid - grid.mean("seed") - grid.mean(axes) + grid.mean()
    return (left**2).sum() / ((number - 1) * (points - 1))


def _variances(
    parts: Mapping[Subset, xr.DataArray], noise: xr.DataArray, points: int
) -> dict[Subset, xr.DataArray]:
    """Return the mean square of each component but the grand mean, less what noise brings to it."""
    variances = {}
    for subset, part in parts.items():
        if subset:
            freedom = int(np.prod([part.sizes[axis] - 1 for axis in subset]))
            variances[subset] = (part**2).mean(subset) - freedom * noise / points
    return variances


def _shares(
    variances: Mapping[Subset, xr.DataArray], axes: Sequence[str], least: float
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return first-order and total shares by axis, and the pairs' own shares; NaN below the least variance."""
    whole = sum(variances.values(), xr.DataArray(0.0))
    whole = whole.where(whole > least)

    def share(subsets: Iterable[Subset]) -> xr.DataArray:
        return (sum((variances[subset] for subset in subsets), xr.DataArray(0.0)) / whole).clip(0, 1)

    first = [share([(axis,)]) for axis in axes]
    total = [share(subset for subset in variances if axis in subset) for axis in axes]
    both = [share([pair]) for pair in combinations(axes, 2)]
    return (
        xr.concat(first, "axis_name").assign_coords(axis_name=list(axes)),
        xr.concat(total, "axis_name").assign_coords(axis_name=list(axes)),
        xr.concat(both, "axis_pair") if both else xr.DataArray(np.empty(0), dims="axis_pair"),
    )


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
        grid: a dimension for each axis, and `seed`, already at each point's own learning rate; NaN where a run lacks.
        seed: of the draws.
        alpha: 1 - confidence of each effect, two-sided.
        draws: of the bootstrap.
        rates: the runs that the rates of `grid` were chosen from, so that the test of any difference knows of the
            choice; None where the rate was given.
        rate: dimension of the learning rates.
    """
    grid, left_out = full_factorial(grid)
    axes = [str(axis) for axis in grid.dims if axis != "seed" and grid.sizes[axis] > 1]
    if not axes or grid.sizes["seed"] < 2 or not grid.size:
        reason = "no factorial of two levels and two seeds is left: no effect of a parameter can be told"
        return Influence({}, xr.Dataset(), 0, 0, [*left_out, reason], np.nan)
    p_difference = _p_difference(grid, rates, rate, seed)
    grid = grid.squeeze([axis for axis in grid.dims if axis not in (*axes, "seed")], drop=True)
    weights = resampling_weights(draws, grid.sizes["seed"], seed)
    number = grid.sizes["seed"]
    return Influence(
        effects(grid, axes, weights, alpha),
        shares(grid, axes, weights),
        grid.size // number,
        number,
        left_out,
        p_difference,
    )


def _p_difference(grid: xr.DataArray, rates: Rates | None, rate: str, seed: int) -> float:
    """Return the p-value of the hypothesis that all cells of a full factorial are alike."""
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
    """Return the parameter that matters most, "" where no parameter is told apart from the others.

    An order is told only where the test of any difference among the cells rejects, and where the same parameter leads
    in `AGREEING_DRAWS` of the bootstrap's draws. The leading one of a single parameter has nobody to lead.

    Args:
        shares: from `shares`.
        p_difference: of the hypothesis that all cells are alike, corrected if it is one of several tests.
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

    Every seed has all points, so that each gives an effect of its own, freed of what the seed does to all of them;
    the interval is the studentised bootstrap's of the mean of these. It is NaN for fewer than five seeds, and where
    runs are so tied that it has no end.

    Args:
        grid: a dimension for each axis, and `seed`; no NaN.
        axes: the factors.
        weights: of the seeds in each draw, (draw, seed).
        alpha: 1 - confidence of each effect, two-sided.

    Returns:
        `estimate` and `interval` (with `bound`) for every subset of one or two axes.
    """
    parts = components(grid, axes)
    return {subset: _effect(part, weights, alpha) for subset, part in parts.items() if 1 <= len(subset) <= 2}


def _effect(part: xr.DataArray, weights: np.ndarray, alpha: float) -> xr.Dataset:
    """Return the mean over seeds of an effect at every level, and its interval."""
    part = part.transpose(..., "seed")
    estimate = part.mean("seed")
    ends = np.full((estimate.size, 2), np.nan)
    if part.sizes["seed"] >= FEWEST:
        ends = mean_interval(part.values.reshape(estimate.size, -1), weights, alpha)
    low, high = (estimate.copy(data=end.reshape(estimate.shape)) for end in ends.T)
    interval = as_bounds(low, high)
    return xr.Dataset({"estimate": estimate, "interval": interval.where(np.isfinite(interval))})
