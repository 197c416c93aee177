"""Connections, active units and explored positions of sparse networks: what evaluations record of them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.grid.cell import Cell
from hornlib.models.compressed import masks_of, places_of, values_of
from hornlib.parameters import Weight
from hornlib.structures.connections.position_sets import num_positions
from hornlib.training.chunk import Chunk, Group

__all__ = ["Connectivity", "connectivity", "connectivity_remarks", "note_gradients_"]


class Connectivity(NamedTuple):
    """Connectivity of every lane, by layer from the input to the output. A layer is that of `Weight.layer`.

    Attributes:
        density: share of the positions of the layer's weights that hold a connection, (lanes, layers).
        active_units: number of units with an incoming and an outgoing connection, (lanes, layers). A unit of the last
            layer needs an incoming one alone. Sums around a layer, as in residual networks, are no connections here.
            NaN where no weight of the next layer reads the units of this one alone.
        explored: share of the positions of all sparse weights that have ever held a connection, (lanes,), which is R_s
            of Liu et al., Do we actually need dense over-parameterization?, ICML 2021; NaN where it is not known.
        gradient_reached: 1 where a connection of the layer has ever had a gradient, else 0, (lanes, layers); NaN for
            dense layers. One step out of up to 50 is looked at.
    """

    density: Tensor
    active_units: Tensor
    gradient_reached: Tensor
    explored: Tensor


def connectivity(chunk: Chunk, group: Group) -> Connectivity | None:
    """Return the connectivity of a group; None where no weight is sparse.

    Args:
        chunk: chunk of the group.
        group: the lanes.
    """
    masks = group.masks | masks_of(group.lanes.buffers)
    if not masks:
        return None
    task = chunk.cell.task()
    layers: dict[int, list[Weight]] = {}
    for weight in group.model.masked_form(task)[0].weights(task):
        layers.setdefault(weight.layer, []).append(weight)
    full = {
        weight.name: torch.ones((), dtype=torch.bool).expand(len(group.lanes), *weight.shape)
        for weights in layers.values()
        for weight in weights
    }
    masks = full | {name: mask.cpu() for name, mask in masks.items()}
    in_order = [layers[layer] for layer in sorted(layers)]
    following = [*in_order[1:], None]
    return Connectivity(
        torch.stack([_density(weights, masks) for weights in in_order], 1),
        torch.stack(
            [
                _active_units(weights, after, masks)
                for weights, after in zip(in_order, following, strict=True)
            ],
            1,
        ),
        torch.stack([_gradient_reached(weights, group) for weights in in_order], 1),
        _explored(group, {weight.name: weight.size for weights in in_order for weight in weights}),
    )


def note_gradients_(group: Group, gradients: Mapping[str, Tensor]) -> None:
    """Note in the memory, as `reached/<weight>`, (lanes,) bool, which sparse weights have had a gradient.

    Args:
        group: changed in place.
        gradients: parameter -> (lanes, ...).
    """
    parameters = {name: name for name in group.masks}
    for layer, _ in places_of(group.lanes.buffers):
        parameters[f"{layer}.weight"] = values_of(f"{layer}.weight")
    for weight, parameter in parameters.items():
        gradient = gradients[parameter]
        if weight in group.masks:
            gradient = gradient * group.masks[weight]  # it may be dense
        reached = gradient.flatten(1).any(1)
        before = group.memory.get(f"reached/{weight}")
        group.memory[f"reached/{weight}"] = reached if before is None else reached | before


def connectivity_remarks(cell: Cell, profiles: Mapping[str, Tensor]) -> list[str]:
    """Return sentences about layers that no gradient reached, and about units without inputs or outputs.

    Args:
        cell: of the runs.
        profiles: name -> (rows, evaluations, layers).
    """
    if "active_units" not in profiles:
        return []
    task, structure = cell.task(), cell.structure.name
    layers: dict[int, list[Weight]] = {}
    for weight in cell.model.masked_form(task)[0].weights(task):
        layers.setdefault(weight.layer, []).append(weight)
    remarks = []
    last = {name: profiles[name][:, -1] for name in ("active_units", "gradient_reached")}
    for position, layer in enumerate(sorted(layers)):
        unreached = int((last["gradient_reached"][:, position] == 0).sum())
        if unreached:
            remarks.append(f"{structure}: no gradient ever reached layer {layer} in {unreached} run(s)")
        inactive = _num_units(layers[layer]) - last["active_units"][:, position]
        inactive = inactive[inactive > 0]
        if len(inactive):
            remarks.append(
                f"{structure}: layer {layer} ends with units without inputs or without outputs in {len(inactive)} "
                f"run(s): {int(inactive.min())} to {int(inactive.max())} of {_num_units(layers[layer])}"
            )
    return remarks


def _num_units(weights: Sequence[Weight]) -> int:
    """Return the number of units of a layer. A gated layer has several rows for each unit."""
    recurrent = [weight for weight in weights if weight.role == "recurrent"]
    return recurrent[0].shape[1] if recurrent else weights[0].shape[0]


def _gradient_reached(weights: Sequence[Weight], group: Group) -> Tensor:
    """Return 1 where a sparse weight of the layer has had a gradient, else 0, (lanes,) float64; NaN without one."""
    names = (f"reached/{weight.name}" for weight in weights)
    reached = [group.memory[name] for name in names if name in group.memory]
    if not reached:
        return torch.full((len(group.lanes),), torch.nan, dtype=torch.float64)
    return torch.stack(reached).any(0).double().cpu()


def _density(weights: Sequence[Weight], masks: Mapping[str, Tensor]) -> Tensor:
    """Return the share of the positions of a layer's weights that hold a connection, (lanes,) float64."""
    connections = sum(masks[weight.name].flatten(1).sum(1) for weight in weights)
    return torch.as_tensor(connections).double() / sum(weight.size for weight in weights)


def _active_units(
    weights: Sequence[Weight], after: Sequence[Weight] | None, masks: Mapping[str, Tensor]
) -> Tensor:
    """Return the number of units of a layer that have incoming and outgoing connections, (lanes,) float64.

    Args:
        weights: of the layer.
        after: weights of the next layer; None for the last layer.
        masks: weight -> (lanes, outputs, inputs, ...) bool.
    """
    units = _num_units(weights)
    # The rows of a gated layer are those of its gates, one gate after the other.
    incoming = [masks[weight.name].flatten(2).any(2).unflatten(1, (-1, units)).any(1) for weight in weights]
    has_input = torch.stack(incoming).any(0)
    if after is None:
        return has_input.sum(1).double()
    readers = [weight for weight in after if weight.role != "recurrent" and weight.shape[1] == units]
    if not readers:
        return torch.full((len(has_input),), torch.nan, dtype=torch.float64)
    readers += [weight for weight in weights if weight.role == "recurrent"]
    outgoing = [masks[weight.name].transpose(1, 2).flatten(2).any(2) for weight in readers]
    return (has_input & torch.stack(outgoing).any(0)).sum(1).double()


def _explored(group: Group, sizes: Mapping[str, int]) -> Tensor:
    """Return the share of the positions of sparse weights that have ever held a connection, (lanes,) float64.

    Args:
        group: its memory has them as masks, or as sets of positions.
        sizes: weight -> number of its positions.
    """
    ever = {
        name.removeprefix("ever/"): tensor
        for name, tensor in group.memory.items()
        if name.startswith("ever/")
    }
    if not ever:
        return torch.full((len(group.lanes),), torch.nan, dtype=torch.float64)
    numbers = [
        tensor.flatten(1).sum(1) if tensor.dtype == torch.bool else num_positions(tensor)
        for tensor in ever.values()
    ]
    return torch.stack(numbers).sum(0).cpu().double() / sum(sizes[name] for name in ever)
