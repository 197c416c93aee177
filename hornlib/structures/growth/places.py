"""Where units are added: each place chooses, for one lane, among the layers that may grow."""

from collections.abc import Callable, Sequence

import torch

from hornlib.randomness import generator
from hornlib.structures.growth.amounts import least_grown, open_layers
from hornlib.structures.growth.look import GrowthLook

__all__ = ["PLACES"]

Place = Callable[[GrowthLook, int, Sequence[int]], list[int]]
"""(look, index of a lane in the view, layers that may grow, at least one) -> the layers that grow."""


def every(look: GrowthLook, lane: int, layers: Sequence[int]) -> list[int]:
    """Return all layers.

    Args:
        look: at the lane.
        lane: index in the view.
        layers: those that may grow.
    """
    return list(layers)


def round_robin(look: GrowthLook, lane: int, layers: Sequence[int]) -> list[int]:
    """Return the layer that has grown least often, the first of equals.

    Args:
        look: at the lane.
        lane: index in the view.
        layers: those that may grow.
    """
    view = look.view
    return [least_grown(look.parameters, view.first_model, view.model, layers)]


def largest_singular_value(look: GrowthLook, lane: int, layers: Sequence[int]) -> list[int]:
    """Return the layer whose matrix G has the largest singular value, the first of equals.

    All layers that can grow are looked at, so that the work does not depend on what the trigger says of other lanes.

    Args:
        look: at the lane.
        lane: index in the view.
        layers: those that may grow.
    """
    view, (row,) = look.view, look.rows([lane])
    candidates = open_layers(look.parameters, view.first_model, view.model, view.task)
    look.matrices(candidates)  # of all layers at once
    largest = {layer: float(look.singular_vectors(layer).values[row, 0]) for layer in candidates}
    return [max(layers, key=lambda layer: (largest[layer], -layer))]


def random(look: GrowthLook, lane: int, layers: Sequence[int]) -> list[int]:
    """Return any one layer, drawn by the lane's seed and the step.

    Args:
        look: at the lane.
        lane: index in the view.
        layers: those that may grow.
    """
    draws = generator("growth place", look.view.lanes.seeds[lane], look.view.step)
    return [layers[int(torch.randint(len(layers), (), generator=draws))]]


PLACES: dict[str, Place] = {
    "all": every,
    "round_robin": round_robin,
    "largest_singular_value": largest_singular_value,
    "random": random,
    "layer": every,
}
"""Value of `place` -> the choice. With place: layer only one layer can grow."""
