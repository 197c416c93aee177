"""Weights of new units that are drawn at random, of a given length."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.trial import UnitWeights, zero_weights

__all__ = ["drawn_vectors", "drawn_weights"]

Side = Literal["incoming", "outgoing"]


def drawn_vectors(
    look: GrowthLook,
    lanes: Sequence[int],
    layer: int,
    like: Tensor,
    purpose: str,
    draw: Callable[..., Tensor] = torch.randn,
) -> Tensor:
    """Return random vectors of length 1, (lanes, units, entries).

    Args:
        look: has the generators of the lanes.
        lanes: indices in the view of the lanes that grow.
        layer: position in `units()`.
        like: a tensor of the wanted shape.
        purpose: name of what is drawn.
        draw: `torch.randn` or `torch.rand`.
    """
    shape = like.shape[1:]
    vectors = torch.stack([draw(shape, generator=numbers) for numbers in look.draws(purpose, layer, lanes)])
    return (vectors / vectors.norm(dim=2, keepdim=True)).to(like)


def drawn_weights(
    look: GrowthLook,
    lanes: Sequence[int],
    layer: int,
    number: int,
    sides: Sequence[Side],
    draw: Callable[..., Tensor] = torch.randn,
) -> UnitWeights:
    """Return random weights on some sides of new units, with the lengths of `GrowthLook.new_norms`; others are 0.

    Args:
        look: at the lanes.
        lanes: indices in the view of the lanes that grow.
        layer: position in `units()`.
        number: of new units.
        sides: on which weights are drawn.
        draw: `torch.randn` or `torch.rand`.
    """
    weights, lengths = zero_weights(look, layer, lanes, number), look.new_norms(layer, lanes)
    vectors = {
        side: drawn_vectors(look, lanes, layer, zeros, side, draw) * length.view(-1, 1, 1)
        for side, zeros, length in zip(UnitWeights._fields, weights, lengths, strict=True)
        if side in sides
    }
    return weights._replace(**vectors)
