"""Learning rates of weights that growth added: factors for every entry, which the memory of lanes carries."""

from collections.abc import Mapping

import torch
from torch import Tensor

from hornlib.parameters import ModelParameters, Task, UnitAxis
from hornlib.structures.growth.births import FIRST, birth_axis
from hornlib.structures.interface import RATE, Tensors

__all__ = ["memory_axes", "stage_rates"]


def memory_axes(model: ModelParameters, layer: int, task: Task) -> list[UnitAxis]:
    """Return where the units of a layer stand in the memory of lanes: their births, and factors on their rates.

    Args:
        model: of the lanes.
        layer: position in `units()`.
        task: shapes of inputs and outputs.
    """
    axes = model.unit_axes(layer, task)
    return [birth_axis(layer), *(axis._replace(name=RATE + axis.name) for axis in axes)]


def stage_rates(
    model: ModelParameters, task: Task, parameters: Tensors, births: Mapping[str, Tensor]
) -> Tensors:
    """Return the factor on the learning rate of every weight, rate/<weight> -> (lanes, ...).

    A weight between units belongs to the stage at which the younger one came. The factor of a stage is the norm of the
    weights of this stage, in one tensor, divided by the norm of those of the first network: units that came late have
    small weights, and would otherwise be changed by more than their size. It is 1 for the first network, and for
    weights that are all 0, which would never move otherwise.

    Args:
        model: after growth.
        task: shapes of inputs and outputs.
        parameters: trained tensors after growth, name -> (lanes, ...).
        births: `born/<layer>` of all layers after growth, (lanes, units).

    Reference:
        Yuan, Savarese and Maire 2023, Accelerated Training via Incrementally Growing Neural Networks using Variance
        Transfer and Learning Rate Adaptation, section 3.2. The norms are those after the last event.
    """
    stages: Tensors = {}
    for layer in range(len(model.units())):
        born = births[birth_axis(layer).name]
        for axis in model.unit_axes(layer, task):
            if axis.side == "own":
                continue
            shape = [len(born), *[1] * (parameters[axis.name].dim() - 1)]
            shape[axis.axis + 1] = -1
            of_units = born.repeat_interleave(axis.block, 1).view(shape).expand_as(parameters[axis.name])
            before = stages.get(axis.name, of_units)
            stages[axis.name] = torch.maximum(before, of_units)
    return {RATE + name: _rates(parameters[name], stage) for name, stage in stages.items()}


def _rates(weight: Tensor, stage: Tensor) -> Tensor:
    """Return the factor of every entry of a weight, (lanes, ...).

    Args:
        weight: (lanes, ...).
        stage: when each entry came, (lanes, ...) int64.
    """
    rates = torch.ones_like(weight)
    first = _norms(weight * (stage == FIRST))
    for step in stage.unique().tolist():
        if step != FIRST:
            is_new = stage == step
            norms = _norms(weight * is_new)
            is_used = is_new & (norms > 0) & (first > 0)
            rates = torch.where(is_used, norms / first, rates)
    return rates


def _norms(weight: Tensor) -> Tensor:
    """Return the norm of a weight (lanes, ...) for every lane, (lanes, 1, ...)."""
    return weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.dim() - 1))
