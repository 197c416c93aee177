"""Search for weights of new units by Adam, with lengths that stay."""

from collections.abc import Callable, Mapping

import torch

from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.trial import UnitWeights

__all__ = ["searched"]

EPSILON = 1e-7
"""Of Adam, as in the published search."""


def searched(
    look: GrowthLook,
    start: Mapping[int, UnitWeights],
    slopes: Callable[[Mapping[int, UnitWeights]], Mapping[int, UnitWeights]],
) -> dict[int, UnitWeights]:
    """Return weights after `search_steps` steps of Adam. After each step, every vector gets back its first length.

    Args:
        look: with the number of steps and their learning rate.
        start: layer -> first weights of its new units. Vectors of length 0 stay.
        slopes: maps weights to the gradients of what is minimised.

    Reference:
        Evci et al. 2022, GradMax, the growths "GradMaxOpt" and "Firefly" of the published code.
    """
    steps, rate = look.parameters.search_steps, look.parameters.search_rate
    assert steps is not None and rate is not None, "rules that search have both"
    weights = {layer: UnitWeights(*(side.clone() for side in sides)) for layer, sides in start.items()}
    tensors = [side for sides in weights.values() for side in sides]
    lengths = [tensor.norm(dim=2, keepdim=True) for tensor in tensors]
    adam = torch.optim.Adam(tensors, rate, eps=EPSILON)
    for _ in range(steps):
        gradients = slopes(weights)
        for layer, sides in weights.items():
            for side, gradient in zip(sides, gradients[layer], strict=True):
                side.grad = gradient.to(side)
        adam.step()
        for tensor, length in zip(tensors, lengths, strict=True):
            norms = tensor.norm(dim=2, keepdim=True).clamp(min=torch.finfo(tensor.dtype).tiny)
            tensor.mul_(length / norms)
    return {layer: UnitWeights(*(side.detach() for side in sides)) for layer, sides in weights.items()}
