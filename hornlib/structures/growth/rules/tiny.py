"""TINY: the new units that do best what the existing weights cannot, in closed form."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hornlib.structures.growth.gradient_matrix import Junction, read_by
from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits
from hornlib.structures.growth.rules.drawn import drawn_vectors
from hornlib.structures.growth.singular_vectors import (
    in_float64,
    rank,
    singular_vectors,
    singular_vectors_flops,
)
from hornlib.structures.growth.trial import Trial, UnitWeights, zero_weights
from hornlib.structures.growth.unit_vectors import mean_norms

__all__ = ["closed_form", "tiny"]

AMPLITUDES = (4.0, 1.0, 0.25, 2.0**-4, 2.0**-6, 2.0**-8, 0.0)
"""Factors on what new units add, of which the line search takes the one with the lowest loss. 1 adds as much as a step
of length 1 along the negative gradient of z would, where this is possible. 0 adds nothing."""

THRESHOLD = 1e-6
"""Eigenvalues of covariances below this share of the largest one count as 0."""


def tiny(look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]) -> dict[int, NewUnits]:
    """Return the units that come closest to the step which lowers the loss most, and which existing weights cannot do.

    Let v = -dl/dz of each example be that step, and u = v - D h the part of it that no change D of the outgoing weights
    of existing units can do. With S = E[x x^T] and N = E[x u^T], the new units are

        S^(-1/2) N = sum over k of s_k p_k q_k^T,    incoming sqrt(s_k) S^(-1/2) p_k,    outgoing sqrt(s_k) q_k,

    the k of the largest s_k: the best approximation of u of that rank, for an activation f with f(0) = 0 and to first
    order in it. A slope f'(0) other than 1 and norms behind the units are left to the line search. For kernels of
    several pixels, the x of all pixels share one S. A line search over `AMPLITUDES` scales all layers of a lane. Units
    beyond the rank have random incoming weights and outgoing weights 0, and so have all units of a lane whose loss no
    amplitude lowers. The function changes.

    Args:
        look: at the lanes.
        lanes: indices in the view of the lanes that grow.
        numbers: layer -> number of its new units.

    Reference:
        Verbockhaven et al. 2024, Growing Tiny Networks: Spotting Expressivity Bottlenecks and Fixing Them Optimally,
        section 3. Existing weights are not changed.
    """
    rows = look.rows(lanes)
    weights = {
        layer: UnitWeights(*(side[rows] for side in sides))
        for layer, sides in closed_form(look, numbers).items()
    }
    trial = Trial(look, lanes, numbers)
    losses = [trial.losses(_scaled(weights, torch.tensor(amplitude))) for amplitude in AMPLITUDES]
    best = torch.stack(losses).nan_to_num(torch.inf).argmin(0).cpu()
    chosen = _scaled(weights, torch.tensor(AMPLITUDES)[best].view(-1, 1, 1))
    return {
        layer: _filled(look, lanes, layer, sides).new_units(look, layer, lanes)
        for layer, sides in chosen.items()
    }


def _scaled(weights: Mapping[int, UnitWeights], amplitudes: Tensor) -> dict[int, UnitWeights]:
    """Return the weights of units that add `amplitudes` times as much, to first order in the activation.

    Args:
        weights: layer -> weights of its units.
        amplitudes: one number, or (lanes, 1, 1).
    """
    return {
        layer: UnitWeights(*(side * amplitudes.sqrt().to(side) for side in sides))
        for layer, sides in weights.items()
    }


def closed_form(look: GrowthLook, numbers: Mapping[int, int]) -> dict[int, UnitWeights]:
    """Return the new units of every layer at amplitude 1 for the looked-at lanes; those beyond the rank are 0.

    Args:
        look: at the lanes.
        numbers: layer -> number of its new units.
    """
    batches: dict[int, list[list[_Batch]]] = {layer: [] for layer in numbers}
    junctions: dict[int, Junction] = {}
    for junctions in look.passes(list(numbers)):
        for layer, junction in junctions.items():
            of_lanes = zip(junction.inputs, junction.readings, junction.gradients, strict=True)
            batches[layer].append([_Batch(*map(in_float64, tensors)) for tensors in of_lanes])
    solutions = {}
    for layer, number in numbers.items():
        weights = zero_weights(look, layer, look.lanes, number)
        for lane, of_lane in enumerate(zip(*batches[layer], strict=True)):
            incoming, outgoing, flops = _best_units(junctions[layer], of_lane, number)
            weights.incoming[lane, : len(incoming)] = incoming.to(weights.incoming)
            weights.outgoing[lane, : len(outgoing)] = outgoing.to(weights.outgoing)
            look.count(flops, look.lanes[lane : lane + 1])
        solutions[layer] = weights
    return solutions


class _Batch(NamedTuple):
    """What one batch of one lane leaves at a junction, in float64; see `Junction`."""

    inputs: Tensor
    readings: Tensor
    gradients: Tensor

    @property
    def step(self) -> Tensor:
        """v = -dl/dz, (batch, ...), for the loss l of each example, whose mean over the batch is L."""
        return -len(self.gradients) * self.gradients


def _best_units(junction: Junction, batches: Sequence[_Batch], number: int) -> tuple[Tensor, Tensor, int]:
    """Return incoming and outgoing vectors, (units, entries) float64 each, and the FLOPs of computing them.

    Args:
        junction: of the layer.
        batches: of one lane.
        number: most units.
    """
    covariance, products, flops = _moments(junction, batches)
    root = _power(covariance, -0.5)
    values, left, right = (tensor[0] for tensor in singular_vectors((products @ root).unsqueeze(0)))
    num_units = min(number, *rank(values.unsqueeze(0), *products.shape))
    lengths = values[:num_units].sqrt().unsqueeze(1)
    flops += 9 * len(root) ** 3 + 2 * products.numel() * len(root) + singular_vectors_flops(*products.shape)
    return lengths * (right[:num_units] @ root), lengths * left[:num_units], flops


def _moments(junction: Junction, batches: Sequence[_Batch]) -> tuple[Tensor, Tensor, int]:
    """Return S = E[x x^T], E[u x^T] with the outgoing numbers in its rows, and the FLOPs of computing them.

    Args:
        junction: of the layer.
        batches: of one lane.
    """
    readings = [_as_columns(junction.reader, batch.readings) for batch in batches]
    steps = [_channels(batch.step) for batch in batches]
    squares = _sum(h @ h.T for h in readings)
    change = _sum(v @ h.T for v, h in zip(steps, readings, strict=True)) @ _power(squares, -1.0)
    flops, covariances, products = 9 * len(squares) ** 3, [], []
    for batch, v, h in zip(batches, steps, readings, strict=True):
        left = (v - change @ h).unflatten(1, (len(batch.step), -1)).transpose(0, 1).reshape_as(batch.step)
        maps = junction.maps(batch.inputs)
        x = _channels(maps)
        share = h.shape[1] / x.shape[1]  # each number of a kernel meets so many of the positions
        covariances.append(x @ x.T * share)
        products.append(junction.matrix(maps, left))
        flops += 2 * h.numel() * (len(h) + 2 * len(v)) + 2 * x.numel() * len(x)
        flops += 2 * products[-1].numel() * h.shape[1]
    num_examples = sum(len(batch.inputs) for batch in batches)
    return _sum(covariances) / num_examples, _sum(products) / num_examples, flops


def _sum(matrices: Iterable[Tensor]) -> Tensor:
    """Return the sum of matrices (rows, columns)."""
    return torch.stack(list(matrices)).sum(0)


def _channels(tensor: Tensor) -> Tensor:
    """Return (channels or features, examples and positions) of (batch, channels or features, ...)."""
    return tensor.transpose(0, 1).flatten(1)


def _as_columns(reader: nn.Module, readings: Tensor) -> Tensor:
    """Return what each weight of an output reads, and a row of ones for a bias, (weights, examples and positions).

    Args:
        reader: convolution or fully connected layer.
        readings: of one lane, (batch, ...).
    """
    columns = _channels(read_by(reader, readings))
    if reader.bias is None:
        return columns
    return torch.cat([columns, torch.ones_like(columns[:1])])


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Return a negative power of a symmetric matrix without its eigenvalues that are 0 but for rounding.

    Args:
        matrix: (entries, entries) float64, positive semi-definite.
        exponent: below 0.
    """
    values, vectors = torch.linalg.eigh(matrix)
    is_large = values > THRESHOLD * values[-1]
    powers = values.where(is_large, torch.ones_like(values)).pow(exponent) * is_large
    return (vectors * powers) @ vectors.mT


def _filled(look: GrowthLook, lanes: Sequence[int], layer: int, weights: UnitWeights) -> UnitWeights:
    """Return the weights with random incoming ones, of the mean length of the existing units', for units that are 0.

    Args:
        look: at the lanes.
        lanes: indices in the view of the lanes that grow.
        layer: position in `units()`.
        weights: of the new units.
    """
    lengths = mean_norms(*look.sides(layer, lanes)[0]).view(-1, 1, 1)
    drawn = drawn_vectors(look, lanes, layer, weights.incoming, "incoming") * lengths
    is_empty = (weights.outgoing == 0).all(2, keepdim=True)
    return weights._replace(incoming=torch.where(is_empty, drawn, weights.incoming))
