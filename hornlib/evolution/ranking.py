"""Ranks by two objectives: fronts of networks that none dominates, and crowding within a front (NSGA-II)."""

import numpy as np

__all__ = ["crowding_distances", "front_numbers", "ranked"]


def front_numbers(objectives: np.ndarray) -> np.ndarray:
    """Return the number of the front of every point, 0 for those that no point dominates, (points,) int64.

    A point dominates another one if it is at least as good in all objectives and better in one. The next front is what
    no point dominates when the fronts before it are taken away.

    Args:
        objectives: (points, objectives); more is better.

    Reference:
        Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II, 2002, section III A.
    """
    by_objective = objectives.T  # matrix by matrix, in a quarter of the time of one array of three axes
    at_least = np.logical_and.reduce([values[:, None] >= values for values in by_objective])
    dominates = at_least & np.logical_or.reduce([values[:, None] > values for values in by_objective])
    num_dominators = dominates.sum(0)
    fronts = np.full(len(objectives), -1)
    front = 0
    while (members := np.flatnonzero((fronts < 0) & (num_dominators == 0))).size:
        fronts[members] = front
        num_dominators -= dominates[members].sum(0)
        front += 1
    return fronts


def crowding_distances(objectives: np.ndarray) -> np.ndarray:
    """Return how far the neighbours of every point of one front lie apart, summed over objectives, (points,).

    The points at the ends of an objective have infinite distance. Each objective is divided by its range.

    Args:
        objectives: of the points of one front, (points, objectives).

    Reference:
        Deb et al. 2002, section III B.
    """
    distances = np.zeros(len(objectives))
    for values in objectives.T:
        order = np.argsort(values, kind="stable")
        ascending = values[order]
        distances[order[[0, -1]]] = np.inf
        extent = ascending[-1] - ascending[0]
        if extent > 0:
            distances[order[1:-1]] += (ascending[2:] - ascending[:-2]) / extent
    return distances


def ranked(objectives: np.ndarray) -> np.ndarray:
    """Return the points from best to worst, (points,) int64: by front, and within a front the least crowded first.

    Equal points stay in their order.

    Args:
        objectives: (points, objectives); more is better.
    """
    fronts, crowding = front_numbers(objectives), np.zeros(len(objectives))
    for front in range(fronts.max(initial=-1) + 1):
        members = fronts == front
        crowding[members] = crowding_distances(objectives[members])
    return np.lexsort((-crowding, fronts))
