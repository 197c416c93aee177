"""Forward FLOPs of the network that training ended with, for every run whose structure may change the network."""

import numpy as np

from hornlib.grid.cell import Cell
from hornlib.results.calibrated_seconds import models_over_time
from hornlib.results.run_file import RunFile

__all__ = ["final_forward_flops", "may_change"]


def final_forward_flops(run: RunFile, cell: Cell) -> np.ndarray:
    """Return the FLOPs of one forward pass of one example by the last evaluated network of every seed, (seed,).

    The networks follow from the events of the run file, and their connections from the recorded densities. An
    evaluation precedes changes after the same step. For a diverged run, this is the network that diverged.

    Args:
        run: a run file with its events.
        cell: the cell of the run.
    """
    if cell.model.trainer == "evolution":
        return run.variables["network_flops"][:, -1]
    if cell.is_masked():
        return _flops_by_masks(run, cell)
    task, last_step = cell.task(), run.variables["step"][-1]
    flops = []
    for seed in run.variables["seed"].tolist():
        evaluated = [
            model for start, model in models_over_time(run, cell, seed) if start < last_step or not start
        ]
        flops.append(evaluated[-1].forward_flops(task).total)
    return np.array(flops, float)


def may_change(cell: Cell) -> bool:
    """Return whether the cell's structure can make another network of its model, or move connections elsewhere.

    The topology of a model that evolves always changes.
    """
    if cell.model.trainer == "evolution":
        return True
    return cell.is_masked() or bool(cell.structure.reachable(cell.model, cell.task()))


def _flops_by_masks(run: RunFile, cell: Cell) -> np.ndarray:
    """Return the FLOPs by the last recorded density of every layer, (seed,).

    They are exact where each layer has as many connections as planned. Elsewhere the connections that a layer gained or
    lost count as the mean of its weights.
    """
    planned, task = cell.structure.connections(cell.model, cell.task()), cell.task()
    flops = np.full(len(run.variables["seed"]), float(cell.cost().flops.total))
    density = run.variables.get("layer_density")
    if density is None:
        return flops
    weights = cell.model.weights(task)
    for layer in range(density.shape[2]):
        members = [weight for weight in weights if weight.layer == layer]
        share = sum(planned.get(weight.name, weight.size) for weight in members) / sum(
            weight.size for weight in members
        )
        gained = _last_known(density[:, :, layer]) - share
        flops += gained * sum(2 * weight.uses * weight.size for weight in members)
    return flops


def _last_known(density: np.ndarray) -> np.ndarray:
    """Return the last recorded density of every row of (seed, step), (seed,); 1 where no masks were ever recorded."""
    is_known = np.isfinite(density)
    last = density.shape[1] - 1 - is_known[:, ::-1].argmax(1)
    return np.where(is_known.any(1), density[np.arange(len(density)), last], 1.0)
