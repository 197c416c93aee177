"""Unit pruning: removes the units with the lowest scores of every lane."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hornlib.models.units import chosen_units
from hornlib.structures.growth.rates import memory_axes
from hornlib.structures.interface import Change, ChangedLayer, Decision, LaneView, Moment, Tensors
from hornlib.structures.unit_pruning.parameters import UnitPruningFields
from hornlib.structures.unit_pruning.scores import SCORES

__all__ = ["UnitPruning", "narrowing"]


class UnitPruning:
    """Removes units.

    Args:
        parameters: which units, how many, when.
    """

    def __init__(self, parameters: UnitPruningFields) -> None:
        self.parameters = parameters

    def is_due(self, moment: Moment) -> bool:
        """Return whether units are removed now."""
        return moment.step in self.parameters.pruning_steps(moment.total_steps)

    def decide(self, view: LaneView) -> Decision:
        """Return the removal of the lowest units; lanes that end with equal widths are one change."""
        scores, flops = SCORES[self.parameters.drop_by](view, self.parameters)
        units, number_of_lanes = view.model.units(), len(view.lanes)
        if self.parameters.distribution == "uniform":
            dropped = [self.parameters.num_dropped(units)] * number_of_lanes
        else:
            dropped = lowest_of_all(scores, self.parameters.total_dropped(units))
        lanes_by_numbers: dict[tuple[int, ...], list[int]] = {}
        for lane, numbers in enumerate(dropped):
            lanes_by_numbers.setdefault(numbers, []).append(lane)
        changes = [
            narrowing(view, lanes, [score[lanes] for score in scores], numbers)
            for numbers, lanes in lanes_by_numbers.items()
            if any(numbers)
        ]
        return Decision(changes, [flops] * number_of_lanes)


def lowest_of_all(scores: Sequence[Tensor], number: int) -> list[tuple[int, ...]]:
    """Return for every lane how many of the lowest scores of all layers are of each layer.

    The highest score of each layer does not count, so that a unit is left.

    Args:
        scores: of every layer, (lanes, units).
        number: of scores together.
    """
    candidates = [score.sort(1).values[:, :-1] for score in scores]
    layers = torch.cat([torch.full((score.shape[1],), layer) for layer, score in enumerate(candidates)])
    lowest = torch.cat(list(candidates), 1).sort(dim=1, stable=True).indices[:, :number].cpu()
    return [tuple(torch.bincount(layers[lane], minlength=len(scores)).tolist()) for lane in lowest]


def narrowing(
    view: LaneView, lanes: Sequence[int], scores: Sequence[Tensor], numbers: Sequence[int]
) -> Change:
    """Return the removal of the lowest units of each layer.

    Args:
        view: the lanes.
        lanes: those that lose units.
        scores: of every layer, (lanes that lose units, units); of equal ones the unit nearer to the first goes.
        numbers: of units that each layer loses.
    """
    model = view.model
    stay: list[tuple[int, Tensor]] = []
    layers: list[list[ChangedLayer]] = [[] for _ in lanes]
    for layer, (score, number) in enumerate(zip(scores, numbers, strict=True)):
        if not number:
            continue
        values, order = score.sort(dim=1, stable=True)
        stay.append((layer, order[:, number:].sort(1).values))
        model = model.with_units(layer, score.shape[1] - number)
        for events, value in zip(layers, values[:, number - 1].tolist(), strict=True):
            events.append(ChangedLayer(layer, value, number))

    def narrow(tensors: Tensors) -> Tensors:
        for layer, units in stay:
            tensors = chosen_units(tensors, view.model.unit_axes(layer, view.task), units)
        return tensors

    memory = {name: tensor[list(lanes)] for name, tensor in view.memory.items()}
    for layer, units in stay:
        memory = chosen_units(memory, memory_axes(view.model, layer, view.task), units)
    tensors = view.lanes.stacked(lanes)
    return Change(
        lanes,
        kind="narrowed",
        layers=layers,
        model=model,
        parameters=narrow(tensors.parameters),
        buffers=narrow(tensors.buffers),
        inherit=narrow,
        memory=memory,
    )
