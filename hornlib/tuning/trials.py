"""Trials: quasi-random points of an arm's ranges, the same learning rates in every arm."""

import numpy as np

from hornlib.grid.cell import Cell, with_values
from hornlib.grid.tuned_arms import TunedArm
from hornlib.parameters.tuning import Ranges
from hornlib.randomness import derive_seed

__all__ = ["trial_cells", "trial_values"]


def trial_values(ranges: Ranges, trials: int) -> list[dict[str, float]]:
    """Return every trial's values, the k-th being the same however many are asked for.

    A Halton sequence, the i-th range in the i-th prime base, each shifted modulo 1 by a number that follows
    from the range's name (Cranley and Patterson 1976), so that no value stands on an edge and the first range,
    the learning rate where it is tuned, gets the same values in every arm.

    Args:
        ranges: `section.parameter` -> range, the learning rate first.
        trials: how many.
    """
    from scipy.stats.qmc import Halton

    points = Halton(len(ranges), scramble=False).random(trials)
    shifts = np.array([derive_seed("tuning", key) % 10**6 / 10**6 for key in ranges])
    shares = (points + shifts) % 1.0
    return [
        {key: found.at(share) for (key, found), share in zip(ranges.items(), row, strict=True)}
        for row in shares.tolist()
    ]


def trial_cells(arm: TunedArm) -> list[Cell]:
    """Return the cell of every trial."""
    return [with_values(arm.cell, values) for values in trial_values(arm.ranges, arm.trials)]
