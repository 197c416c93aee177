"""How many seeds it would take to see a difference in speed: the power of a t test on log time."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

__all__ = ["EFFECTS", "log_time_sd", "seeds_needed"]

EFFECTS = (1.1, 1.2, 1.5)
"""Ratios of times that the report tells the price of."""


def log_time_sd(log_ratio: xr.DataArray, dim: str = "seed") -> xr.DataArray:
    """Return the standard deviation over seeds of one arm's log time, from paired log ratios: sd(log ratio) / sqrt(2).

    Both arms are taken to vary alike and independently; where pairing helps, this is smaller than each arm's own.

    Args:
        log_ratio: log of contender's time over its rival's, by seed; NaN where a run is missing.
        dim: dimension of the pairs.

    Returns:
        NaN for fewer than two pairs.
    """
    number = log_ratio.count(dim)
    squares = ((log_ratio - log_ratio.mean(dim)) ** 2).sum(dim)
    return (squares / (2 * (number - 1).where(number > 1))) ** 0.5


def seeds_needed(
    sd: xr.DataArray,
    effects: Sequence[float] = EFFECTS,
    power: float = 0.9,
    alpha: float = 0.05,
    num_tests: int = 1,
) -> xr.DataArray:
    """Return the fewest seeds an arm with which a t test on log time sees each ratio.

    P(|T| > t(1 - alpha / (2 m); 2 n - 2)) >= power, where T is noncentral t with 2 n - 2 degrees of freedom and the
    noncentrality sqrt(n / 2) |log ratio| / sd: two arms of n runs each, their seeds' own luck independent. A paired
    test has half the degrees of freedom and needs one or two seeds more, and fewer where pairing helps.

    Args:
        sd: of one arm's log time.
        effects: ratios of times, not 1.
        power: chance to see the ratio if it is true.
        alpha: two-sided level of the whole family of tests.
        num_tests: m, the family; Holm's first step asks alpha / m of the smallest p-value.

    Returns:
        With a last dimension `effect`; at least 2; NaN where the sd is.
    """
    ratio = xr.DataArray(np.array(effects, float), dims="effect", coords={"effect": list(effects)})
    return xr.apply_ufunc(
        _seeds_needed, sd, np.abs(np.log(ratio)), kwargs={"power": power, "level": alpha / num_tests}
    )


def _seeds_needed(sd: np.ndarray, log_ratio: np.ndarray, power: float, level: float) -> np.ndarray:
    """Start from the normal approximation, which never asks for more seeds, and add one until it is enough."""
    from scipy.stats import norm

    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.atleast_1d(log_ratio / (np.sqrt(2) * sd))
    approximate = ((norm.ppf(1 - level / 2) + norm.ppf(power)) / distance) ** 2
    number = np.maximum(np.ceil(approximate), 2)
    open_ = np.isfinite(distance) & np.isfinite(number)
    while open_.any():
        open_[open_] = _power(number[open_], distance[open_], level) < power
        number[open_] += 1
    return number.reshape(np.broadcast_shapes(np.shape(sd), np.shape(log_ratio)))


def _power(number: np.ndarray, distance: np.ndarray, level: float) -> np.ndarray:
    from scipy.stats import nct, t

    freedom = 2 * number - 2
    critical = t.ppf(1 - level / 2, freedom)
    shift = distance * np.sqrt(number)
    return nct.sf(critical, freedom, shift) + nct.cdf(-critical, freedom, shift)
