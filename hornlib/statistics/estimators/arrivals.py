"""Shares of runs: Wilson's interval, Newcombe's interval of a difference, and the test that it inverts."""

import numpy as np

__all__ = ["newcombe_interval", "newcombe_p", "wilson_limits"]

HALVINGS = 60
"""Number of bisections: the last one changes only the last digit of the quantile."""

LARGEST_QUANTILE = 40.0
"""The tail of the standard normal distribution is 0 in floating point beyond this quantile."""


def newcombe_interval(
    first: np.ndarray, second: np.ndarray, number: np.ndarray, alpha: float | np.ndarray
) -> np.ndarray:
    """Return Newcombe's hybrid score interval of p - q, the shares of `number` runs of two arms that arrived, (.., 2).

    With Wilson's limits (l, u) of each share, low = d - sqrt((p - l_p)^2 + (u_q - q)^2) and
    high = d + sqrt((u_p - p)^2 + (q - l_q)^2), d = p - q. The two arms are taken as independent, which is conservative
    if equal seeds make them similar.

    Args:
        first, second: (..), numbers of runs that arrived, from 0 to `number`.
        number: (..), number of runs of each arm; the interval is NaN if it is 0.
        alpha: 1 - coverage, two-sided.

    Reference:
        Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17
        (1998), 873-890, method 10.
    """
    from scipy.stats import norm

    return np.stack(_limits(first, second, number, norm.isf(np.asarray(alpha) / 2)), axis=-1)


def newcombe_p(first: np.ndarray, second: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return the smallest alpha at which Newcombe's interval excludes 0, the two-sided p-value that agrees with it.

    Args:
        first, second: (..), numbers of runs that arrived.
        number: (..), number of runs of each arm; the p-value is NaN if it is 0.
    """
    from scipy.stats import norm

    first, second, number = np.broadcast_arrays(first, second, number)
    inside, outside = np.zeros(first.shape), np.full(first.shape, LARGEST_QUANTILE)
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        low, high = _limits(first, second, number, middle)
        excluded = (low > 0) | (high < 0)
        inside, outside = np.where(excluded, middle, inside), np.where(excluded, outside, middle)
    return np.where(np.asarray(number) > 0, np.where(first == second, 1.0, 2 * norm.sf(inside)), np.nan)


def _limits(
    first: np.ndarray, second: np.ndarray, number: np.ndarray, quantile: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    runs = np.where(np.asarray(number) > 0, number, np.nan)
    p, q = first / runs, second / runs
    (low_p, high_p), (low_q, high_q) = wilson_limits(p, runs, quantile), wilson_limits(q, runs, quantile)
    low = p - q - np.sqrt((p - low_p) ** 2 + (high_q - q) ** 2)
    high = p - q + np.sqrt((high_p - p) ** 2 + (q - low_q) ** 2)
    return low, high


def wilson_limits(
    share: np.ndarray, runs: np.ndarray, quantile: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the two q that solve (p - q)^2 = z^2 q (1 - q) / n, within [0, 1].

    Args:
        share: p, (..).
        runs: n, (..); NaN where there are none.
        quantile: z of the standard normal, a number or (..).

    Reference:
        Wilson, J. Am. Stat. Assoc. 22 (1927).
    """
    squared = np.asarray(quantile) ** 2
    centre = (share + squared / (2 * runs)) / (1 + squared / runs)
    half = np.sqrt(squared * (share * (1 - share) + squared / (4 * runs)) / runs) / (1 + squared / runs)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
