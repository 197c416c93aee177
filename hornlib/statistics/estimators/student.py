"""A mean over seeds with Student's interval: what every secondary quantity is reported with."""

import numpy as np
import xarray as xr

__all__ = ["BOUNDS", "as_bounds", "student_interval"]

BOUNDS = ["low", "high"]
"""Labels of the dimension `bound`."""


def student_interval(runs: xr.DataArray, alpha: float = 0.05, dim: str = "seed") -> xr.Dataset:
    """Return the mean over seeds and Student's interval, a little widened: m -+ t(1 - alpha/2; n - 2) s / sqrt(n).

    One degree of freedom less than Student's own: accuracies are skewed near their ceiling, where his n - 1 miss the
    mean of beta(20, 2) with five runs in 8 %, n - 2 in 6 % (benchmarks/coverage.md). A studentised bootstrap would do
    as well, but has no end where runs are tied, as accuracies on few images are. Runs that are NaN are left out; the
    interval is NaN for fewer than three, and has no width where all are equal.

    Args:
        runs: one number a run, with the dimension `dim`; a paired difference serves as well.
        alpha: 1 - confidence, two-sided; twice the level of a one-sided test gives that test's limit.
        dim: what the mean is taken over.

    Returns:
        `estimate`, `interval` (with the dimension `bound`: low, high) and `num_seeds`.
    """
    from scipy.stats import t

    number = runs.count(dim)
    estimate = runs.mean(dim)
    spread = ((runs - estimate) ** 2).sum(dim) / (number - 1).where(number > 1)
    quantile = xr.apply_ufunc(lambda freedom: t.ppf(1 - alpha / 2, freedom), (number - 2).where(number > 2))
    half = quantile * np.sqrt(spread / number)
    bound = as_bounds(estimate - half, estimate + half)
    return xr.Dataset({"estimate": estimate, "interval": bound, "num_seeds": number})


def as_bounds(low: xr.DataArray, high: xr.DataArray) -> xr.DataArray:
    """Return the two ends of an interval along a last dimension `bound`."""
    both = xr.concat([low, high], dim="bound").assign_coords(bound=BOUNDS)
    return both.transpose(..., "bound")
