"""How importance is distributed over the connections of a network: concentration, signs, layers."""

import numpy as np

__all__ = ["between_layers", "gini", "harmful_share", "idle_share", "mean_change", "mean_size"]


def gini(importance: np.ndarray) -> float:
    """Return Gini's coefficient of |dL|: 0 if all connections matter alike, near 1 if few matter.

    G = sum_k (2 k - n - 1) a_(k) / (n sum a) with the ascending a_(k) >= 0.

    Args:
        importance: dL or |dL|, (connections,).
    """
    ascending = np.sort(np.abs(importance))
    number, total = len(ascending), ascending.sum()
    if not number or not total > 0:
        return np.nan
    return float(((2 * np.arange(1, number + 1) - number - 1) * ascending).sum() / (number * total))


def mean_change(changes: np.ndarray) -> float:
    """Return the mean change of the loss without one connection; NaN without any.

    Args:
        changes: dL, (connections,).
    """
    return float(changes.mean()) if len(changes) else np.nan


def mean_size(changes: np.ndarray) -> float:
    """Return the mean |dL| without one connection; NaN without any.

    Args:
        changes: dL, (connections,).
    """
    return mean_change(np.abs(changes))


def harmful_share(changes: np.ndarray) -> float:
    """Return the share of connections without which the loss is lower.

    Args:
        changes: dL, (connections,).
    """
    return float((changes < 0).mean()) if len(changes) else np.nan


def idle_share(changes: np.ndarray) -> float:
    """Return the share of connections without which the loss is exactly the same.

    Their input is always 0, or their unit never passes anything on.

    Args:
        changes: dL, (connections,).
    """
    return float((changes == 0).mean()) if len(changes) else np.nan


def between_layers(importance: np.ndarray, layers: np.ndarray) -> float:
    """Return the share of the variance of the ranks of |dL| that lies between the layers' means; NaN if all are equal.

    Args:
        importance: dL or |dL|, (connections,).
        layers: number of the layer of each, (connections,) int.
    """
    from scipy.stats import rankdata

    if not len(importance):
        return np.nan
    ranks = rankdata(np.abs(importance))
    if not ranks.std() > 0:
        return np.nan
    counts = np.bincount(layers)
    means = np.bincount(layers, ranks) / np.maximum(counts, 1)
    return float((counts * (means - ranks.mean()) ** 2).sum() / (len(ranks) * ranks.var()))
