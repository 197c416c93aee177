"""The network that training ended with: its forward FLOPs, run by run, where a structure may change networks."""

import numpy as np

from hornlib.grid.cell import Cell
from hornlib.results.calibrated_seconds import models_over_time
from hornlib.results.run_file import RunFile

__all__ = ["FORWARD_FLOPS", "final_forward_flops", "may_change"]

FORWARD_FLOPS = {
    "units": "FLOP",
    "long_name": "FLOPs of one forward pass of one example by the network of the last evaluation",
}
"""Attributes of the variable `final_forward_flops`."""


def final_forward_flops(run: RunFile, cell: Cell) -> np.ndarray:
    """Return the FLOPs of one forward pass of one example by the last evaluated network of every seed, (seed,).

    The networks follow from the events of the run file. An evaluation comes before what a structure does after the
    same step. A diverged run has the network that it diverged with.

    Args:
        run: with its events.
        cell: what the run was trained from.
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
