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
"""Confidence level of every interval."""

NUM_DRAWS = 10_000
"""Number of draws of the bootstrap."""

MIN_SEEDS = 7
"""Smallest number of pairs that may support a statement."""


class Effect(NamedTuple):
    """An estimate with its two-sided interval.

    Attributes:
        estimate, low, high: the effect and the bounds of its interval; NaN where there are too few data.
        num: number of independent pairs, or points, in the estimate.
    """

    estimate: float
    low: float
    high: float
    num: int

    def verdict(self, null: float, smaller: str, larger: str) -> str:
        """Return the verdict on an effect, or that data are too few, or that it is not distinguished from the null.

        Args:
            null: value of no effect, e.g. 1 for a ratio.
            smaller, larger: verdict on an interval below, or above, the null value.
        """
        if self.num < MIN_SEEDS or not math.isfinite(self.low):
            return f"not enough data (n = {self.num}, at least {MIN_SEEDS} are needed)"
        if self.high < null:
            return smaller
        if self.low > null:
            return larger
        return f"not distinguished from {null:g}"

    def differs(self, null: float) -> bool:
        """Return whether there are enough pairs and the interval excludes the null value."""
        return self.num >= MIN_SEEDS and (self.low > null or self.high < null)


def paired_difference(first: np.ndarray, second: np.ndarray) -> Effect:
    """Return the mean of first - second over pairs, with the interval of `estimators.student.student_interval`.

    Args:
        first, second: one number for each seed, (seeds,). Pairs with a NaN are skipped.
    """
    import xarray as xr

    from hornlib.statistics.estimators.student import student_interval

    differences = np.asarray(first, float) - np.asarray(second, float)
    differences = differences[np.isfinite(differences)]
    if not len(differences):
        return Effect(math.nan, math.nan, math.nan, 0)
    student = student_interval(xr.DataArray(differences, dims="seed"), 1 - CONFIDENCE)
    low, high = student["interval"].values.tolist()
    return Effect(float(student["estimate"]), low, high, len(differences))


def paired_ratio(first: np.ndarray, second: np.ndarray) -> Effect:
    """Return the geometric mean of first / second over pairs, with Student's interval of the logarithm.

    Args:
        first, second: one positive number for each seed, (seeds,). Pairs with a NaN are skipped.
    """
    logarithms = paired_difference(np.log(first), np.log(second))
    low, high = math.exp(logarithms.low), math.exp(logarithms.high)
    return Effect(math.exp(logarithms.estimate), low, high, logarithms.num)


def time_ratio(
    first: np.ndarray, second: np.ndarray, resolutions: tuple[np.ndarray, np.ndarray] | None = None
) -> Effect:
    """Return the paired ratio of restricted mean times, the estimator of a sweep's headline.

    mean(first) / mean(second), with the studentised bootstrap of `statistics.estimators.intervals.log_ratio_interval`.

    Args:
        first, second: restricted time of each seed, (seeds,). Pairs with a NaN are skipped.
        resolutions: length of the evaluation interval in which each time lies, (seeds,) for both; 0 for a miss.
    """
    from hornlib.statistics.estimators.intervals import FEWEST, log_ratio_interval, resampling_weights

    is_pair = np.isfinite(first) & np.isfinite(second)
    a, b, num = first[is_pair][None], second[is_pair][None], int(is_pair.sum())
    if not num:
        return Effect(math.nan, math.nan, math.nan, 0)
    estimate = float(a.mean() / b.mean())
    if num < FEWEST:
        return Effect(estimate, math.nan, math.nan, num)
    rounding = 0.0
    for times, lengths in zip((a, b), resolutions or (), strict=False):
        rounding += float((lengths[is_pair] ** 2).sum() / 12 / times.sum() ** 2)
    weights = resampling_weights(NUM_DRAWS, num, seed=0)
    low, high = np.exp(log_ratio_interval(a, b, weights, 1 - CONFIDENCE, rounding))[0].tolist()
    return Effect(estimate, low, high, num)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> Effect:
    """Return Spearman's rank correlation with an interval.

    tanh(atanh r +- z sqrt((1 + r^2 / 2) / (n - 3))).

    Args:
        first, second: one number for each point, (points,). Points with a NaN are skipped.

    Reference:
        Bonett and Wright, Sample size requirements for estimating Pearson, Kendall and Spearman correlations,
        Psychometrika 65, 2000, equation 5.
    """
    from scipy import stats

    first, second = np.asarray(first, float), np.asarray(second, float)
    is_pair = np.isfinite(first) & np.isfinite(second)
    first, second, num = first[is_pair], second[is_pair], int(is_pair.sum())
    if num < 4 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return Effect(math.nan, math.nan, math.nan, num)
    r = float(stats.spearmanr(first, second).statistic)
    if abs(r) > 1 - 1e-9:  # atanh is infinite at 1, and the interval would have no width
        r = math.copysign(1 - 1e-9, r)
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt((1 + r * r / 2) / (num - 3))
    return Effect(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half), num)


def said(effect: Effect, what: str = "seeds") -> str:
    """Return an effect as text: "0.83 [0.71, 0.97] (n = 7 seeds)".

    Args:
        effect: estimate and interval.
        what: what was counted, e.g. seeds.
    """
    return f"{_figures(effect)} (n = {effect.num} {what})"


def said_by_verdict(effects: Mapping[str, Effect], null: float, smaller: str, larger: str) -> str:
    """Return named effects as text with n. Effects with the same verdict stand together.

    "n = 7 seeds; faster: a over b 0.83 [0.71, 0.97]; not distinguished from 1: a over c 1.1 [0.9, 1.3]"

    Args:
        effects: name -> effect.
        null: value of no effect, e.g. 1 for a ratio.
        smaller, larger: verdict on an interval below, or above, the null value.
    """
    groups: dict[str, list[str]] = {}
    for name, effect in effects.items():
        verdict = effect.verdict(null, smaller, larger)
        groups.setdefault(verdict, []).append(f"{name} {_figures(effect)}")
    nums = sorted({effect.num for effect in effects.values()})
    counted = " to ".join(map(str, nums[:: max(1, len(nums) - 1)]))
    parts = [f"{verdict}: {', '.join(texts)}" for verdict, texts in groups.items()]
    return "; ".join([f"n = {counted} seeds", *parts])


def _figures(effect: Effect) -> str:
    if not math.isfinite(effect.estimate):
        return "not known"
    if not math.isfinite(effect.low):
        return f"{effect.estimate:.3g}, no interval"
    return f"{effect.estimate:.3g} [{effect.low:.3g}, {effect.high:.3g}]"
