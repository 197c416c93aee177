"""Net2Net: new units are copies of others, and share their outgoing weights with them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hornlib.models.units import chosen_units, with_new_units
from hornlib.parameters import UnitAxis
from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits
from hornlib.structures.growth.unit_vectors import incoming, outgoing, tensor_of, unit_vectors

__all__ = ["net2net"]

SHARE_SPREAD = 0.1
"""Largest deviation of a copy's share from the mean, relative to the mean."""


def net2net(look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]) -> dict[int, NewUnits]:
    """Return copies of units that are drawn at random. The copies of a unit share its outgoing weights.

    The sum of the shares of a unit and its copies is 1, so that the function stays, also behind a batch norm, whose
    scales and running statistics are copied too. The published shares are equal. Then copies would have equal gradients
    for ever, unless noise or dropout parts them. Here the shares differ by up to a tenth, so that the gradients do.
    With `copy_noise`, noise is added to the incoming weights of copies, and the function changes.

    Args:
        look: at the lanes.
        lanes: indices in the view of the lanes that grow.
        numbers: layer -> number of its new units.

    Reference:
        Chen, Goodfellow and Shlens 2016, Net2Net: Accelerating Learning via Knowledge Transfer, section 2.2.
    """
    values = look.view.lanes.stacked(lanes)
    tensors = {name: tensor.detach() for name, tensor in (values.parameters | values.buffers).items()}
    units = {}
    for layer, number in sorted(numbers.items()):  # copies of a layer read the copies of the one before
        axes, num_units = look.axes(layer), look.view.model.units()[layer]
        draws = look.draws("net2net", layer, lanes)
        sources = torch.stack([torch.randint(num_units, (number,), generator=draw) for draw in draws])
        shares = torch.stack(
            [_shares(source, num_units, draw) for source, draw in zip(sources, draws, strict=True)]
        )
        copies = chosen_units(tensors, axes, sources)
        new = {axis.name: copies[axis.name] for axis in axes if axis.name in tensors}
        out, into = outgoing(axes), incoming(axes)
        changed = {out.name: _scaled(tensors[out.name], out, shares[:, :num_units])}
        new[out.name] = _scaled(new[out.name], out, shares[:, num_units:])
        noise = look.parameters.copy_noise or 0.0
        if noise:
            deviation = tensors[into.name].flatten(1).std(1)
            normal = torch.stack([torch.randn(new[into.name].shape[1:], generator=draw) for draw in draws])
            factors = (noise * deviation).view(-1, *[1] * (normal.dim() - 1))
            new[into.name] = new[into.name] + factors * normal.to(new[into.name])
        units[layer] = NewUnits(new, torch.full((len(lanes),), torch.nan), changed)
        tensors = with_new_units(tensors | changed, axes, new)
    return units


def _shares(sources: Tensor, num_units: int, draw: torch.Generator) -> Tensor:
    """Return the shares of outgoing weights of the units and their copies, (units + copies,).

    Args:
        sources: the unit that each copy is of, (copies,).
        num_units: number of units.
        draw: draws the deviations.
    """
    groups = torch.cat([torch.arange(num_units), sources])
    sizes = torch.bincount(groups, minlength=num_units).float()
    deviations = SHARE_SPREAD * (2 * torch.rand(len(groups), generator=draw) - 1)
    means = torch.zeros(num_units).index_add(0, groups, deviations) / sizes
    return (1 + deviations - means[groups]) / sizes[groups]


def _scaled(tensor: Tensor, axis: UnitAxis, factors: Tensor) -> Tensor:
    """Return the tensor with the entries of every unit times its factor.

    Args:
        tensor: (lanes, ...).
        axis: where the units stand in it.
        factors: (lanes, units).
    """
    return tensor_of(unit_vectors(tensor, axis) * factors.to(tensor).unsqueeze(2), axis, tensor)
