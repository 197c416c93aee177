"""Shares of variance: how much of the variance between the cells of a full factorial each parameter explains."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import xarray as xr

from hornlib.statistics.estimators.factorial import Subset, components
from hornlib.statistics.estimators.student import as_bounds

__all__ = ["variance_shares"]

ROUNDING = 1e-24
"""A variance below this share of the mean square is a rounding error."""


def variance_shares(grid: xr.DataArray, axes: Sequence[str], weights: np.ndarray) -> xr.Dataset:
    """Return the shares of the variance between the cells of a full factorial that the axes explain.

    V_S = mean f_S^2 - df_S s^2 / (n P) for each component f_S of the means over n seeds at P points. df_S is the
    product of (levels - 1). s^2 is the variance of runs within points after the mean of every seed is subtracted. The
    second term is the part of noise alone. With V = sum V_S, the first-order share of axis i is V_i / V, and its total
    share is the sum of V_S / V over all S with i in S. These are the Sobol indices of the factorial.

    Args:
        grid: (*axes, seed), without NaN.
        axes: the factors.
        weights: (draw, seed), weights of the seeds in each bootstrap draw.

    Returns:
        `first_order` and `total` (axis_name); `total_bound` (axis_name, bound), the middle 95 % of the draws;
        `interaction` (axis_pair); `noise`, the share of a single run's variance that comes from its seed;
        `largest_in_draws` (axis_name), the share of draws in which the axis has the largest total share. The shares are
        NaN if no variance exceeds the noise.
    """
    number, points = grid.sizes["seed"], int(np.prod([grid.sizes[axis] for axis in axes]))
    noise = _noise(grid, axes)
    parts = _variances(components(grid.mean("seed"), axes), noise / number, points)
    between = sum(parts.values(), xr.DataArray(0.0))
    least = ROUNDING * float((grid**2).mean())
    first, total, pairs = _by_axis(parts, axes, least)
    drawn = grid.dot(xr.DataArray(weights, dims=("draw", "seed"), coords={"seed": grid["seed"]}), "seed")
    # A bootstrap mean has the noise of the runs and, in addition, the noise of the draw.
    extra = noise / number * (2 - 1 / number)
    drawn_total = _by_axis(_variances(components(drawn, axes), extra, points), axes, least)[1]
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
    """Return the variance of runs within points, without the effect of a seed on all points."""
    number, points = grid.sizes["seed"], int(np.prod([grid.sizes[axis] for axis in axes]))
    residuals = grid - grid.mean("seed") - grid.mean(axes) + grid.mean()
    return (residuals**2).sum() / ((number - 1) * (points - 1))


def _variances(
    parts: Mapping[Subset, xr.DataArray], noise: xr.DataArray, points: int
) -> dict[Subset, xr.DataArray]:
    """Return the mean square of each component except the grand mean, minus the part of noise."""
    variances = {}
    for subset, part in parts.items():
        if subset:
            freedom = int(np.prod([part.sizes[axis] - 1 for axis in subset]))
            variances[subset] = (part**2).mean(subset) - freedom * noise / points
    return variances


def _by_axis(
    variances: Mapping[Subset, xr.DataArray], axes: Sequence[str], least: float
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return first-order and total shares by axis, and shares of pairs; NaN if the whole variance is below `least`."""
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
