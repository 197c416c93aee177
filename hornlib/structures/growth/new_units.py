"""What a rule of growth returns, and networks that have the new units."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn

from hornlib.models.lanes import make_lanes
from hornlib.models.units import with_new_units, with_zero_units
from hornlib.parameters import ModelParameters, UnitAxis
from hornlib.randomness import derive_seed
from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.interface import LaneView, Tensors

__all__ = ["GrownLanes", "NewUnits", "Rule", "grown_lanes"]


class NewUnits(NamedTuple):
    """New units of one layer, the same number in all lanes that grow.

    Attributes:
        tensors: name -> the entries of the new units, (lanes, ...), as `hornlib.models.units.with_new_units` takes
            them: incoming and outgoing weights. Entries that belong to new units of other layers may be left out at the
            end of an axis; they are 0. Absent incoming and outgoing weights and biases are 0; other absent tensors get
            the values of a fresh network.
        scores: the number that is stored with the event, (lanes,): the largest singular value of the layer's matrix G
            where the rule computes it, else NaN.
        changed: name -> all entries of the existing units, (lanes, ...), where the rule changes them, as Net2Net
            divides the outgoing weights of a unit among its copies.
        singular_values: of a rule by singular vectors, those of the new units, (lanes, units) descending; NaN for a
            unit beyond the rank of the matrix, whose direction is drawn. None for other rules.
    """

    tensors: Tensors
    scores: Tensor
    changed: Mapping[str, Tensor] = MappingProxyType({})
    singular_values: Tensor | None = None


Rule = Callable[[GrowthLook, Sequence[int], Mapping[int, int]], dict[int, NewUnits]]
"""(look, indices of the lanes that grow, layer -> number of its new units) -> the new units of every layer."""


class GrownLanes(NamedTuple):
    """Lanes with new units, as a `Change` of kind "grown" takes them.

    Attributes:
        model: parameters of the networks with the new units.
        parameters: their trained tensors, (lanes, ...).
        buffers: their fixed and running tensors, (lanes, ...).
        inherit: maps moments or ages of the old networks to those of the new ones, with zeros for new units.
    """

    model: ModelParameters
    parameters: Tensors
    buffers: Tensors
    inherit: Callable[[Tensors], Tensors]


def grown_lanes(view: LaneView, lanes: Sequence[int], units: Mapping[int, NewUnits]) -> GrownLanes:
    """Return lanes with new units. The layers are widened one after another, from the input to the output.

    Args:
        view: the lanes before growth.
        lanes: indices in the view of the lanes that grow.
        units: layer -> its new units.
    """
    model, axes = view.model, {layer: view.model.unit_axes(layer, view.task) for layer in sorted(units)}
    numbers = {layer: _number(units[layer], of_layer) for layer, of_layer in axes.items()}
    for layer, number in numbers.items():
        model = model.with_units(layer, model.units()[layer] + number)
    values = view.lanes.stacked(lanes)
    parameters = {name: tensor.detach() for name, tensor in values.parameters.items()}
    buffers = values.buffers
    fresh = _Fresh(model, view, lanes)
    for layer, number in numbers.items():
        parameters |= units[layer].changed
        new = _entries(axes[layer], units[layer], number, parameters | buffers, fresh)
        parameters = with_new_units(parameters, axes[layer], new)
        buffers = with_new_units(buffers, axes[layer], new)

    def inherit(tensors: Tensors) -> Tensors:
        for layer, number in numbers.items():
            tensors = with_zero_units(tensors, axes[layer], number)
        return tensors

    return GrownLanes(model, parameters, buffers, inherit)


def _number(units: NewUnits, axes: Sequence[UnitAxis]) -> int:
    """Return the number of new units of a layer, from any of their tensors."""
    axis = next(axis for axis in axes if axis.name in units.tensors)
    return units.tensors[axis.name].shape[axis.axis + 1] // axis.block


def _entries(
    axes: Sequence[UnitAxis], units: NewUnits, number: int, tensors: Tensors, fresh: "_Fresh"
) -> Tensors:
    """Return the entries of a layer's new units in all tensors of the network.

    Args:
        axes: of the layer.
        units: what the rule gives.
        number: of new units.
        tensors: of the networks before this layer is widened, with the new units of earlier layers.
        fresh: values that nobody gives.
    """
    bias = next(axis.name for axis in axes if axis.side == "incoming").removesuffix("weight") + "bias"
    entries = {}
    for axis in axes:
        if axis.name not in tensors:
            continue
        shape = list(tensors[axis.name].shape)
        shape[axis.axis + 1] = number * axis.block
        if axis.name in units.tensors:
            given = units.tensors[axis.name]
            missing = [
                (0, size - present) for size, present in zip(shape, given.shape, strict=True)
            ]  # entries of new units of earlier layers
            entries[axis.name] = nn.functional.pad(
                given, [side for pair in reversed(missing) for side in pair]
            )
        elif axis.side != "own" or axis.name == bias:
            entries[axis.name] = tensors[axis.name].new_zeros(shape)
        else:
            value = fresh.tensors[axis.name]
            entries[axis.name] = value.narrow(
                axis.axis + 1, value.shape[axis.axis + 1] - shape[axis.axis + 1], shape[axis.axis + 1]
            )
    return entries


class _Fresh:
    """Tensors of fresh networks, one for each lane, which are built only if they are asked for.

    Args:
        model: with the new units.
        view: the lanes before growth.
        lanes: indices in the view of the lanes that grow.
    """

    def __init__(self, model: ModelParameters, view: LaneView, lanes: Sequence[int]) -> None:
        self.model, self.view, self.lanes = model, view, lanes

    @cached_property
    def tensors(self) -> Tensors:
        """Name -> (lanes, ...), parameters and buffers."""
        view = self.view
        seeds = [derive_seed("growth", view.lanes.seeds[lane], view.step) for lane in self.lanes]
        group = make_lanes([self.model] * len(seeds), view.task, seeds, view.lanes.device)
        return {name: tensor.detach() for name, tensor in (group.parameters | group.buffers).items()}
