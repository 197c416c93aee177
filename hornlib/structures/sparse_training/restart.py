"""RigL+: a second start with fresh weights, among the units that the first training has left connected.

The first training is the first part of the same run (`restart_at_epoch`), or a run of another cell whose weights were
kept (`start: kept_units`).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from hornlib.models.build import build_network
from hornlib.models.lanes import network_tensors
from hornlib.parameters import Weight
from hornlib.randomness import derive_seed
from hornlib.structures.connections.masks import Draws, chosen_at_random
from hornlib.structures.interface import LaneView, Tensors

__all__ = ["allowed_places", "connected_units", "fresh_tensors", "masks_within"]


def connected_units(masks: Sequence[Tensor]) -> list[Tensor]:
    """Return which units of a chain of layers lie on a path from an input to an output, (lanes, units) bool each.

    Args:
        masks: of the weights from the input to the output, (lanes, outputs, inputs) bool.

    Returns:
        The inputs, then the units of each layer.
    """
    reached = [torch.ones_like(masks[0][:, 0])]
    for mask in masks:
        reached.append((mask & reached[-1].unsqueeze(1)).any(2))
    read = [torch.ones_like(masks[-1][:, :, 0])]
    for mask in reversed(masks):
        read.append((mask & read[-1].unsqueeze(2)).any(1))
    return [first & second for first, second in zip(reached, reversed(read), strict=True)]


def allowed_places(masks: Sequence[Tensor]) -> list[Tensor]:
    """Return the places between connected units, (lanes, outputs, inputs) bool for each weight.

    Outputs of the network are always allowed.

    Args:
        masks: of the weights from the input to the output, (lanes, outputs, inputs) bool.
    """
    *hidden, last = connected_units(masks)
    units = [*hidden, torch.ones_like(last)]
    return [after.unsqueeze(2) & before.unsqueeze(1) for before, after in pairwise(units)]


def masks_within(
    weights: Sequence[Weight],
    allowed: Tensors,
    num_connections: Callable[[Sequence[Weight]], Mapping[str, int]],
    draws: Mapping[str, Draws],
) -> Tensors:
    """Return random masks among the allowed places, (lanes, outputs, inputs), as if no other units existed.

    Args:
        weights: the sparse weights.
        allowed: weight -> (lanes, outputs, inputs) bool, all places between some of its units.
        num_connections: maps the weights, in the shapes of the units that are left, to numbers of connections.
        draws: weight -> one generator for each lane.
    """
    counts: dict[str, list[int]] = {weight.name: [] for weight in weights}
    for lane in range(len(next(iter(allowed.values())))):
        shrunken = []
        for weight in weights:
            places = allowed[weight.name][lane]
            shape = (int(places.any(1).sum()), int(places.any(0).sum()))
            shrunken.append(weight._replace(shape=shape))
        for name, count in num_connections(shrunken).items():
            counts[name].append(count)
    return {
        name: chosen_at_random(allowed[name].flatten(1), numbers, draws[name]).view_as(allowed[name])
        for name, numbers in counts.items()
    }


def fresh_tensors(view: LaneView) -> tuple[Tensors, Tensors]:
    """Return the parameters and buffers of new networks, (lanes, ...), drawn anew for each seed."""
    networks = [
        network_tensors(build_network(view.model, view.task, derive_seed("second start", seed)))
        for seed in view.lanes.seeds
    ]

    def stacked(part: str) -> Tensors:
        tensors = [getattr(network, part) for network in networks]
        return {
            name: torch.stack([lane[name] for lane in tensors]).to(view.lanes.device) for name in tensors[0]
        }

    return stacked("parameters"), stacked("buffers")
