"""Studentised bootstrap intervals of means and of paired ratios of means, for many rows at once.

Of the percentile, the BCa and the studentised bootstrap only the last covers at least 93 % at five and at ten
pairs in every case tried (benchmarks/interval_coverage.md). A row is one mean or one pair; its columns are seeds.
"""

from collections.abc import Callable, Iterator

import numpy as np

__all__ = ["FEWEST", "by_known_columns", "log_ratio_interval", "mean_interval", "resampling_weights"]

FEWEST = 5
"""Values below which no interval is given: there is no coverage to show for it."""

ROWS_AT_ONCE = 32
"""Rows resampled together: their draws should stay in the processor's cache."""


def resampling_weights(num_draws: int, num_values: int, seed: int) -> np.ndarray:
    """Return how often each draw takes each value, over the number of values: (draw, value); rows sum to 1."""
    generator = np.random.default_rng([seed, num_values, *b"bootstrap"])
    counts = generator.multinomial(num_values, np.full(num_values, 1 / num_values), size=num_draws)
    return counts / num_values


def log_ratio_interval(
    first: np.ndarray,
    second: np.ndarray,
    weights: np.ndarray,
    alpha: float,
    rounding: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Return the studentised bootstrap interval of theta = ln(mean a / mean b) over pairs (a_i, b_i).

    With p = a / mean a, q = b / mean b, the squared standard error of theta is
    s^2 = sum_i (p_i - q_i)^2 / (n (n - 1)); a draw * gives t* = (theta* - theta) / max(s*, sqrt(rounding)), and
    the interval runs from theta - S t*_(1 - alpha/2) to theta - S t*_(alpha/2), S^2 = s^2 + rounding. No quantile
    of t* is taken smaller than Student's for n - 1 degrees of freedom: ties make them too small.

    Args:
        first: a > 0, (row, pair).
        second: b > 0, (row, pair); ones for the interval of ln(mean a).
        weights: from `resampling_weights`, (draw, pair).
        alpha: 1 - coverage.
        rounding: (row,), variance of theta from rounding times up to the next evaluation: runs that all fall
            on the same evaluations are not without error.

    Returns:
        (row, 2): low and high, as logarithms.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5.
    """
    num_pairs = first.shape[1]
    theta = np.log(first.mean(1) / second.mean(1))
    p = first / first.mean(1, keepdims=True) - 1
    q = second / second.mean(1, keepdims=True) - 1
    rounding = np.broadcast_to(rounding, theta.shape)
    error = np.sqrt(((p - q) ** 2).sum(1) / (num_pairs * (num_pairs - 1)) + rounding)
    error[error < 1e-12] = 0.0  # what is left of equal ratios

    def resampled(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean_p, mean_q = p[rows] @ weights.T, q[rows] @ weights.T
        shift = np.log1p(mean_p) - np.log1p(mean_q)
        # The residual p*/mean p* - q*/mean q* has mean 0, so that its variance is its second moment.
        over_p, over_q = 1 / (1 + mean_p), 1 / (1 + mean_q)
        square = (p[rows] ** 2 @ weights.T - mean_p**2) * over_p**2
        square -= 2 * (p[rows] * q[rows] @ weights.T - mean_p * mean_q) * over_p * over_q
        square += (q[rows] ** 2 @ weights.T - mean_q**2) * over_q**2
        return shift, np.maximum(square / (num_pairs - 1), rounding[rows, None])

    return _studentised(theta, error, resampled, alpha, num_pairs - 1)


def mean_interval(values: np.ndarray, weights: np.ndarray, alpha: float) -> np.ndarray:
    """Return the studentised bootstrap interval of each row's mean.

    Args:
        values: (row, value).
        weights: from `resampling_weights`, (draw, value).
        alpha: 1 - coverage.

    Returns:
        (row, 2): low and high.
    """
    num_values = values.shape[1]
    mean = values.mean(1)
    centred = values - mean[:, None]
    error = np.sqrt((centred**2).sum(1) / (num_values * (num_values - 1)))

    def resampled(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shift = centred[rows] @ weights.T
        return shift, (centred[rows] ** 2 @ weights.T - shift**2) / (num_values - 1)

    return _studentised(mean, error, resampled, alpha, num_values - 1)


def by_known_columns(known: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (rows, columns) for every pattern of known values: rows of one pattern are resampled alike.

    Args:
        known: (row, column).
    """
    if not len(known):
        return
    patterns, which = np.unique(known, axis=0, return_inverse=True)
    for index, pattern in enumerate(patterns):
        yield np.flatnonzero(which.ravel() == index), np.flatnonzero(pattern)


def _studentised(
    estimate: np.ndarray,
    error: np.ndarray,
    resampled: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    alpha: float,
    freedom: int,
) -> np.ndarray:
    """Return estimate - error x (high and low quantile of t*), some rows at a time.

    A draw of equal values has no error of its own: its t* is infinite, or 0 where it has not moved either.
    """
    from scipy.special import stdtrit

    least = stdtrit(freedom, 1 - alpha / 2)
    bounds = np.stack([estimate, estimate], axis=1)
    uncertain = np.flatnonzero(error > 0)
    for start in range(0, len(uncertain), ROWS_AT_ONCE):
        rows = uncertain[start : start + ROWS_AT_ONCE]
        t = _t_values(*resampled(rows), 1e-7 * error[rows, None])
        rank = max(int(alpha / 2 * (t.shape[1] + 1)) - 1, 0)
        t = np.partition(t, (rank, t.shape[1] - 1 - rank), axis=1)
        bounds[rows, 0] -= error[rows] * np.maximum(t[:, -1 - rank], least)
        bounds[rows, 1] -= error[rows] * np.minimum(t[:, rank], -least)
    return bounds


def _t_values(shift: np.ndarray, square: np.ndarray, tiny: np.ndarray) -> np.ndarray:
    """Return shift / sqrt(square); below `tiny` a number is what rounding has left of 0."""
    spread = np.sqrt(np.maximum(square, 0))
    still = np.where(np.abs(shift) <= tiny, 0.0, np.copysign(np.inf, shift))
    return np.divide(shift, spread, out=still, where=spread > tiny)
