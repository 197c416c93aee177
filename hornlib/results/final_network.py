"""Forward FLOPs of the network that training ended with, for every run whose structure may change the network."""

import numpy as np

from hornlib.grid.cell import Cell
from hornlib.results.calibrated_seconds import models_over_time
from hornlib.results.run_file import RunFile

__all__ = ["final_forward_flops", "may_change"]


def final_forward_flops(run: RunFile, cell: Cell) -> np.ndarray:
    """Return the FLOPs of one forward pass of one example by the last evaluated network of every seed, (seed,).

    The networks follow from the events of the run file. An evaluation precedes changes after the same step. For a
    diverged run, this is the network that diverged.

    Args:
        run: a run file with its events.
        cell: the cell of the run.
    """
    task, last_step = cell.task(), run.variables["step"][-1]
    flops = []
    for seed in run.variables["seed"].tolist():
        evaluated = [
            model for start, model in models_over_time(run, cell, seed) if start < last_step or not start
        ]
        flops.append(evaluated[-1].forward_flops(task).total)
    return np.array(flops, float)


def may_change(cell: Cell) -> bool:
    """Return whether the cell's structure can make another network of its model."""
    return bool(cell.structure.reachable(cell.model))
