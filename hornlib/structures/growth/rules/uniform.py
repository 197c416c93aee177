"""Uniform growth: the random control as GradMax was published with it."""

from collections.abc import Mapping, Sequence

import torch

from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits
from hornlib.structures.growth.rules.drawn import drawn_weights

__all__ = ["uniform"]


def uniform(look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]) -> dict[int, NewUnits]:
    """Return units with incoming weights 0 and outgoing weights drawn uniformly from [0, 1), of a given length.

    No entry is negative, so that two of these directions have a cosine of .75 on average: new units are much alike.

    Args:
        look: at the lanes.
        lanes: indices in the view of the lanes that grow.
        numbers: layer -> number of its new units.

    Reference:
        Evci et al. 2022, GradMax, the growth "Random" of the published code.
    """
    return {
        layer: drawn_weights(look, lanes, layer, number, ["outgoing"], torch.rand).new_units(
            look, layer, lanes
        )
        for layer, number in numbers.items()
    }
