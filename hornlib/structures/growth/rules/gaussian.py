"""Gaussian growth: the control of GradMax that looks at no gradient."""

from collections.abc import Mapping, Sequence

from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits
from hornlib.structures.growth.rules.drawn import drawn_weights

__all__ = ["gaussian"]


def gaussian(look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]) -> dict[int, NewUnits]:
    """Return units with incoming weights 0 and Gaussian outgoing weights of a given length.

    Their directions are uniform on the sphere. This is the fair control of GradMax: the same lengths, and no gradient.

    Args:
        look: at the lanes.
        lanes: indices in the view of the lanes that grow.
        numbers: layer -> number of its new units.
    """
    return {
        layer: drawn_weights(look, lanes, layer, number, ["outgoing"]).new_units(look, layer, lanes)
        for layer, number in numbers.items()
    }
