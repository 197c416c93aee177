"""Aggregates over datasets and seeds: the interquartile mean, and the probability of improvement."""

import numpy as np
import xarray as xr

from hornlib.statistics.estimators.student import as_bounds

__all__ = ["interquartile_mean", "normalised", "probability_of_improvement"]


def normalised(metric: xr.DataArray, chance: xr.DataArray, reference: xr.DataArray) -> xr.DataArray:
    """Return (metric - chance) / (A - chance): 0 is chance and 1 is the baseline, for any direction of the metric.

    Args:
        metric: final metric of the runs, (.., seed).
        chance: chance level of the dataset.
        reference: A, final metric of the baseline. If it equals chance, the result is NaN.
    """
    gain = reference - chance
    return (metric - chance) / gain.where(gain != 0)


def interquartile_mean(
    scores: xr.DataArray,
    seed: int,
    alpha: float = 0.05,
    draws: int = 2000,
    stratum: str = "dataset",
    dim: str = "seed",
) -> xr.Dataset:
    """Return the interquartile mean m of all scores, with a bootstrap interval stratified by dataset.

    The interquartile mean is the mean of the middle half. Seeds are resampled within each dataset, so that the datasets
    are fixed. A percentile interval of so few seeds would be too narrow. The interval is instead m -+ t(1 - alpha/2;
    D (n - 1)) s with D datasets of n seeds each, where s is the standard deviation of the draws times
    sqrt(n / (n - 1)).

    Args:
        scores: normalised scores, (.., stratum, dim); NaN where a run is missing.
        seed: seed of the draws, which are the same along all other dimensions.
        alpha: 1 - confidence, two-sided.
        draws: number of bootstrap draws.
        stratum: dimension of the datasets.
        dim: dimension of the runs.

    Returns:
        `estimate` (..) and `interval` (.., bound); NaN without scores.

    Reference:
        Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice, NeurIPS 2021, section 4.
    """
    estimate, low, high = xr.apply_ufunc(
        _interquartile_mean,
        scores,
        input_core_dims=[[stratum, dim]],
        output_core_dims=[[], [], []],
        vectorize=True,
        kwargs={"seed": seed, "alpha": alpha, "draws": draws},
    )
    return xr.Dataset({"estimate": estimate, "interval": as_bounds(low, high)})


def _interquartile_mean(
    scores: np.ndarray, seed: int, alpha: float, draws: int
) -> tuple[float, float, float]:
    from scipy.stats import t

    strata = [runs[~np.isnan(runs)] for runs in scores]
    strata = [runs for runs in strata if len(runs)]
    if not strata:
        return np.nan, np.nan, np.nan
    estimate = float(_middle_mean(np.concatenate(strata)))
    smallest = min(len(runs) for runs in strata)
    if smallest < 2:
        return estimate, np.nan, np.nan
    random = np.random.default_rng([seed, *b"interquartile mean"])
    drawn = [runs[random.integers(len(runs), size=(draws, len(runs)))] for runs in strata]
    error = _middle_mean(np.concatenate(drawn, axis=-1)).std() * np.sqrt(smallest / (smallest - 1))
    half = float(t.ppf(1 - alpha / 2, sum(len(runs) - 1 for runs in strata)) * error)
    return estimate, estimate - half, estimate + half


def _middle_mean(scores: np.ndarray) -> np.ndarray:
    """Return the mean along the last axis without the lowest and the highest quarter, rounded down to whole scores."""
    cut = scores.shape[-1] // 4
    return np.sort(scores, axis=-1)[..., cut : scores.shape[-1] - cut].mean(-1)


def probability_of_improvement(
    first: xr.DataArray, second: xr.DataArray, alpha: float = 0.05, dim: str = "seed"
) -> xr.Dataset:
    """Return theta = P(X > Y) + P(X = Y) / 2 for a run X of the first and a run Y of the second arm, with an interval.

    theta = U / (m n) with Mann and Whitney's statistic U of m and n runs. With theta' this estimate, the limits are the
    solutions theta of (theta' - theta)^2 = z^2 V(theta) with

        V = theta (1 - theta) (1 + N (1 - theta)/(2 - theta) + N theta/(1 + theta)) / (m n),  N = (m + n)/2 - 1.

    The interval has a width even if all runs of one arm beat all runs of the other. It takes the arms as independent,
    which is conservative if equal seeds make them similar.

    Args:
        first: (.., dim), larger is better; NaN where a run is missing.
        second: (.., dim), the runs of the other arm. All dimensions except `dim` are broadcast.
        alpha: 1 - confidence, two-sided.
        dim: dimension of the runs.

    Returns:
        `estimate` (..) and `interval` (.., bound); NaN if an arm has no run.

    Reference:
        Newcombe, Statistics in Medicine 25 (2006), 559-573, method 5.
    """
    from scipy.stats import norm

    other = second.rename({dim: f"other_{dim}"}).drop_vars(f"other_{dim}", errors="ignore")
    runs = (first.count(dim), other.count(f"other_{dim}"))
    pairs = (runs[0] * runs[1]).where(runs[0] * runs[1] > 0)
    wins = ((first > other) + 0.5 * (first == other)).sum([dim, f"other_{dim}"])
    share = wins / pairs
    extra = (runs[0] + runs[1]) / 2 - 1
    low, high = xr.apply_ufunc(
        _score_limits,
        share,
        pairs,
        extra,
        output_core_dims=[[], []],
        kwargs={"z": norm.ppf(1 - alpha / 2)},
    )
    return xr.Dataset({"estimate": share, "interval": as_bounds(low, high)})


def _score_limits(
    share: np.ndarray, pairs: np.ndarray, extra: np.ndarray, z: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the two solutions by bisection: inside the limits, the estimate lies within z standard errors."""
    limits = []
    for end in (0.0, 1.0):
        outer, inner = np.full(np.shape(share), end), np.array(share, float)
        for _ in range(HALVINGS):
            middle = (outer + inner) / 2
            spread = 1 + extra * (1 - middle) / (2 - middle) + extra * middle / (1 + middle)
            inside = (share - middle) ** 2 <= z**2 * middle * (1 - middle) * spread / pairs
            outer, inner = np.where(inside, outer, middle), np.where(inside, middle, inner)
        limits.append(np.where(np.isnan(share), np.nan, inner))
    return limits[0], limits[1]


HALVINGS = 50
"""Number of bisections: the last one changes only the last digit of a limit."""
