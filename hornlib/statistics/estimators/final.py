"""The end of training: no worse than the rival within a margin, and shares of runs that diverged or arrived."""

import xarray as xr

from hornlib.statistics.estimators.arrivals import wilson_limits
from hornlib.statistics.estimators.student import as_bounds, student_interval

__all__ = ["non_inferior", "share_of_runs"]


def non_inferior(
    gain: xr.DataArray, margin: float, alpha: float = 0.05, min_seeds: int = 2, dim: str = "seed"
) -> xr.DataArray:
    """Return whether a contender is at most `margin` worse than its rival: yes, no or undecided.

    Two one-sided t tests at level alpha on the paired gain g: "yes" if g > -margin is shown, m - t s / sqrt(n) >
    -margin; "no" if g < -margin is shown, m + t s / sqrt(n) < -margin; t the quantile 1 - alpha.

    Args:
        gain: contender's metric less its rival's with the same seed, positive where the contender is better.
        margin: what may be lost, in the metric's units.
        alpha: level of each of the two tests.
        min_seeds: with fewer pairs it stays undecided.
        dim: dimension of the pairs.

    Reference:
        Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15 (1987).
    """
    found = student_interval(gain, 2 * alpha, dim)
    enough = found["num_seeds"] >= min_seeds
    yes = enough & (found["interval"].sel(bound="low", drop=True) > -margin)
    no = enough & (found["interval"].sel(bound="high", drop=True) < -margin)
    return xr.where(yes, "yes", xr.where(no, "no", "undecided"))


def share_of_runs(happened: xr.DataArray, alpha: float = 0.05, dim: str = "seed") -> xr.Dataset:
    """Return the share p of runs to which something happened, with Wilson's interval.

    Args:
        happened: 1 or 0 a run; NaN where there is no run.
        alpha: 1 - confidence, two-sided.
        dim: dimension of the runs.

    Returns:
        `estimate`, `interval` and `num_seeds`; NaN without a run.
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
