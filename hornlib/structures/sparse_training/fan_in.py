"""Equal numbers of inputs for all units of a layer, and exact choices within each unit's inputs."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hornlib.structures.connections.masks import Draws, highest

__all__ = ["constant_fan_in", "fan_ins", "highest_of_units"]


def constant_fan_in(shape: Sequence[int], connections: int, draws: Draws) -> Tensor:
    """Return random connections, as many for each unit, (lanes, size) bool on the CPU.

    Args:
        shape: of the weight, outputs first.
        connections: of each lane. Where they are no multiple of the units, drawn units have one input more.
        draws: one generator for each lane.
    """
    units, inputs = shape[0], math.prod(shape[1:])
    everyone = torch.ones(units, dtype=torch.bool)
    masks = []
    for draw in draws:
        numbers = fan_ins(connections, everyone, torch.zeros(units), draw)
        scores = torch.rand(units, inputs, generator=draw)
        masks.append(highest_of_units(scores, torch.ones_like(scores, dtype=torch.bool), numbers, draw))
    return torch.stack(masks).flatten(1)


def fan_ins(connections: int, active: Tensor, preference: Tensor, draw: torch.Generator) -> Tensor:
    """Return the number of inputs of each unit, (units,) int64: equal for active units, to within 1, else 0.

    Args:
        connections: the sum of all numbers.
        active: which units have inputs, (units,) bool.
        preference: units with larger numbers are the first to get one input more, (units,).
        draw: decides between equal preferences.
    """
    number, rest = divmod(connections, int(active.sum()))
    more = highest(preference.unsqueeze(0), active.unsqueeze(0), [rest], [draw])[0]
    return active * number + more


def highest_of_units(scores: Tensor, candidates: Tensor, counts: Tensor, draw: torch.Generator) -> Tensor:
    """Return the candidates with the highest scores of every unit, (units, inputs) bool.

    Args:
        scores: (units, inputs). Those that are not finite count as the lowest.
        candidates: which entries may be chosen, (units, inputs) bool; at least as many as `counts` in every row.
        counts: for each unit, how many are chosen, (units,) int64.
        draw: decides between equal scores.
    """
    worst = torch.finfo(scores.dtype).min
    keys = scores.nan_to_num(worst, worst, worst).where(candidates, -torch.inf)
    places = (keys.shape[1] - counts).clamp(max=keys.shape[1] - 1)
    limits = _ascending(keys).gather(1, places.unsqueeze(1))
    chosen = (keys > limits) & (counts > 0).unsqueeze(1)
    ties = (keys == limits) & candidates & (counts > 0).unsqueeze(1)
    missing = counts - chosen.sum(1)
    surplus = ties.sum(1) > missing
    for unit in surplus.nonzero().squeeze(1).tolist():
        tied = ties[unit].nonzero().squeeze(1)
        order = torch.randperm(len(tied), generator=draw).to(tied.device)
        ties[unit, tied[order[int(missing[unit]) :]]] = False
    return chosen | ties


def _ascending(keys: Tensor) -> Tensor:
    """Return sorted rows, (rows, size); on the CPU by numpy, which is several times faster."""
    if keys.device.type != "cpu":
        return keys.sort(1).values
    return torch.from_numpy(np.sort(keys.numpy(), 1))
