"""How well scores order connections as their importance does: rank correlations and the overlap of the largest."""

from typing import NamedTuple

import numpy as np

__all__ = ["RankParts", "kendall", "rank_parts", "rank_shares", "spearman", "top_overlap"]

TOP = 0.1
"""Share of the connections that counts as the top."""

FEWEST = 10
"""There is no correlation of fewer connections."""


class RankParts(NamedTuple):
    """Spearman's correlation over all layers, split into two parts whose sum it is.

    Attributes:
        within: from the ranks about the means of their layers.
        between: from the means of the layers.
    """

    within: float
    between: float


def spearman(scores: np.ndarray, importance: np.ndarray) -> float:
    """Return Spearman's rank correlation; NaN for fewer than ten connections, or where one side is constant.

    Args:
        scores, importance: (connections,).
    """
    if not _is_ranked(scores, importance):
        return np.nan
    first, second = _standard_ranks(scores), _standard_ranks(importance)
    return float((first * second).mean())


def kendall(scores: np.ndarray, importance: np.ndarray) -> float:
    """Return Kendall's tau-b, which corrects for ties; NaN where `spearman` is.

    Args:
        scores, importance: (connections,).
    """
    from scipy.stats import kendalltau

    if not _is_ranked(scores, importance):
        return np.nan
    return float(kendalltau(scores, importance).statistic)


def top_overlap(scores: np.ndarray, importance: np.ndarray) -> float:
    """Return the Jaccard index of the top tenths by both numbers: |A and B| / |A or B|; NaN for fewer than ten.

    Args:
        scores, importance: (connections,).
    """
    if len(scores) < FEWEST:
        return np.nan
    number = max(1, round(TOP * len(scores)))
    first, second = (set(np.argsort(-numbers, kind="stable")[:number]) for numbers in (scores, importance))
    return len(first & second) / len(first | second)


def rank_parts(scores: np.ndarray, importance: np.ndarray, layers: np.ndarray) -> RankParts:
    """Return the parts of Spearman's correlation over all layers that come from within and from between layers.

    With ranks r and s of mean 0 and deviation 1, rho = mean(r s) = mean((r - r_l)(s - s_l)) + mean(r_l s_l), where r_l
    and s_l are the means over the connections of the same layer.

    Args:
        scores, importance: (connections,).
        layers: number of the layer of each, (connections,) int.
    """
    if not _is_ranked(scores, importance):
        return RankParts(np.nan, np.nan)
    first, second = _standard_ranks(scores), _standard_ranks(importance)
    counts = np.maximum(np.bincount(layers), 1)
    first_means, second_means = (
        np.bincount(layers, ranks)[layers] / counts[layers] for ranks in (first, second)
    )
    between = float((first_means * second_means).mean())
    return RankParts(float((first * second).mean()) - between, between)


def rank_shares(numbers: np.ndarray) -> np.ndarray:
    """Return the rank of every number as a share, (rank - 1/2) / n, whose mean is 1/2, (connections,).

    Equal numbers share the mean of their ranks.

    Args:
        numbers: (connections,).
    """
    from scipy.stats import rankdata

    return (rankdata(numbers) - 0.5) / len(numbers)


def _is_ranked(*numbers: np.ndarray) -> bool:
    """Return whether there are enough connections, all finite, and none of the numbers is constant."""
    return all(
        len(column) >= FEWEST and np.isfinite(column).all() and np.ptp(column) > 0 for column in numbers
    )


def _standard_ranks(numbers: np.ndarray) -> np.ndarray:
    """Return ranks of mean 0 and standard deviation 1; equal numbers share the mean of their ranks."""
    from scipy.stats import rankdata

    ranks = rankdata(numbers)
    return (ranks - ranks.mean()) / ranks.std()
