"""Studentised bootstrap intervals of paired ratios of means, for many pairs of arms at once.

At five and at ten pairs, the coverage of the percentile and the BCa bootstrap is far below nominal for all
distributions of times. That of the studentised bootstrap is not (benchmarks/interval_coverage.md). A row of an array is
one comparison, and its columns are seeds.
"""

from collections.abc import Callable, Iterator

import numpy as np

__all__ = ["FEWEST", "by_pattern", "log_ratio_interval", "mean_interval", "resampling_weights"]

FEWEST = 5
"""There is no interval for fewer values, since its coverage was not verified."""

ZERO = 1e-7
"""A smaller standard error, or difference of relative times, is a rounding error of 0."""

ROWS_AT_ONCE = 32
"""Number of rows that are resampled together, so that their draws fit into the processor's cache."""


def resampling_weights(num_draws: int, num_values: int, seed: int) -> np.ndarray:
    """Return the weight of each value in each bootstrap draw, (draw, value); rows sum to 1.

    Args:
        num_draws: number of draws.
        num_values: number of values to resample.
        seed: seed of the draws.
    """
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
    """Return the symmetric studentised bootstrap interval of theta = ln(mean a / mean b) over pairs (a_i, b_i).

    With p = a / mean a, q = b / mean b, the squared standard error of theta is
    s^2 = max(sum_i (p_i - q_i)^2 / (n (n - 1)), rounding). A draw * gives t* = (theta* - theta) / s*; the interval
    is theta -+ s c, with c the quantile 1 - alpha of |t*|, but no smaller than Student's for n - 1 degrees of
    freedom: ties make it too small.

    Args:
        first: a > 0, (row, pair).
        second: b > 0, (row, pair); ones for the interval of ln(mean a).
        weights: from `resampling_weights`, (draw, pair).
        alpha: 1 - coverage.
        rounding: (row,), variance of theta from rounding times up to the next evaluation. The spread of the runs
            contains it, unless all runs fall on the same few evaluations.

    Returns:
        (row, 2): low and high, as logarithms.

    Source: Hall, On symmetric bootstrap confidence intervals, J. R. Statist. Soc. B 50, 1988.
    """
    theta = np.log(first.mean(1) / second.mean(1))
    rounding = np.broadcast_to(rounding, theta.shape)
    shapes = np.column_stack(
        [first / first.mean(1, keepdims=True), second / second.mean(1, keepdims=True), rounding]
    )
    # Steps, samples and seconds are often multiples of each other. Their intervals are then equal.
    _, representative, which = np.unique(np.round(shapes, 12), axis=0, return_index=True, return_inverse=True)
    shapes, num_pairs = shapes[representative], first.shape[1]
    p, q, rounding = shapes[:, :num_pairs], shapes[:, num_pairs:-1], shapes[:, -1]
    error = np.sqrt(np.maximum(((p - q) ** 2).sum(1) / (num_pairs * (num_pairs - 1)), rounding))

    def absolute_t(rows: np.ndarray) -> np.ndarray:
        return _t_of_ratios(p[rows], q[rows], rounding[rows, None], weights)

    half = _half_widths(error, num_pairs, alpha, absolute_t)[which.ravel()]
    return np.stack([theta - half, theta + half], axis=1)


def mean_interval(values: np.ndarray, weights: np.ndarray, alpha: float) -> np.ndarray:
    """Return the symmetric studentised bootstrap interval of each row's mean.

    Args:
        values: (row, value).
        weights: from `resampling_weights`, (draw, value).
        alpha: 1 - coverage.

    Returns:
        (row, 2): low and high.
    """
    num_values = values.shape[1]
    mean = values.mean(1)
    scale = values.std(1)
    unit = (values - mean[:, None]) / np.where(scale > 0, scale, 1.0)[:, None]
    error = np.where(scale > 0, 1 / np.sqrt(num_values - 1), 0.0)

    def absolute_t(rows: np.ndarray) -> np.ndarray:
        shift = unit[rows] @ weights.T
        square = (unit[rows] ** 2 @ weights.T - shift**2) / (num_values - 1)
        return _quotient(np.abs(shift), np.sqrt(np.maximum(square, 0)))

    half = scale * _half_widths(error, num_values, alpha, absolute_t)
    return np.stack([mean - half, mean + half], axis=1)


def by_pattern(is_known: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (rows, columns) for every pattern of known values. Rows with the same pattern can be resampled together.

    Args:
        is_known: (row, column), whether a value is known.
    """
    if not len(is_known):
        return
    patterns, which = np.unique(is_known, axis=0, return_inverse=True)
    for index, pattern in enumerate(patterns):
        yield np.flatnonzero(which.ravel() == index), np.flatnonzero(pattern)


def _half_widths(
    error: np.ndarray, num_values: int, alpha: float, absolute_t: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the half width s c of each row, (row,); 0 if the standard error s is 0."""
    from scipy.special import stdtrit

    least = stdtrit(num_values - 1, 1 - alpha / 2)
    half = np.zeros(len(error))
    uncertain = np.flatnonzero(error > ZERO)
    for start in range(0, len(uncertain), ROWS_AT_ONCE):
        rows = uncertain[start : start + ROWS_AT_ONCE]
        t = absolute_t(rows)
        rank = min(int(np.ceil((1 - alpha) * (t.shape[1] + 1))), t.shape[1]) - 1
        half[rows] = error[rows] * np.maximum(np.partition(t, rank, axis=1)[:, rank], least)
    return half


def _t_of_ratios(p: np.ndarray, q: np.ndarray, rounding: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return |t*| of every draw, (row, draw).

    The residual p / mean* p - q / mean* q has mean 0, so that its variance is equal to its second moment.
    """
    mean_p, mean_q = p @ weights.T, q @ weights.T
    square = (p * p) @ weights.T / mean_p
    square -= 2 * ((p * q) @ weights.T) / mean_q
    square /= mean_p
    square += (q * q) @ weights.T / (mean_q * mean_q)
    spread = np.sqrt(np.maximum(square / (weights.shape[1] - 1), rounding))
    return _quotient(np.abs(np.log(mean_p / mean_q)), spread)


def _quotient(shift: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return shift / spread. Without a spread it is infinite if there is a shift, else 0."""
    still = np.where(shift > ZERO, np.inf, 0.0)
    return np.divide(shift, spread, out=still, where=spread > ZERO)
