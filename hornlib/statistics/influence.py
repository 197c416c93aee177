"""Which parameters matter: main effects, interactions and shares of variance over a grid of cells."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.statistics.intervals import FEWEST, mean_interval, resampling_weights
from hornlib.statistics.student import as_bounds

__all__ = [
    "Influence",
    "at_best_learning_rate",
    "components",
    "full_factorial",
    "influence",
    "on_grid",
    "shares",
]

Subset = tuple[str, ...]


class Influence(NamedTuple):
    """What a grid of cells says of its parameters, for one outcome.

    Attributes:
        effects: subset of axes (one or two) -> `estimate`, `interval` over the levels of these axes.
        shares: from `shares`.
        num_points: cells of the factorial that all this is about.
        num_seeds: seeds that each of them has.
        left_out: sentences: which levels, and which seeds, are not in it.
    """

    effects: dict[Subset, xr.Dataset]
    shares: xr.Dataset
    num_points: int
    num_seeds: int
    left_out: list[str]


def on_grid(runs: xr.DataArray, axes: Sequence[str], dim: str = "contender") -> xr.DataArray:
    """Return runs with a dimension for every axis in place of `dim`; a point without a cell is NaN.

    Args:
        runs: with the dimensions `dim` and `seed`, and each axis a coordinate on `dim`.
        axes: parameters that tell the cells apart, numbers or words; where two cells share a point, the first counts.
        dim: dimension of the cells.
    """
    levels = {axis: np.unique(runs[axis].values) for axis in axes}
    places = tuple(np.searchsorted(values, runs[axis].values) for axis, values in levels.items())
    runs = runs.transpose(dim, "seed")
    grid = np.full((*map(len, levels.values()), runs.sizes["seed"]), np.nan)
    for index in reversed(range(runs.sizes[dim])):
        grid[tuple(place[index] for place in places)] = runs.values[index]
    return xr.DataArray(grid, dims=(*axes, "seed"), coords={**levels, "seed": runs["seed"].values})


def at_best_learning_rate(
    judged: xr.DataArray, chosen_by: xr.DataArray, dim: str = "learning_rate"
) -> xr.DataArray:
    """Return every run at its point's own best learning rate: the mean of two judgements whose biases cancel.

    y = (y at the rate that all seeds choose + y at the rate that the other half of the seeds chooses) / 2, a choice
    being the argmin over rates of the mean of `chosen_by`. The first is too good, since the run helped to choose what
    it is judged at (the best of several noisy rates looks better than it is); the second is too bad, since half of
    the seeds choose worse, and moves from draw to draw more than its runs do. Intervals of effects on either alone
    cover down to 87 % and 84 %, on their mean 93 % and more (benchmarks/coverage.md).

    Args:
        judged: outcome of the runs, with the dimensions `dim` and `seed`.
        chosen_by: smaller is better; of the same shape. Rates without a run are never chosen.
        dim: dimension of the learning rates.

    Returns:
        `judged` without `dim`; NaN where either half has no run to choose by, or the run is missing.
    """
    second_half = xr.DataArray(np.arange(judged.sizes["seed"]) % 2 == 1, dims="seed")
    by_all, by_first, by_second = (
        _at_least(judged, own.mean("seed"), dim)
        for own in (chosen_by, chosen_by.where(~second_half), chosen_by.where(second_half))
    )
    return (by_all + xr.where(second_half, by_first, by_second)) / 2


def _at_least(judged: xr.DataArray, score: xr.DataArray, dim: str) -> xr.DataArray:
    """Return the runs at the rate of the least score."""
    best = score.fillna(np.inf).argmin(dim)
    return judged.isel({dim: best}).where(score.notnull().any(dim)).drop_vars(dim, errors="ignore")


def full_factorial(grid: xr.DataArray) -> tuple[xr.DataArray, list[str]]:
    """Return the full factorial within a grid with gaps, and what was left out of it, in sentences.

    The level with the largest share of points with fewer than two seeds is left out until no gap remains; of the
    seeds, those stay that every point has. Effects over unequal sets of points would mix up the axes.

    Args:
        grid: a dimension for each axis, and `seed`.
    """
    told = []
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
        told.append(f"{label} is left out of the factorial: {number} of its cells lack runs")
        keep = [index for index in range(grid.sizes[axis]) if index != place]
        grid, gaps = grid.isel({axis: keep}), gaps.isel({axis: keep})
    common = grid.notnull().all(axes)
    if grid.size and not common.all():
        lost = int((~common & grid.notnull().any(axes)).sum())
        told += [f"{lost} seeds are left out of the factorial: some of its cells lack them"] if lost else []
        grid = grid.isel(seed=np.flatnonzero(common))
    return grid, told


def level_label(axis: str, level: str | float) -> str:
    """Return how a level of an axis is called: `timesteps=8`."""
    return f"{axis}={level}" if isinstance(level, str) else f"{axis}={level:g}"


def components(grid: xr.DataArray, axes: Sequence[str]) -> dict[Subset, xr.DataArray]:
    """Return the orthogonal components of a full factorial, for every subset of its axes.

    f_S = mean over the axes outside S, less all f_T of subsets T of S; so f_{} is the grand mean, f_{i} a main effect,
    f_{ij} a two-way interaction, and their sum is the grid.

    Args:
        grid: a dimension for each axis, and perhaps others, which are kept.
        axes: the factors.

    Reference:
        Sobol, Mathematical Modelling and Computational Experiments 1 (1993), 407-414; the sums of squares are those of
        the balanced analysis of variance.
    """
    found: dict[Subset, xr.DataArray] = {}
    for order in range(len(axes) + 1):
        for subset in combinations(axes, order):
            part = grid.mean([axis for axis in axes if axis not in subset])
            for smaller, known in found.items():
                if set(smaller) < set(subset):
                    part = part - known
            found[subset] = part
    return found


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
        `first_order` and `total` over `axis_name`; `interaction` over `axis_pair` (labels "a x b"); `noise`, the share
        of a single run's variance that is its seed's; `largest_in_draws` over `axis_name`, the share of draws in which
        the axis has the largest total share. NaN where nothing rises above the noise.
    """
    number, points = grid.sizes["seed"], int(np.prod([grid.sizes[axis] for axis in axes]))
    noise = _noise(grid, axes)
    parts = _variances(components(grid.mean("seed"), axes), noise / number, points)
    between = sum(parts.values(), xr.DataArray(0.0))
    first, total, pairs = _shares(parts, axes)
    drawn = grid.dot(xr.DataArray(weights, dims=("draw", "seed"), coords={"seed": grid["seed"]}), "seed")
    # A bootstrap mean carries the noise of the runs and, on top, that of the draw.
    extra = noise / number * (2 - 1 / number)
    drawn_total = _shares(_variances(components(drawn, axes), extra, points), axes)[1]
    leads = (drawn_total == drawn_total.max("axis_name")).mean("draw")
    return xr.Dataset(
        {
            "first_order": first,
            "total": total,
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
    found = {}
    for subset, part in parts.items():
        if subset:
            freedom = int(np.prod([part.sizes[axis] - 1 for axis in subset]))
            found[subset] = (part**2).mean(subset) - freedom * noise / points
    return found


def _shares(
    variances: Mapping[Subset, xr.DataArray], axes: Sequence[str]
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return first-order and total shares by axis, and the pairs' own shares."""
    whole = sum(variances.values(), xr.DataArray(0.0))
    whole = whole.where(whole > 0)

    def share(chosen: Callable[[Subset], bool]) -> xr.DataArray:
        part = sum((own for subset, own in variances.items() if chosen(subset)), xr.DataArray(0.0))
        return (part / whole).clip(0, 1)

    first = [share(lambda subset, axis=axis: subset == (axis,)) for axis in axes]  # type: ignore[misc]
    total = [share(lambda subset, axis=axis: axis in subset) for axis in axes]  # type: ignore[misc]
    pairs = list(combinations(axes, 2))
    both = [share(lambda subset, pair=pair: subset == pair) for pair in pairs]  # type: ignore[misc]
    return (
        xr.concat(first, "axis_name").assign_coords(axis_name=list(axes)),
        xr.concat(total, "axis_name").assign_coords(axis_name=list(axes)),
        xr.concat(both, "axis_pair") if both else xr.DataArray(np.empty(0), dims="axis_pair"),
    )


def influence(grid: xr.DataArray, seed: int, alpha: float = 0.05, draws: int = 2000) -> Influence:
    """Return main effects, two-way interactions and shares of variance of one outcome over a grid.

    Every seed has all points, so that each gives an effect of its own, freed of what the seed does to all of them;
    the interval is the studentised bootstrap's, over seeds, of the mean of these. It is NaN for fewer than five
    seeds, and where runs are so tied that it has no end.

    Args:
        grid: a dimension for each axis, and `seed`, already at each point's own learning rate; NaN where a run lacks.
        seed: of the draws.
        alpha: 1 - confidence of each effect, two-sided.
        draws: of the bootstrap.
    """
    grid, left_out = full_factorial(grid)
    axes = [str(axis) for axis in grid.dims if axis != "seed" and grid.sizes[axis] > 1]
    grid = grid.squeeze([axis for axis in grid.dims if axis not in (*axes, "seed")], drop=True)
    if not axes or grid.sizes["seed"] < 2 or not grid.size:
        reason = "no factorial of two levels and two seeds is left: no effect of a parameter can be told"
        return Influence({}, xr.Dataset(), 0, 0, [*left_out, reason])
    weights = resampling_weights(draws, grid.sizes["seed"], seed)
    effects = {
        subset: _effect(part, weights, alpha)
        for subset, part in components(grid, axes).items()
        if 1 <= len(subset) <= 2
    }
    number = grid.sizes["seed"]
    return Influence(effects, shares(grid, axes, weights), grid.size // number, number, left_out)


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
