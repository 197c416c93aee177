"""Variance transfer: pairs of new units that cancel each other, with variances that suit the new width."""

import math
from collections.abc import Mapping, Sequence

import torch

from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits
from hornlib.structures.growth.trial import UnitWeights, zero_weights

__all__ = ["variance_transfer"]


def variance_transfer(
    look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]
) -> dict[int, NewUnits]:
    """Return pairs of units with equal Gaussian incoming weights and opposite Gaussian outgoing weights.

    Incoming weights have the variance 1 / n_in. For a reader that has n inputs before growth and m after it, new
    outgoing weights have the variance 1 / m, and the old ones are multiplied by sqrt(n / m), which would be theirs in a
    fresh network of that width. Of the last layer, the variance is 1 / m^2 and the factor n / m. The pairs add nothing,
    but the factor changes the function. An odd unit out has outgoing weights 0.

    Where neighbouring layers grow at the same event, the weights between their new units are 0; the paper draws them.
    The FLOPs of the factors, three for each old outgoing weight, are not counted, since no batch is looked at.

    Args:
        look: at the lanes.
        lanes: indices in the view of the lanes that grow.
        numbers: layer -> number of its new units.

    Reference:
        Yuan, Savarese and Maire 2023, Accelerated Training via Incrementally Growing Neural Networks using Variance
        Transfer and Learning Rate Adaptation, section 3.1.
    """
    view = look.view
    roles = {weight.name: weight.role for weight in view.model.weights(view.task)}
    units = {}
    for layer, number in numbers.items():
        _, (old, axis) = look.sides(layer, lanes)
        empty = zero_weights(look, layer, lanes, number)
        before = view.model.units()[layer]
        num_inputs = old[0].numel() // old.shape[1] // before * (before + number)
        deviation, factor = num_inputs**-0.5, (before / (before + number)) ** 0.5
        if roles[axis.name] == "output":
            deviation, factor = deviation**2, factor**2
        pairs = number // 2
        sides = []
        for purpose, zeros, scale in zip(
            UnitWeights._fields, empty, (empty.incoming.shape[2] ** -0.5, deviation), strict=True
        ):
            shape = (math.ceil(number / 2), zeros.shape[2])
            draws = look.draws(f"variance transfer, {purpose}", layer, lanes)
            sides.append(
                scale * torch.stack([torch.randn(shape, generator=draw) for draw in draws]).to(zeros)
            )
        incoming = torch.cat([sides[0], sides[0][:, :pairs]], 1)
        outgoing = torch.cat([sides[1], -sides[1][:, :pairs]], 1)
        outgoing[:, pairs : number - pairs] = 0
        weights = UnitWeights(incoming, outgoing).new_units(look, layer, lanes)
        units[layer] = weights._replace(changed={axis.name: factor * old})
    return units
