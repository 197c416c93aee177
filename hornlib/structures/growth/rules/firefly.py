"""Firefly-like growth: the weights of new units descend on the loss before they join the network."""

from collections.abc import Mapping, Sequence

from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits
from hornlib.structures.growth.rules.drawn import drawn_weights
from hornlib.structures.growth.rules.search import searched
from hornlib.structures.growth.trial import Trial

__all__ = ["firefly"]


def firefly(look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]) -> dict[int, NewUnits]:
    """Return units with Gaussian weights on both sides after a descent on the loss over these weights alone.

    The function changes. Units are neither split nor chosen from a larger number of candidates.

    Args:
        look: at the lanes.
        lanes: indices in the view of the lanes that grow.
        numbers: layer -> number of its new units.

    Reference:
        Wu et al. 2020, Firefly Neural Architecture Descent, equation 4, as Evci et al. 2022 compare with it.
    """
    trial = Trial(look, lanes, numbers)
    start = {
        layer: drawn_weights(look, lanes, layer, number, ["incoming", "outgoing"])
        for layer, number in numbers.items()
    }
    weights = searched(look, start, trial.gradients)
    return {layer: sides.new_units(look, layer, lanes) for layer, sides in weights.items()}
