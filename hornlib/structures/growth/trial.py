"""Networks with new units whose weights are tried: losses and gradients of the new weights alone."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.models.build import build_network
from hornlib.models.lanes import LaneGroup
from hornlib.parameters import UnitAxis
from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits, grown_lanes
from hornlib.structures.growth.unit_vectors import incoming, outgoing, tensor_of, unit_vectors

__all__ = ["Trial", "UnitWeights", "virtual_matrix", "zero_weights"]


class UnitWeights(NamedTuple):
    """Weights of the new units of one layer, or their gradients.

    Attributes:
        incoming: (lanes, units, incoming numbers).
        outgoing: (lanes, units, outgoing numbers).
    """

    incoming: Tensor
    outgoing: Tensor

    def new_units(self, look: GrowthLook, layer: int, lanes: Sequence[int]) -> NewUnits:
        """Return them as a rule returns them, without a score.

        Args:
            look: of the rule.
            layer: position in `units()`.
            lanes: indices in the view.
        """
        sides = zip(look.sides(layer, lanes), self, strict=True)
        tensors = {axis.name: tensor_of(vectors, axis, weight) for (weight, axis), vectors in sides}
        return NewUnits(tensors, torch.full((len(lanes),), torch.nan))


def zero_weights(look: GrowthLook, layer: int, lanes: Sequence[int], number: int) -> UnitWeights:
    """Return weights of 0.

    Args:
        look: says how many numbers a unit has.
        layer: position in `units()`.
        lanes: indices in the view.
        number: of new units.
    """
    vectors = [unit_vectors(*side) for side in look.sides(layer, lanes)]
    return UnitWeights(*(vector.new_zeros(len(lanes), number, vector.shape[2]) for vector in vectors))


class Trial:
    """Lanes with new units in some layers. Nothing but the weights of the new units changes.

    New units of one layer do not read those of another.

    Args:
        look: at the lanes before growth.
        lanes: indices in the view of the lanes that are tried.
        numbers: layer -> number of its new units.
    """

    def __init__(self, look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]) -> None:
        view = look.view
        self.look, self.lanes, self.numbers = look, list(lanes), dict(numbers)
        units = {
            layer: zero_weights(look, layer, lanes, number).new_units(look, layer, lanes)
            for layer, number in numbers.items()
        }
        grown = grown_lanes(view, lanes, units)
        self.model = grown.model
        network = build_network(grown.model, view.task, seed=0).to(view.lanes.device)
        dtype = next(iter(grown.parameters.values())).dtype
        self._group = LaneGroup(
            network.to(dtype), [view.lanes.seeds[lane] for lane in lanes], grown.parameters, grown.buffers
        )
        self._buffers = grown.buffers
        self._batches = list(look.batches(lanes))

    def losses(self, weights: Mapping[int, UnitWeights]) -> Tensor:
        """Return the mean loss of every lane over the batches of the look, (lanes,).

        Args:
            weights: layer -> weights of its new units.
        """
        self._write(weights)
        with torch.no_grad():
            losses = torch.stack([self._losses(*batch) for batch in self._batches]).mean(0)
        self.look.count(len(self._batches) * self.look.view.gradient_flops(self.model) // 3, self.lanes)
        return losses

    def gradients(self, weights: Mapping[int, UnitWeights]) -> dict[int, UnitWeights]:
        """Return the gradients of the mean loss with respect to the weights of the new units.

        Args:
            weights: layer -> weights of its new units.
        """
        self._write(weights)
        tensors = self._group.parameters
        names = list(dict.fromkeys(axis.name for layer in weights for axis in self._sides(layer)))
        sums = [torch.zeros_like(tensors[name]) for name in names]
        for batch in self._batches:
            loss = self._losses(*batch).sum()
            torch._foreach_add_(sums, torch.autograd.grad(loss, [tensors[name] for name in names]))
        self.look.count(len(self._batches) * self.look.view.gradient_flops(self.model), self.lanes)
        means = {name: total / len(self._batches) for name, total in zip(names, sums, strict=True)}
        return {
            layer: UnitWeights(
                *(
                    unit_vectors(means[axis.name], axis)[:, -self.numbers[layer] :, : vectors.shape[2]]
                    for axis, vectors in zip(self._sides(layer), of_layer, strict=True)
                )
            )
            for layer, of_layer in weights.items()
        }

    def _sides(self, layer: int) -> tuple[UnitAxis, UnitAxis]:
        axes = self.look.axes(layer)
        return incoming(axes), outgoing(axes)

    def _losses(self, inputs: Tensor, targets: Tensor) -> Tensor:
        self._group.buffers = self.look.own_buffers(self._buffers, self.lanes)
        return self.look.view.loss(self._group.forward(inputs, training=True).logits, targets)

    @torch.no_grad()
    def _write(self, weights: Mapping[int, UnitWeights]) -> None:
        """Write weights of new units into the networks."""
        for layer, of_layer in weights.items():
            entries = of_layer.new_units(self.look, layer, self.lanes).tensors
            for axis in self._sides(layer):
                new, tensor = entries[axis.name], self._group.parameters[axis.name]
                place = tensor.detach().narrow(
                    axis.axis + 1,
                    tensor.shape[axis.axis + 1] - new.shape[axis.axis + 1],
                    new.shape[axis.axis + 1],
                )
                place[tuple(slice(size) for size in new.shape)].copy_(new)


def virtual_matrix(look: GrowthLook, layer: int) -> Tensor:
    """Return f'(0) G of a layer by virtual units, (looked-at lanes, outgoing numbers, incoming numbers) of a unit.

    The network is widened by one virtual unit for each outgoing number. Its incoming weights are 0, and its outgoing
    weights are a basis vector. The gradients of the incoming weights are the rows of the matrix. Strides, borders,
    pools, norms and residual sums are right by construction.

    Args:
        look: at the lanes.
        layer: position in `units()`.
    """
    _, outgoing_side = look.sides(layer, look.lanes)
    number = unit_vectors(*outgoing_side).shape[2]
    virtual = zero_weights(look, layer, look.lanes, number)
    basis = torch.eye(number).to(virtual.outgoing).expand_as(virtual.outgoing)
    trial = Trial(look, look.lanes, {layer: number})
    return trial.gradients({layer: virtual._replace(outgoing=basis)})[layer].incoming
