"""When units were added: a tensor for each layer in the memory of lanes, which widens and narrows with the layer."""

from collections.abc import Mapping, Sequence

import torch

from hornlib.models.units import with_new_units
from hornlib.parameters import UnitAxis
from hornlib.structures.interface import LaneView, Tensors

__all__ = ["FIRST", "birth_axis", "births", "with_births"]

BORN = "born/"
"""Start of the names in the memory: `born/<layer>` is (lanes, units) int64, the training steps before the unit came."""

FIRST = -1
"""Entry of the units of the first network."""


def birth_axis(layer: int) -> UnitAxis:
    """Return where the units of a layer stand in its tensor of the memory."""
    return UnitAxis(f"{BORN}{layer}", 0, "own")


def births(view: LaneView, lanes: Sequence[int]) -> Tensors:
    """Return when the units of all layers were added, by `born/<layer>`, (lanes, units).

    All layers have a tensor, so that lanes with equal networks remember the same names, and train side by side.

    Args:
        view: before the change.
        lanes: indices in the view.
    """
    index = torch.tensor(list(lanes), device=view.lanes.device)
    return {
        birth_axis(layer).name: view.memory[birth_axis(layer).name][index]
        if birth_axis(layer).name in view.memory
        else torch.full((len(lanes), number), FIRST, device=view.lanes.device)
        for layer, number in enumerate(view.model.units())
    }


def with_births(view: LaneView, lanes: Sequence[int], numbers: Mapping[int, int]) -> Tensors:
    """Return when the units of all layers were added, as `births` does, with the units that this step adds.

    Args:
        view: before the change.
        lanes: indices in the view of the lanes that grow.
        numbers: layer -> number of its new units.
    """
    tensors = births(view, lanes)
    for layer, number in numbers.items():
        axis = birth_axis(layer)
        new = torch.full((len(lanes), number), view.step, device=view.lanes.device)
        tensors = with_new_units(tensors, [axis], {axis.name: new})
    return tensors
