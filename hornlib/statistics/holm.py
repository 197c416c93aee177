"""Holm's correction: several tests, and still at most a share alpha of false claims among all of them."""

import numpy as np

__all__ = ["holm"]


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return adjusted p-values; NaN (no test) stays NaN and does not count.

    With the m p-values in ascending order, the k-th becomes max_{j <= k} min(1, (m - j + 1) p_j).

    Args:
        p_values: any shape; one family.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 1979.
    """
    adjusted = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p_values.ravel()))
    order = known[np.argsort(p_values.ravel()[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted.flat[order] = np.minimum(np.maximum.accumulate(factors * p_values.ravel()[order]), 1)
    return adjusted
