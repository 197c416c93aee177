"""Axes of cost: the words and the unit of everything that the learning of a run is measured in."""

from typing import NamedTuple

import xarray as xr

from hornlib.parameters.statistics import AXES

__all__ = ["COST_AXES", "CostAxis", "axes_of_cost", "cost_on"]


class CostAxis(NamedTuple):
    """One axis of cost.

    Attributes:
        counted: what a sentence says: "needs 0.7 times the ... that cnn needs".
        title: what a chart or a table says.
        units: as UDUNITS writes them.
    """

    counted: str
    title: str
    units: str = "1"


COST_AXES: dict[str, CostAxis] = {
    "step": CostAxis("steps", "training steps"),
    "samples": CostAxis("samples", "training examples seen"),
    "training_flops": CostAxis("training FLOPs", "training FLOPs", "FLOP"),
    "seconds": CostAxis("seconds", "calibrated seconds", "s"),
    "training_loss": CostAxis("samples to the training-loss target", "training examples (training loss)"),
}
"""Name of the axis in config.yaml -> its words and its unit; every axis of `hornlib.parameters.statistics.AXES`.

The cost on `training_loss` is counted in samples. Its target is a level of the mean training loss: it involves no
evaluation, and so no statistics of batch norm. Arms with different dropout or label smoothing have different losses and
cannot be compared on it."""


def axes_of_cost(ds: xr.Dataset) -> tuple[str, ...]:
    """Return the axes of cost that the results can be judged on.

    Args:
        ds: from `contenders` (contender, seed, step). The axis `training_loss` needs the variable of that name.
    """
    return tuple(axis for axis in AXES if axis != "training_loss" or "training_loss" in ds)


def cost_on(ds: xr.Dataset, axis: str) -> xr.DataArray:
    """Return the cost of every evaluation on an axis.

    Args:
        ds: from `contenders`.
        axis: one of `COST_AXES`.

    Returns:
        (contender[, seed], step); NaN where there was no evaluation.
    """
    name = "samples" if axis == "training_loss" else axis
    return ds[name].where(ds["samples"].notnull())
