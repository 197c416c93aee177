"""What a rule of growth looks at: the lanes, batches that no training step takes, and the work that looking takes."""

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor

from hornlib.models.dropout import has_dropout, set_dropout_keys_
from hornlib.models.lanes import LaneGroup, chosen_lanes
from hornlib.parameters import UnitAxis
from hornlib.randomness import derive_seed, generator
from hornlib.structures.growth.gradient_matrix import Junction, watched
from hornlib.structures.growth.parameters import GrowthParameters
from hornlib.structures.growth.singular_vectors import (
    SingularVectors,
    singular_vectors,
    singular_vectors_flops,
)
from hornlib.structures.growth.unit_vectors import incoming, mean_norms, outgoing
from hornlib.structures.interface import LaneView, Tensors

__all__ = ["GrowthLook"]


class GrowthLook:
    """One look at lanes of a view. What was computed once is there for the trigger, for the place and for the rule.

    Args:
        view: the lanes.
        parameters: of the structure.
        lanes: indices in the view of the lanes that are looked at; None: all.

    Attributes:
        view, parameters: as given.
        lanes: indices in the view of the lanes that are looked at.
        flops: for each lane of the view, the work up to now.
    """

    def __init__(
        self, view: LaneView, parameters: GrowthParameters, lanes: Sequence[int] | None = None
    ) -> None:
        self.view, self.parameters = view, parameters
        self.lanes = list(range(len(view.lanes))) if lanes is None else list(lanes)
        self.flops = [0] * len(view.lanes)
        self._matrices: dict[int, Tensor] = {}
        self._singular_vectors: dict[int, SingularVectors] = {}

    def axes(self, layer: int) -> list[UnitAxis]:
        """Return the axes of a layer's units."""
        return self.view.model.unit_axes(layer, self.view.task)

    def sides(
        self, layer: int, lanes: Sequence[int]
    ) -> tuple[tuple[Tensor, UnitAxis], tuple[Tensor, UnitAxis]]:
        """Return the incoming and the outgoing weight of a layer's units, (lanes, ...), each with its axis.

        Args:
            layer: position in `units()`.
            lanes: indices in the view.
        """
        axes, chosen = self.axes(layer), chosen_lanes(lanes)
        into, out = incoming(axes), outgoing(axes)
        values = self.view.lanes.parameters
        return (chosen(values[into.name].detach()), into), (chosen(values[out.name].detach()), out)

    def new_norms(self, layer: int, lanes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the lengths that new vectors of incoming and of outgoing weights shall have, (lanes,) each.

        They are `scale` times the mean length of the existing units' vectors, or `scale` itself.

        Args:
            layer: position in `units()`.
            lanes: indices in the view.
        """
        scale = self.parameters.scale or 0.0
        before, behind = (mean_norms(*side) for side in self.sides(layer, lanes))
        if self.parameters.scale_by == "fixed":
            return torch.full_like(before, scale), torch.full_like(behind, scale)
        return scale * before, scale * behind

    def draws(self, purpose: str, layer: int, lanes: Sequence[int]) -> list[torch.Generator]:
        """Return one generator for each lane, which follows from its seed, the step, the layer and the purpose.

        Args:
            purpose: name of what is drawn.
            layer: position in `units()`.
            lanes: indices in the view.
        """
        seeds = self.view.lanes.seeds
        return [generator("growth", purpose, seeds[lane], self.view.step, layer) for lane in lanes]

    def batches(self, lanes: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of the look: inputs (lanes, batch, ...) and targets; every call yields the same ones.

        Args:
            lanes: indices in the view.
        """
        chosen = chosen_lanes(lanes)
        for inputs, targets in self.view.batches(self.parameters.batches):
            yield chosen(inputs), chosen(targets)

    def own_buffers(self, buffers: Tensors, lanes: Sequence[int]) -> Tensors:
        """Return copies of buffers, since training mode writes into them, with dropout masks of this step.

        Args:
            buffers: name -> (lanes, ...).
            lanes: indices in the view.
        """
        copies = {name: tensor.clone() for name, tensor in buffers.items()}
        if has_dropout(copies):
            keys = [derive_seed("dropout", self.view.lanes.seeds[lane], self.view.step) for lane in lanes]
            set_dropout_keys_(copies, torch.tensor(keys, device=self.view.lanes.device))
        return copies

    def count(self, flops: int, lanes: Sequence[int]) -> None:
        """Add work to that of some lanes.

        Args:
            flops: of each of these lanes.
            lanes: indices in the view.
        """
        for lane in lanes:
            self.flops[lane] += flops

    def matrices(self, layers: Collection[int]) -> dict[int, Tensor]:
        """Return the matrix G of some layers, layer -> (looked-at lanes, outgoing numbers, incoming numbers) of a unit.

        It is the mean over the batches; see `hornlib.structures.growth.gradient_matrix`.

        Args:
            layers: positions in `units()`.
        """
        missing = sorted(set(layers) - self._matrices.keys())
        if missing:
            self._matrices |= self._computed(missing)
        return {layer: self._matrices[layer] for layer in layers}

    def singular_vectors(self, layer: int) -> SingularVectors:
        """Return the singular values and vectors of the matrix G of a layer, for the looked-at lanes."""
        if layer not in self._singular_vectors:
            matrix = self.matrices([layer])[layer]
            self.count(singular_vectors_flops(*matrix.shape[1:]), self.lanes)
            self._singular_vectors[layer] = singular_vectors(matrix)
        return self._singular_vectors[layer]

    def part(self, lanes: Sequence[int]) -> "GrowthLook":
        """Return a look at some of the looked-at lanes, which has what this one has computed. Its work counts anew.

        Args:
            lanes: indices in the view.
        """
        part, rows = GrowthLook(self.view, self.parameters, lanes), self.rows(lanes)
        part._matrices = {layer: matrix[rows] for layer, matrix in self._matrices.items()}
        part._singular_vectors = {
            layer: SingularVectors(*(tensor[rows] for tensor in vectors))
            for layer, vectors in self._singular_vectors.items()
        }
        return part

    def rows(self, lanes: Sequence[int]) -> list[int]:
        """Return the places of lanes among the looked-at lanes.

        Args:
            lanes: indices in the view.
        """
        return [self.lanes.index(lane) for lane in lanes]

    def passes(self, layers: Sequence[int]) -> Iterator[dict[int, Junction]]:
        """Yield what each batch leaves at the junctions of some layers, for the looked-at lanes.

        The passes run in training mode, and the networks stay as they are. They are counted with the gradients of the
        weights, which they do without.

        Args:
            layers: positions in `units()`.
        """
        lanes: LaneGroup = self.view.lanes.keep(self.lanes)
        lanes = lanes.with_buffers(self.own_buffers(lanes.buffers, self.lanes))
        junctions = {layer: Junction(lanes.network, layer, self.axes(layer)) for layer in layers}
        for inputs, targets in self.batches(self.lanes):
            with watched(junctions.values()):
                loss = self.view.loss(lanes.forward(inputs, training=True).logits, targets).sum()
            gradients = torch.autograd.grad(loss, [junction.outputs for junction in junctions.values()])
            for junction, gradient in zip(junctions.values(), gradients, strict=True):
                junction.note_gradient(gradient)
            self.count(self.view.gradient_flops(self.view.model), self.lanes)
            yield junctions

    def _computed(self, layers: Sequence[int]) -> dict[int, Tensor]:
        sums, num_batches = dict[int, Tensor](), 0
        for junctions in self.passes(layers):
            num_batches += 1
            for layer, junction in junctions.items():
                pairs = zip(junction.inputs, junction.gradients, strict=True)
                matrix = torch.stack([junction.matrix(junction.maps(x), gradient) for x, gradient in pairs])
                sums[layer] = sums[layer] + matrix if layer in sums else matrix
                self.count(2 * matrix[0].numel() * junction.num_places, self.lanes)
        return {layer: total / num_batches for layer, total in sums.items()}
