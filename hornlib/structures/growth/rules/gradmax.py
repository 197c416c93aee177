"""GradMax: the outgoing weights that give new units the largest gradient."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits
from hornlib.structures.growth.singular_vectors import (
    SingularVectors,
    leading_signs,
    orthonormal_rows,
    rank,
)
from hornlib.structures.growth.trial import Trial, UnitWeights, zero_weights
from hornlib.structures.growth.unit_vectors import mean_norms

__all__ = ["gradmax"]

SMALL = 1e-3
"""Incoming weights of the units that find out the signs, relative to the mean length of the existing units'."""

CLEAR_DIFFERENCE = 1e-3
"""Difference between the gradients in two half-spaces, relative to both, from which on it decides the sign."""


def gradmax(look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]) -> dict[int, NewUnits]:
    """Return units with incoming weights 0 and the top left singular vectors of G as outgoing weights.

    Among all orthonormal outgoing vectors v_1 ... v_k, these give the incoming weights the largest gradient: its norm
    is c |f'(0)| sqrt(s_1^2 + ... + s_k^2) with the singular values s of G and the length c of the vectors.

    The sign of a singular vector is arbitrary. The first step makes the unit respond to one half-space of its inputs;
    the sign decides which one, and behind a relu the other one is lost. The half-space is chosen whose examples
    contribute more to the gradient. Where both contribute the same to within a thousandth, as with odd activations, the
    first large entry of the vector is positive (`leading_signs`). Both rules stand still under rounding.

    Behind cross-entropy, G has at most as many singular values other than 0 as there are classes but one. Directions
    that are orthogonal to all singular vectors never receive a gradient. Further units are therefore Gaussian, and
    orthogonal to each other alone; their singular values are NaN.

    Args:
        look: with the matrices G.
        lanes: indices in the view of the lanes that grow.
        numbers: layer -> number of its new units.

    Reference:
        Evci et al. 2022, GradMax, section 3.2. As in the published code, all outgoing vectors have the same length.
    """
    look.matrices(numbers.keys())  # of all layers at once
    rows = look.rows(lanes)
    vectors = {layer: look.singular_vectors(layer).chosen(rows, number) for layer, number in numbers.items()}
    signs = _signs(look, lanes, vectors)
    units = {}
    for layer, number in numbers.items():
        weights = zero_weights(look, layer, lanes, number)
        directions, values = _directions(look, lanes, layer, vectors[layer], signs[layer], number)
        lengths = look.new_norms(layer, lanes)[1].view(-1, 1, 1)
        outgoing = directions.to(lengths) * lengths
        units[layer] = (
            weights._replace(outgoing=outgoing)
            .new_units(look, layer, lanes)
            ._replace(scores=vectors[layer].values[:, 0], singular_values=values)
        )
    return units


def _signs(
    look: GrowthLook, lanes: Sequence[int], vectors: Mapping[int, SingularVectors]
) -> dict[int, Tensor]:
    """Return the signs of the left singular vectors, layer -> (lanes, vectors) of 1 and -1.

    A pair of units with small incoming weights is tried for each vector: one as it is after a step with this sign, and
    one as it is after a step with the other sign.

    Args:
        look: at the lanes.
        lanes: indices in the view of the lanes that grow.
        vectors: layer -> its singular vectors.
    """
    trial = Trial(look, lanes, {layer: 2 * of_layer.left.shape[1] for layer, of_layer in vectors.items()})
    pairs = {}
    for layer, (_, left, right) in vectors.items():
        into, out = (SMALL * mean_norms(*side).view(-1, 1, 1) for side in look.sides(layer, lanes))
        pairs[layer] = UnitWeights(
            torch.cat([-right.to(into) * into, right.to(into) * into], 1),
            torch.cat([left.to(out) * out, -left.to(out) * out], 1),
        )
    gradients = trial.gradients(pairs)
    signs = {}
    for layer, (_, left, right) in vectors.items():
        first, second = gradients[layer].incoming.chunk(2, 1)
        plus, minus = (first * right.to(first)).sum(2), -(second * right.to(second)).sum(2)
        is_clear = (plus - minus).abs() > CLEAR_DIFFERENCE * (plus.abs() + minus.abs())
        signs[layer] = torch.where(is_clear, (plus - minus).sign(), leading_signs(left).to(plus))
    return signs


def _directions(
    look: GrowthLook,
    lanes: Sequence[int],
    layer: int,
    vectors: SingularVectors,
    signs: Tensor,
    number: int,
) -> tuple[Tensor, Tensor]:
    """Return outgoing directions of length 1, (lanes, units, outgoing numbers), and their singular values.

    Args:
        look: at the lanes.
        lanes: indices in the view of the lanes that grow.
        layer: position in `units()`.
        vectors: the largest ones.
        signs: of the left vectors.
        number: of new units; there may be fewer vectors.
    """
    num_lanes, num_vectors, size = vectors.left.shape
    directions = vectors.left.new_zeros(num_lanes, number, size)
    values = vectors.values.new_full((num_lanes, number), torch.nan)
    directions[:, :num_vectors] = vectors.left * signs.unsqueeze(2)
    values[:, :num_vectors] = vectors.values
    ranks = rank(vectors.values, size, vectors.right.shape[2])
    for lane, draw in enumerate(look.draws("further directions", layer, lanes)):
        start = min(ranks[lane], number)
        directions[lane, start:] = orthonormal_rows(number - start, size, draw).to(directions)
        values[lane, start:] = torch.nan
    return directions, values
