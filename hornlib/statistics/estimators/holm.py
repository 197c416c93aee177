"""Several tests at once: Holm's correction, and simultaneous intervals that agree with it."""

import numpy as np

__all__ = ["agreeing", "holm"]


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return Holm's adjusted p-values. NaN means that there is no test: it stays NaN and does not count.

    With the m p-values in ascending order, the k-th becomes max_{j <= k} min(1, (m - j + 1) p_j).

    Args:
        p_values: (test, ..). The first axis is one family of tests, for every index of the other axes.

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
    """Return Bonferroni's simultaneous intervals of differences or log ratios, changed to agree with Holm's tests.

    Holm's procedure rejects every hypothesis that Bonferroni's rejects, and sometimes more. It has no simultaneous
    intervals that are bounded on both sides (Strassburger and Bretz, Statistics in Medicine 27, 2008). If only Holm's
    test rejects, the end of Bonferroni's interval that lies beyond 0 is moved to 0. The error bound of this end is
    Holm's. The error bound of all other ends is Bonferroni's.

    Args:
        low, high: (..), ends of the intervals at level alpha / m for m tests in the family.
        rejected: (..), whether Holm's test rejects 0.
    """
    beyond = rejected & (low < 0) & (high > 0)
    return np.where(beyond & (-low < high), 0.0, low), np.where(beyond & (-low >= high), 0.0, high)
