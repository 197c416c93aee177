"""Growth with outgoing weights of 0: incoming weights are drawn, and the next layer does not read new units yet."""

from collections.abc import Mapping, Sequence

from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits
from hornlib.structures.growth.rules.drawn import drawn_weights

__all__ = ["zero_outgoing"]


def zero_outgoing(look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]) -> dict[int, NewUnits]:
    """Return units with Gaussian incoming weights of a given length and outgoing weights 0.

    The first gradients are those of the outgoing weights, for every activation and behind every norm.

    Args:
        look: at the lanes.
        lanes: indices in the view of the lanes that grow.
        numbers: layer -> number of its new units.
    """
    return {
        layer: drawn_weights(look, lanes, layer, number, ["incoming"]).new_units(look, layer, lanes)
        for layer, number in numbers.items()
    }
