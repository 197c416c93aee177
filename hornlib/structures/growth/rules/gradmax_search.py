"""GradMax by search: gradient ascent on the norm of the gradient that incoming weights of new units receive."""

from collections.abc import Mapping, Sequence

import torch

from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits
from hornlib.structures.growth.rules.drawn import drawn_weights
from hornlib.structures.growth.rules.search import searched
from hornlib.structures.growth.trial import UnitWeights

__all__ = ["gradmax_search"]


def gradmax_search(look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]) -> dict[int, NewUnits]:
    """Return units with incoming weights 0 and outgoing weights V that were searched for a large norm of V G.

    The gradient of the incoming weights is V G for every V, since units with incoming weights 0 change nothing. So the
    search needs G alone. Nothing keeps the vectors orthogonal. Nor does Adam end at the first singular vector, because
    its steps are as long for every entry of a vector.

    Args:
        look: with the matrices G.
        lanes: indices in the view of the lanes that grow.
        numbers: layer -> number of its new units.

    Reference:
        Evci et al. 2022, GradMax, the growth "GradMaxOpt" of the published code.
    """
    rows = look.rows(lanes)
    matrices = {layer: matrix[rows] for layer, matrix in look.matrices(numbers.keys()).items()}
    start = {
        layer: drawn_weights(look, lanes, layer, number, ["outgoing"]) for layer, number in numbers.items()
    }

    def slopes(weights: Mapping[int, UnitWeights]) -> dict[int, UnitWeights]:
        gradients = {}
        for layer, sides in weights.items():
            products = sides.outgoing @ matrices[layer]
            norms = products.norm(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(products.dtype).tiny)
            gradients[layer] = UnitWeights(
                torch.zeros_like(sides.incoming), -(products / norms) @ matrices[layer].mT
            )
        return gradients

    for layer, number in numbers.items():
        look.count(4 * (look.parameters.search_steps or 0) * number * matrices[layer][0].numel(), lanes)
    weights = searched(look, start, slopes)
    return {layer: sides.new_units(look, layer, lanes) for layer, sides in weights.items()}
