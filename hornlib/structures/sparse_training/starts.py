"""The first connections of a weight: which places they take."""

from collections.abc import Callable

import torch
from torch import Tensor

from hornlib.parameters import Weight
from hornlib.structures.masks import Draws, chosen_at_random
from hornlib.structures.sparse_training.fan_in import constant_fan_in

__all__ = ["STARTS"]


def _random(weight: Weight, connections: int, draws: Draws) -> Tensor:
    places = torch.ones((len(draws), weight.size), dtype=torch.bool)
    return chosen_at_random(places, [connections] * len(draws), draws)


def _constant_fan_in(weight: Weight, connections: int, draws: Draws) -> Tensor:
    return constant_fan_in(weight.shape, connections, draws)


STARTS: dict[str, Callable[[Weight, int, Draws], Tensor]] = {
    "random": _random,
    "constant_fan_in": _constant_fan_in,
}
"""Start -> function of a weight, of its number of connections, and of one generator for each lane.

It returns the connections, (lanes, size) bool on the CPU.
"""
