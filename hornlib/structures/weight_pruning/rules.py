"""The rules of weight pruning: the score by which weights are removed, and which of them go."""

from collections.abc import Callable, Mapping

from torch import Tensor

from hornlib.structures.connections.masks import Draws, lowest, num_true
from hornlib.structures.interface import LaneView, Tensors

__all__ = ["SCORES", "magnitude", "pruned_in_layers", "saliency"]


def magnitude(view: LaneView, names: list[str]) -> Tensors:
    """Return weight -> |w|, (lanes, ...).

    Args:
        view: the lanes.
        names: of the weights.

    Reference:
        Zhu and Gupta 2017, To prune, or not to prune, section 3; Frankle and Carbin 2019, The lottery ticket
        hypothesis, section 2.
    """
    return {name: view.lanes.parameters[name].detach().abs() for name in names}


def saliency(view: LaneView, names: list[str]) -> Tensors:
    """Return weight -> |g w|, (lanes, ...), with the gradient g over the batch of the coming step.

    Args:
        view: the lanes.
        names: of the weights.

    Reference:
        Lee et al. 2019, SNIP: single-shot network pruning based on connection sensitivity, equations 5 and 6.
    """
    gradients = view.coming_gradients()
    return {name: (gradients[name] * view.lanes.parameters[name].detach()).abs() for name in names}


SCORES: dict[str, Callable[[LaneView, list[str]], Tensors]] = {
    "snip": saliency,
    "gmp": magnitude,
    "lottery": magnitude,
}
"""Rule -> the score of each weight; the smallest are removed."""


def pruned_in_layers(
    scores: Tensors, masks: Tensors, counts: Mapping[str, int], draws: Callable[[str], Draws]
) -> Tensors:
    """Return the masks, (lanes, size), without the lowest scores of each weight.

    Args:
        scores: weight -> (lanes, size).
        masks: weight -> connections before, (lanes, size) bool.
        counts: weight -> number of its connections that remain.
        draws: maps a weight to one generator for each lane, which decides between equal scores.
    """

    def removed(name: str, mask: Tensor) -> Tensor:
        surplus = [max(number - counts[name], 0) for number in num_true(mask)]
        return lowest(scores[name], mask, surplus, draws(name))

    return {name: mask & ~removed(name, mask) for name, mask in masks.items()}
