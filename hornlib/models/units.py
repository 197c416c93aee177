"""Units that come and go: tensors of lanes with further units, or with some of their units, by the axes of a model."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hornlib.parameters import UnitAxis

__all__ = ["chosen_units", "with_new_units", "with_zero_units"]


def with_new_units(
    tensors: Mapping[str, Tensor], axes: Sequence[UnitAxis], new: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the tensors with the entries of new units behind those of the others.

    Args:
        tensors: name -> (lanes, ...). Those that no axis names stay.
        axes: of the layer that is widened; those of tensors that are absent do not matter.
        new: name -> entries of the new units, (lanes, ...), as many along the axis as the new units own.
    """
    widened = dict(tensors)
    for axis in axes:
        if axis.name in widened:
            widened[axis.name] = torch.cat([widened[axis.name], new[axis.name]], axis.axis + 1)
    return widened


def with_zero_units(
    tensors: Mapping[str, Tensor], axes: Sequence[UnitAxis], number: int
) -> dict[str, Tensor]:
    """Return the tensors with zeros for new units: what moments and ages of new weights are.

    Args:
        tensors: name -> (lanes, ...). Those that no axis names stay.
        axes: of the layer that is widened.
        number: of the new units.
    """
    zeros = {}
    for axis in axes:
        if axis.name in tensors:
            shape = list(tensors[axis.name].shape)
            shape[axis.axis + 1] = number * axis.block
            zeros[axis.name] = tensors[axis.name].new_zeros(shape)
    return with_new_units(tensors, axes, zeros)


def chosen_units(tensors: Mapping[str, Tensor], axes: Sequence[UnitAxis], units: Tensor) -> dict[str, Tensor]:
    """Return the tensors with some units of a layer alone.

    Args:
        tensors: name -> (lanes, ...). Those that no axis names stay.
        axes: of the layer that is narrowed.
        units: indices of the units that stay, in their new order, (lanes, units) int64.
    """
    chosen = dict(tensors)
    for name, axis, _, block in axes:
        if name in chosen:
            by_unit = chosen[name].unflatten(axis + 1, (-1, block))
            index = units.to(by_unit.device).view(
                len(units), *[1] * axis, -1, *[1] * (by_unit.dim() - axis - 2)
            )
            index = index.expand(*by_unit.shape[: axis + 1], units.shape[1], *by_unit.shape[axis + 2 :])
            chosen[name] = by_unit.gather(axis + 1, index).flatten(axis + 1, axis + 2)
    return chosen
