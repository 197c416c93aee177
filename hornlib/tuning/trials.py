"""Trials: quasi-random points in an arm's ranges, with the same learning rates in every arm."""

import numpy as np

from hornlib.grid.cell import Cell, with_values
from hornlib.grid.tuned_arms import TunedArm
from hornlib.parameters.tuning import Ranges
from hornlib.randomness import derive_seed

__all__ = ["trial_cells", "trial_values"]


def trial_values(ranges: Ranges, trials: int) -> list[dict[str, float]]:
    """Return the values of every trial. The k-th trial does not depend on the number of trials.

    The points are a Halton sequence with the i-th prime as base of the i-th range. Each range is shifted modulo 1 by
    a number that follows from its name (Cranley and Patterson 1976), so that no value lies on an edge. The first range,
    which is the learning rate where it is tuned, gets the same values in every arm.

    Args:
        ranges: `section.parameter` -> range, the learning rate first.
        trials: number of trials.
    """
    from scipy.stats.qmc import Halton

    points = Halton(len(ranges), scramble=False).random(trials)
    shifts = np.array([derive_seed("tuning", key) % 10**6 / 10**6 for key in ranges])
    shares = (points + shifts) % 1.0
    return [
        {key: tuned_range.at(share) for (key, tuned_range), share in zip(ranges.items(), row, strict=True)}
        for row in shares.tolist()
    ]


def trial_cells(arm: TunedArm) -> list[Cell]:
    """Return the cell of every trial."""
    return [with_values(arm.cell, values) for values in trial_values(arm.ranges, arm.trials)]
