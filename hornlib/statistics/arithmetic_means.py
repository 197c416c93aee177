"""Arithmetic means of restricted costs: of each arm, and as a sensitivity check of the geometric ratio."""

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.estimators.intervals import (
    FEWEST,
    by_pattern,
    log_ratio_interval,
    resampling_weights,
)
from hornlib.statistics.estimators.student import BOUNDS

__all__ = ["exponential", "log_ratio_of_means", "restricted_means"]

DIMS = ("contender", "target", "axis")


def restricted_means(times: xr.Dataset, settings: StatisticsSettings) -> xr.Dataset:
    """Return the restricted mean cost of every contender and its interval, up to the budget of its own arm.

    Args:
        times: from `restricted_times`.
        settings: bootstrap draws, alpha.

    Returns:
        `restricted_mean` (contender, target, axis); `restricted_mean_bound` (.., bound), NaN below five runs; and
        `num_seeds` (contender), the largest number of runs on any axis.
    """
    names = ("restricted_time", "event", "resolution")
    cost, event, resolution = (times[name].transpose(*DIMS, "seed").values for name in names)
    shape = cost.shape[:-1]
    ones = np.where(np.isfinite(cost), 1.0, np.nan)
    informative = (event * np.isfinite(cost)).any(-1)
    log_mean, bound = log_ratio_of_means(
        cost, ones, resolution, np.zeros_like(resolution), informative, settings
    )
    about = {
        "units": "see the attribute axis_units",
        "long_name": "restricted mean cost",
        "estimator": "mean over seeds of min(T, budget of the arm)",
    }
    confident = {
        **about,
        "long_name": "restricted mean cost, bounds",
        "interval": "studentised bootstrap on the logarithm, with at least the variance of rounding up to evaluations",
    }
    num_runs = np.isfinite(cost).sum(-1).reshape(len(cost), -1).max(1, initial=0).astype(float)
    return xr.Dataset(
        {
            "restricted_mean": (DIMS, np.exp(log_mean).reshape(shape), about),
            "restricted_mean_bound": ((*DIMS, "bound"), exponential(bound).reshape(*shape, 2), confident),
            "num_seeds": ("contender", num_runs, {"units": "1", "long_name": "runs that count"}),
        },
        coords={**{name: times[name] for name in DIMS}, "bound": np.array(BOUNDS, object)},
    )


def log_ratio_of_means(
    first: np.ndarray,
    second: np.ndarray,
    first_resolution: np.ndarray,
    second_resolution: np.ndarray,
    informative: np.ndarray,
    settings: StatisticsSettings,
    with_interval: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return log(mean a / mean b) over pairs of runs, (..), and its bootstrap interval, (.., 2).

    Args:
        first, second: a and b, costs (.., seed); NaN without a run.
        first_resolution, second_resolution: lengths of the evaluation intervals of these costs, (.., seed).
        informative: whether any run reached the target, (..); otherwise the result is NaN.
        settings: bootstrap draws, seed, alpha.
        with_interval: whether the interval is computed, (..); None: everywhere.
    """
    shape = first.shape[:-1]
    flat = [
        values.reshape(-1, values.shape[-1])
        for values in (first, second, first_resolution, second_resolution)
    ]
    a, b, resolution_a, resolution_b = flat
    is_pair = np.isfinite(a) & np.isfinite(b)
    log_ratio, bounds = np.full(len(a), np.nan), np.full((len(a), 2), np.nan)
    wanted = np.ones(len(a), bool) if with_interval is None else with_interval.ravel()
    candidates = np.flatnonzero(informative.ravel() & is_pair.any(1))
    for rows, columns in by_pattern(is_pair[candidates]):
        rows = candidates[rows]
        here = np.ix_(rows, columns)
        log_ratio[rows] = np.log(a[here].mean(1) / b[here].mean(1))
        rows = rows[wanted[rows]]
        if len(columns) < FEWEST or not len(rows):
            continue
        here = np.ix_(rows, columns)
        rounding = _rounding_of_mean(resolution_a[here], a[here]) + _rounding_of_mean(
            resolution_b[here], b[here]
        )
        weights = resampling_weights(settings.bootstrap, len(columns), settings.seed)
        bounds[rows] = log_ratio_interval(a[here], b[here], weights, settings.alpha, rounding)
    return log_ratio.reshape(shape), bounds.reshape(*shape, 2)


def _rounding_of_mean(resolution: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return the variance of the log of a mean cost from rounding up to evaluations: r^2 / 12 for each event."""
    return (resolution**2).sum(1) / 12 / costs.sum(1) ** 2


def exponential(logarithms: np.ndarray) -> np.ndarray:
    """Return e^x for an array of any shape, (..); infinite if the result is too large for float64."""
    with np.errstate(over="ignore"):
        return np.exp(logarithms)
