"""Several tests at once: Holm's correction, and simultaneous intervals that agree with it in every row."""

import numpy as np

__all__ = ["agreeing", "holm"]


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return adjusted p-values; NaN (no test) stays NaN and does not count.

    With the m p-values in ascending order, the k-th becomes max_{j <= k} min(1, (m - j + 1) p_j).

    Args:
        p_values: (test, ...), one family along the first axis for every place of the others.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 1979.
    """
    order = np.argsort(p_values, axis=0, kind="stable")  # NaN last
    ascending = np.take_along_axis(p_values, order, axis=0)
    number = np.isfinite(p_values).sum(0)
    rank = np.arange(len(p_values)).reshape(-1, *[1] * (p_values.ndim - 1))
    adjusted = np.minimum(np.maximum.accumulate((number - rank) * ascending, axis=0), 1)
    result = np.empty_like(adjusted)
    np.put_along_axis(result, order, adjusted, axis=0)
    return result


def agreeing(low: np.ndarray, high: np.ndarray, rejected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Bonferroni's simultaneous intervals of differences or log ratios, in agreement with Holm's tests.

    Holm rejects all that Bonferroni does, and sometimes more. No intervals belong to Holm's step-down test that are
    simultaneous and bounded on both sides (Strassburger and Bretz, Statistics in Medicine 27, 2008). Where only Holm
    rejects, the end of Bonferroni's interval that lies beyond 0 is put at 0: that end rests on Holm's own error
    bound, all others on Bonferroni's.

    Args:
        low, high: ends of the intervals at level alpha / m, m the number of tests of the family.
        rejected: whether Holm's test rejects 0.
    """
    beyond = rejected & (low < 0) & (high > 0)
    return np.where(beyond & (-low < high), 0.0, low), np.where(beyond & (-low >= high), 0.0, high)
