"""How importance is distributed over the connections of a network: concentration, signs, layers.

Weights say how many connections each number stands for, where only a sample of a layer was judged. Integer weights give
what the same numbers give when each is repeated as often.
"""

import numpy as np

__all__ = ["between_layers", "gini", "harmful_share", "idle_share", "mean_change", "mean_size"]


def gini(importance: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return Gini's coefficient of |dL|: 0 if all connections matter alike, near 1 if few matter.

    G = sum_k w_k (W_k + W_(k-1) - W) a_(k) / (W sum_k w_k a_(k)) with the ascending a_(k) >= 0, their weights w_k, the
    sums W_k = w_1 + ... + w_k, and W of all weights. With weights of 1, W_k + W_(k-1) - W is 2 k - n - 1.

    Args:
        importance: dL or |dL|, (connections,).
        weights: number of connections that each stands for, (connections,); None: 1.
    """
    sizes, counts = np.abs(importance), _weights(importance, weights)
    ascending = np.argsort(sizes, kind="stable")
    sizes, counts = sizes[ascending], counts[ascending]
    number, total = counts.sum(), (counts * sizes).sum()
    if not total > 0:
        return np.nan
    places = 2 * np.cumsum(counts) - counts - number
    return float((counts * places * sizes).sum() / (number * total))


def mean_change(changes: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean change of the loss without one connection; NaN without any.

    Args:
        changes: dL, (connections,).
        weights: number of connections that each stands for, (connections,); None: 1.
    """
    counts = _weights(changes, weights)
    return float((counts * changes).sum() / counts.sum()) if len(changes) else np.nan


def mean_size(changes: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean |dL| without one connection; NaN without any.

    Args:
        changes: dL, (connections,).
        weights: number of connections that each stands for, (connections,); None: 1.
    """
    return mean_change(np.abs(changes), weights)


def harmful_share(changes: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the share of connections without which the loss is lower.

    Args:
        changes: dL, (connections,).
        weights: number of connections that each stands for, (connections,); None: 1.
    """
    return mean_change(changes < 0, weights)


def idle_share(changes: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the share of connections without which the loss is exactly the same.

    Their input is always 0, or their unit never passes anything on.

    Args:
        changes: dL, (connections,).
        weights: number of connections that each stands for, (connections,); None: 1.
    """
    return mean_change(changes == 0, weights)


def between_layers(importance: np.ndarray, layers: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the share of the variance of the ranks of |dL| that lies between the layers' means; NaN if all are equal.

    Args:
        importance: dL or |dL|, (connections,).
        layers: number of the layer of each, (connections,) int.
        weights: number of connections that each stands for, (connections,); None: 1.
    """
    if np.isnan(importance).any() or len(np.unique(np.abs(importance))) < 2:
        return np.nan
    counts = _weights(importance, weights)
    ranks = _ranks(np.abs(importance), counts)
    mean = (counts * ranks).sum() / counts.sum()
    variation = (counts * (ranks - mean) ** 2).sum()
    by_layer = np.bincount(layers, counts)
    means = np.bincount(layers, counts * ranks) / np.where(by_layer > 0, by_layer, 1)
    return float((by_layer * (means - mean) ** 2).sum() / variation)


def _weights(numbers: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return the weights, or 1 for every number, (connections,)."""
    return np.ones(len(numbers)) if weights is None else weights


def _ranks(numbers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean rank that each number has if it is repeated as often as its weight says, (connections,)."""
    _, place = np.unique(numbers, return_inverse=True)
    together = np.bincount(place, weights)
    return (np.cumsum(together) - (together - 1) / 2)[place]
