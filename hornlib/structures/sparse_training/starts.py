"""The first connections: which places they take."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from hornlib.parameters import Weight
from hornlib.structures.connections.masks import Draws, chosen_at_random, highest, mask_draws
from hornlib.structures.interface import LaneView, Tensors
from hornlib.structures.sparse_training.fan_in import constant_fan_in

__all__ = ["STARTS", "correlated", "first_masks", "input_correlations"]

Start = Callable[[LaneView, Sequence[Weight], Mapping[str, int], Mapping[str, Draws]], tuple[Tensors, int]]


def first_masks(
    start: str, view: LaneView, weights: Sequence[Weight], counts: Mapping[str, int]
) -> tuple[Tensors, int]:
    """Return the first connections, (lanes, ...) bool, and the FLOPs that each lane took to choose them.

    Args:
        start: a key of `STARTS`; or kept, for the connections that the networks have already.
        view: the networks before the first step.
        weights: the sparse weights.
        counts: weight -> number of its connections.
    """
    if start == "kept":
        return {weight.name: _present_mask(view, weight) for weight in weights}, 0
    draws = mask_draws(view.lanes.seeds, view.step)
    masks, flops = STARTS[start](
        view, weights, counts, {weight.name: draws(weight.name) for weight in weights}
    )
    shaped = {
        weight.name: masks[weight.name].to(view.lanes.device).view(-1, *weight.shape) for weight in weights
    }
    return shaped, flops


def _present_mask(view: LaneView, weight: Weight) -> Tensor:
    """Return the mask of a weight, (lanes, ...) bool, True everywhere for a weight without one."""
    shape = (len(view.lanes), *weight.shape)
    return view.masks.get(weight.name, torch.ones(shape, dtype=torch.bool, device=view.lanes.device))


def correlated(
    view: LaneView, weights: Sequence[Weight], counts: Mapping[str, int], draws: Mapping[str, Draws]
) -> tuple[Tensors, int]:
    """Connect units with the inputs to which they are most correlated: CSTI.

    Unit u of every layer stands for the number u mod d of the example, which has d numbers. The connections of a layer
    are its places (u, v) with the largest |r_uv|, the Pearson correlation of these two numbers over an epoch. r is
    taken as 0 between a number and itself, and for a number that is constant. Equal places are drawn.

    Args:
        view: the networks before the first step.
        weights: the sparse weights, (outputs, inputs) each.
        counts: weight -> number of its connections.
        draws: weight -> one generator for each lane.

    Returns:
        The connections, (lanes, size) bool, and the FLOPs that each lane took.

    Reference:
        Zhang et al. 2024, Epitopological learning and Cannistraci-Hebb network shape intelligence brain-inspired theory
        for ultra-sparse advantage in deep learning, section 3.2; with layers twice as wide as the input, as released.
    """
    correlations, examples = input_correlations(view)
    numbers = correlations.shape[1]
    masks = {}
    for weight in weights:
        outputs, inputs = (torch.arange(size, device=correlations.device) % numbers for size in weight.shape)
        scores = correlations.abs()[:, outputs][:, :, inputs].flatten(1)
        places = torch.ones_like(scores, dtype=torch.bool)
        masks[weight.name] = highest(scores, places, [counts[weight.name]] * len(scores), draws[weight.name])
    return masks, 2 * examples * numbers**2


def input_correlations(view: LaneView) -> tuple[Tensor, int]:
    """Return the correlations between the numbers of the examples of an epoch, and the number of examples of a lane.

    The correlations are (lanes, numbers, numbers), with 0 on the diagonal.

    Args:
        view: the networks before the first step.
    """
    examples, sums, products = 0, torch.tensor(0.0), torch.tensor(0.0)
    for inputs, _ in view.batches(None):
        numbers = inputs.flatten(2).double()
        examples += numbers.shape[1]
        sums = sums + numbers.sum(1)
        products = products + numbers.transpose(1, 2) @ numbers
    means = sums / examples
    covariances = products / examples - means.unsqueeze(2) * means.unsqueeze(1)
    deviations = covariances.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
    scales = deviations.unsqueeze(2) * deviations.unsqueeze(1)
    correlations = (covariances / scales).where(scales > 1e-9, 0.0)
    correlations = (
        correlations + correlations.transpose(1, 2)
    ) / 2  # exactly symmetric: equal places are drawn
    correlations.diagonal(dim1=1, dim2=2).zero_()
    return correlations.float(), examples


def _at_random(
    view: LaneView, weights: Sequence[Weight], counts: Mapping[str, int], draws: Mapping[str, Draws]
) -> tuple[Tensors, int]:
    masks = {}
    for weight in weights:
        places = torch.ones((len(view.lanes), weight.size), dtype=torch.bool)
        masks[weight.name] = chosen_at_random(
            places, [counts[weight.name]] * len(view.lanes), draws[weight.name]
        )
    return masks, 0


def _constant_fan_in(
    view: LaneView, weights: Sequence[Weight], counts: Mapping[str, int], draws: Mapping[str, Draws]
) -> tuple[Tensors, int]:
    return {
        weight.name: constant_fan_in(weight.shape, counts[weight.name], draws[weight.name])
        for weight in weights
    }, 0


STARTS: dict[str, Start] = {
    "random": _at_random,
    "constant_fan_in": _constant_fan_in,
    "correlated": correlated,
}
"""Start -> function of the view, the sparse weights, their numbers of connections, and their generators.

It returns the connections, (lanes, size) bool, and the FLOPs that each lane took.
"""
