"""The end of training: no worse than the rival within a margin, and shares of runs that diverged or arrived."""

import numpy as np
import xarray as xr

from hornlib.statistics.student import as_bounds, student_interval

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

    The limits solve (p - q)^2 = z^2 q (1 - q) / n for q, z the normal quantile 1 - alpha/2.

    Args:
        happened: 1 or 0 a run; NaN where there is no run.
        alpha: 1 - confidence, two-sided.
        dim: dimension of the runs.

    Returns:
        `estimate`, `interval` and `num_seeds`; NaN without a run.

    Reference:
        Wilson, J. Am. Stat. Assoc. 22 (1927).
    """
    from scipy.stats import norm

    squared = norm.ppf(1 - alpha / 2) ** 2
    number = happened.count(dim)
    runs = number.where(number > 0)
    share = happened.sum(dim) / runs
    centre = (share + squared / (2 * runs)) / (1 + squared / runs)
    half = np.sqrt(squared * (share * (1 - share) + squared / (4 * runs)) / runs) / (1 + squared / runs)
    bound = as_bounds((centre - half).clip(min=0), (centre + half).clip(max=1))
    return xr.Dataset({"estimate": share, "interval": bound, "num_seeds": number})
