"""The end of training: non-inferiority to a rival, and shares of runs."""

import xarray as xr

from hornlib.statistics.estimators.arrivals import wilson_limits
from hornlib.statistics.estimators.student import as_bounds, student_interval

__all__ = ["non_inferior", "share_of_runs"]


def non_inferior(
    gain: xr.DataArray, margin: float, alpha: float = 0.05, min_seeds: int = 2, dim: str = "seed"
) -> xr.DataArray:
    """Return whether a contender is worse than its rival by at most `margin`: yes, no or undecided, (..).

    Two one-sided t-tests at level alpha judge the paired gain with mean m and standard deviation s over n pairs. It is
    "yes" if m - t s / sqrt(n) > -margin, and "no" if m + t s / sqrt(n) < -margin. t is the quantile 1 - alpha with
    n - 2 degrees of freedom (`hornlib.statistics.estimators.student`).

    Args:
        gain: (.., dim), contender's metric minus its rival's with the same seed; positive if the contender is better.
        margin: loss that still counts as none, in the units of the metric.
        alpha: level of each of the two tests.
        min_seeds: with fewer pairs the result is undecided.
        dim: dimension of the pairs.

    Reference:
        Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15 (1987).
    """
    student = student_interval(gain, 2 * alpha, dim)
    enough = student["num_seeds"] >= min_seeds
    yes = enough & (student["interval"].sel(bound="low", drop=True) > -margin)
    no = enough & (student["interval"].sel(bound="high", drop=True) < -margin)
    return xr.where(yes, "yes", xr.where(no, "no", "undecided"))


def share_of_runs(happened: xr.DataArray, alpha: float = 0.05, dim: str = "seed") -> xr.Dataset:
    """Return the share of runs to which something happened, with Wilson's interval.

    Args:
        happened: (.., dim), 1 or 0 for each run; NaN where a run is missing.
        alpha: 1 - confidence, two-sided.
        dim: dimension of the runs.

    Returns:
        `estimate` (..), `interval` (.., bound) and `num_seeds` (..); NaN without a run.
    """
    from scipy.stats import norm

    number = happened.count(dim)
    runs = number.where(number > 0)
    share = happened.sum(dim) / runs
    low, high = xr.apply_ufunc(
        wilson_limits, share, runs, output_core_dims=[[], []], kwargs={"quantile": norm.isf(alpha / 2)}
    )
    bound = as_bounds(low, high)
    return xr.Dataset({"estimate": share, "interval": bound, "num_seeds": number})
