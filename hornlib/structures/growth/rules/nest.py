"""NeST's growth of neurons: new units bridge pairs of numbers whose direct connection would have a large gradient."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits
from hornlib.structures.growth.trial import UnitWeights, zero_weights

__all__ = ["nest"]

BRIDGED_SHARE = 0.1
"""Share of the pairs that a unit bridges: beta, for which the paper gives no number."""


def nest(look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]) -> dict[int, NewUnits]:
    """Return units that bridge the pairs (i, j) with the largest |G[i, j]|.

    Each pair adds e sqrt|G[i, j]| to outgoing weight i and -e sign(G[i, j]) sqrt|G[i, j]| to incoming weight j, with a
    random sign e for every unit and pair. The product is a step against the gradient of the bridged connection, for an
    activation that is 0 at 0 and where no norm stands behind the units. Then
    the mean magnitude of the weights that are not 0 is made `scale` times that of the existing weights. The function
    changes. Maps of convolutions start in the same way, whereas the paper draws several kernels and keeps the best.

    Args:
        look: with the matrices G.
        lanes: indices in the view of the lanes that grow.
        numbers: layer -> number of its new units.

    Reference:
        Dai, Yin and Jha 2017, NeST: A Neural Network Synthesis Tool Based on a Grow-and-Prune Paradigm, algorithm 1.
    """
    rows = look.rows(lanes)
    matrices = {layer: matrix[rows] for layer, matrix in look.matrices(numbers.keys()).items()}
    units = {}
    for layer, number in numbers.items():
        weights = zero_weights(look, layer, lanes, number)
        draws = look.draws("nest", layer, lanes)
        for lane, (matrix, draw) in enumerate(zip(matrices[layer], draws, strict=True)):
            num_pairs = math.ceil(BRIDGED_SHARE * matrix.numel())
            pairs = matrix.abs().flatten().topk(num_pairs).indices
            signs = 2.0 * torch.randint(2, (number, num_pairs), generator=draw).to(matrix) - 1
            gradients, size = matrix.flatten()[pairs], matrix.shape[1]
            weights.incoming[lane].index_add_(
                1, pairs % size, -signs * gradients.sign() * gradients.abs().sqrt()
            )
            weights.outgoing[lane].index_add_(1, pairs // size, signs * gradients.abs().sqrt())
        sides = zip(weights, look.sides(layer, lanes), strict=True)
        scaled = UnitWeights(*(_born(look, vectors, existing) for vectors, (existing, _) in sides))
        units[layer] = scaled.new_units(look, layer, lanes)
    return units


def _born(look: GrowthLook, vectors: Tensor, existing: Tensor) -> Tensor:
    """Return the vectors with the birth strength of the paper.

    Args:
        look: with the scale.
        vectors: (lanes, units, entries).
        existing: weight of the existing units, (lanes, ...).
    """
    strength = look.parameters.scale or 0.0
    goal = torch.full_like(existing.flatten(1)[:, 0], strength)
    if look.parameters.scale_by == "mean_norm":
        goal = strength * existing.abs().flatten(1).mean(1)
    means = vectors.abs().sum(2, keepdim=True) / (vectors != 0).sum(2, keepdim=True).clamp(min=1)
    return vectors * goal.view(-1, 1, 1) / means.clamp(min=torch.finfo(vectors.dtype).tiny)
