"""Effect sizes with intervals, and the words for them: paired ratios, paired differences, rank correlations."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

__all__ = [
    "CONFIDENCE",
    "MIN_SEEDS",
    "Effect",
    "paired_difference",
    "paired_ratio",
    "rank_correlation",
    "said",
    "said_by_verdict",
    "time_ratio",
]

CONFIDENCE = 0.95
"""Of every interval."""

NUM_DRAWS = 10_000
"""Of the bootstrap."""

MIN_SEEDS = 7
"""Fewer pairs never support a statement."""


class Effect(NamedTuple):
    """An estimate with its two-sided interval.

    Attributes:
        estimate, low, high: the effect and its bounds; NaN where too little is known.
        num: independent pairs, or points, that it was made of.
    """

    estimate: float
    low: float
    high: float
    num: int

    def verdict(self, null: float, smaller: str, larger: str) -> str:
        """Return the words for an effect below or above the value that means nothing, or that neither is known."""
        if self.num < MIN_SEEDS or not math.isfinite(self.low):
            return f"not enough data (n = {self.num}, at least {MIN_SEEDS} are needed)"
        if self.high < null:
            return smaller
        if self.low > null:
            return larger
        return f"not distinguished from {null:g}"

    def differs(self, null: float) -> bool:
        """Whether enough seeds leave out the value that means nothing."""
        return self.num >= MIN_SEEDS and (self.low > null or self.high < null)


def paired_difference(first: np.ndarray, second: np.ndarray) -> Effect:
    """Return the mean of first - second over pairs, with the interval of `statistics.student.student_interval`.

    Args:
        first: one number a seed; pairs with a NaN are left out.
        second: the same seeds.
    """
    import xarray as xr

    from hornlib.statistics.estimators.student import student_interval

    differences = np.asarray(first, float) - np.asarray(second, float)
    differences = differences[np.isfinite(differences)]
    if not len(differences):
        return Effect(math.nan, math.nan, math.nan, 0)
    found = student_interval(xr.DataArray(differences, dims="seed"), 1 - CONFIDENCE)
    low, high = found["interval"].values.tolist()
    return Effect(float(found["estimate"]), low, high, len(differences))


def paired_ratio(first: np.ndarray, second: np.ndarray) -> Effect:
    """Return the geometric mean of first / second over pairs; the interval is Student's on the logarithm.

    Args:
        first: one positive number a seed.
        second: the same seeds.
    """
    logarithms = paired_difference(np.log(first), np.log(second))
    low, high = math.exp(logarithms.low), math.exp(logarithms.high)
    return Effect(math.exp(logarithms.estimate), low, high, logarithms.num)


def time_ratio(
    first: np.ndarray, second: np.ndarray, resolutions: tuple[np.ndarray, np.ndarray] | None = None
) -> Effect:
    """Return the paired ratio of restricted mean times, as the headline of a sweep's statistics is made.

    mean(first) / mean(second), with the studentised bootstrap of `statistics.intervals.log_ratio_interval`.

    Args:
        first: restricted times, one a seed; pairs with a NaN are left out.
        second: the same seeds.
        resolutions: lengths of the evaluation intervals that the times lie in; 0 for a miss.
    """
    from hornlib.statistics.estimators.intervals import FEWEST, log_ratio_interval, resampling_weights

    known = np.isfinite(first) & np.isfinite(second)
    a, b, num = first[known][None], second[known][None], int(known.sum())
    if not num:
        return Effect(math.nan, math.nan, math.nan, 0)
    estimate = float(a.mean() / b.mean())
    if num < FEWEST:
        return Effect(estimate, math.nan, math.nan, num)
    rounding = 0.0
    for times, lengths in zip((a, b), resolutions or (), strict=False):
        rounding += float((lengths[known] ** 2).sum() / 12 / times.sum() ** 2)
    weights = resampling_weights(NUM_DRAWS, num, seed=0)
    low, high = np.exp(log_ratio_interval(a, b, weights, 1 - CONFIDENCE, rounding))[0].tolist()
    return Effect(estimate, low, high, num)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> Effect:
    """Return Spearman's rank correlation with an interval.

    tanh(atanh r +- z sqrt((1 + r^2 / 2) / (n - 3))).

    Args:
        first: one number a point; points with a NaN are left out.
        second: the same points.

    Reference:
        Bonett and Wright, Sample size requirements for estimating Pearson, Kendall and Spearman correlations,
        Psychometrika 65, 2000, equation 5.
    """
    from scipy import stats

    first, second = np.asarray(first, float), np.asarray(second, float)
    known = np.isfinite(first) & np.isfinite(second)
    num = int(known.sum())
    if num < 4 or np.ptp(first[known]) == 0 or np.ptp(second[known]) == 0:
        return Effect(math.nan, math.nan, math.nan, num)
    r = float(stats.spearmanr(first[known], second[known]).statistic)
    if abs(r) > 1 - 1e-9:  # atanh has no value there, and the interval no width
        r = math.copysign(1 - 1e-9, r)
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt((1 + r * r / 2) / (num - 3))
    return Effect(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half), num)


def said(effect: Effect, what: str = "seeds") -> str:
    """Return an effect in figures: "0.83 [0.71, 0.97] (n = 7 seeds)"."""
    return f"{_figures(effect)} (n = {effect.num} {what})"


def said_by_verdict(effects: Mapping[str, Effect], null: float, smaller: str, larger: str) -> str:
    """Return named effects in figures, those of one verdict together, with n.

    "n = 7 seeds; faster: a over b 0.83 [0.71, 0.97]; not distinguished from 1: a over c 1.1 [0.9, 1.3]"

    Args:
        effects: by name.
        null: the value that means nothing.
        smaller: what an interval below it means.
        larger: what an interval above it means.
    """
    groups: dict[str, list[str]] = {}
    for name, effect in effects.items():
        verdict = effect.verdict(null, smaller, larger)
        groups.setdefault(verdict, []).append(f"{name} {_figures(effect)}")
    nums = sorted({effect.num for effect in effects.values()})
    counted = " to ".join(map(str, nums[:: max(1, len(nums) - 1)]))
    parts = [f"{verdict}: {', '.join(those)}" for verdict, those in groups.items()]
    return "; ".join([f"n = {counted} seeds", *parts])


def _figures(effect: Effect) -> str:
    if not math.isfinite(effect.estimate):
        return "not known"
    if not math.isfinite(effect.low):
        return f"{effect.estimate:.3g}, no interval"
    return f"{effect.estimate:.3g} [{effect.low:.3g}, {effect.high:.3g}]"
