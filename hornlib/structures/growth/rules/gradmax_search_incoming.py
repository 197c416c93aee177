"""GradMax with outgoing weights of 0: ascent on the gradient norm that the outgoing weights of new units receive."""

from collections.abc import Mapping, Sequence

import torch

from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits
from hornlib.structures.growth.rules.drawn import drawn_weights
from hornlib.structures.growth.rules.search import searched
from hornlib.structures.growth.trial import Trial, UnitWeights
from hornlib.structures.growth.unit_vectors import mean_norms

__all__ = ["gradmax_search_incoming"]

SMALL = 1e-3
"""Length of the trial step of all outgoing weights of a layer, relative to the mean length of the existing units'."""


def gradmax_search_incoming(
    look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]
) -> dict[int, NewUnits]:
    """Return units with outgoing weights 0 and incoming weights W that were searched for a large outgoing gradient.

    Let D(W) be the gradient of the outgoing weights V at V = 0. The ascent needs the gradient of |D|. For a small
    length t, the loss at V = t D / |D| is that at V = 0 plus t |D|, where D / |D| is held fixed. So the gradient of the
    loss with respect to W at that V is t times the gradient of |D|, and each step takes two passes.

    Unlike `gradmax`, this suits every activation and every norm.

    Args:
        look: at the lanes.
        lanes: indices in the view of the lanes that grow.
        numbers: layer -> number of its new units.

    Reference:
        Evci et al. 2022, GradMax, the growth "GradMaxOpt" of the published code with outgoing weights of 0.
    """
    trial = Trial(look, lanes, numbers)
    start = {
        layer: drawn_weights(look, lanes, layer, number, ["incoming"]) for layer, number in numbers.items()
    }
    lengths = {layer: SMALL * mean_norms(*look.sides(layer, lanes)[1]).view(-1, 1, 1) for layer in numbers}

    def slopes(weights: Mapping[int, UnitWeights]) -> dict[int, UnitWeights]:
        moved = {}
        for layer, (_, outgoing) in trial.gradients(weights).items():
            norms = outgoing.norm(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(outgoing.dtype).tiny)
            moved[layer] = weights[layer]._replace(outgoing=lengths[layer] * outgoing / norms)
        return {
            layer: UnitWeights(-incoming / lengths[layer], torch.zeros_like(outgoing))
            for layer, (incoming, outgoing) in trial.gradients(moved).items()
        }

    weights = searched(look, start, slopes)
    return {layer: sides.new_units(look, layer, lanes) for layer, sides in weights.items()}
