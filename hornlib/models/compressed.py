"""The two forms of a network with sparse layers: dense weights under masks, and values of connections.

Sparse layers are those of `hornlib.models.sparse_linear`; nothing else of the network matters. A weight such as
`linears.0.weight`, (lanes, outputs, inputs), has in the compressed form the parameter `linears.0.values`, (lanes,
connections), and a buffer for each field of `Places`, such as `linears.0.columns`. Weights without a mask and all other
tensors are the same in both forms. Nothing here changes its arguments.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.models.lanes import NetworkTensors
from hornlib.models.sparse_product import Places, make_places, ordered

__all__ = [
    "Move",
    "compressed",
    "masked",
    "masks_of",
    "move",
    "places_of",
    "positions_of",
    "relaid",
    "rewired",
    "values_of",
]

Tensors = Mapping[str, Tensor]


def compressed(parameters: Tensors, masks: Tensors) -> NetworkTensors:
    """Return the parameters of the compressed form, and the buffers that say where its connections stand.

    Moments of an optimiser and ages, named as the parameters, are converted alike. A weight whose mask is True
    everywhere stays dense, as in `ModelParameters.with_connections`.

    Args:
        parameters: of the dense form, name -> (lanes, ...).
        masks: weight -> (lanes, outputs, inputs) bool, True where a connection exists.

    Raises:
        ValueError: lanes differ in the number of connections of a weight.
    """
    masks = {name: mask for name, mask in masks.items() if not mask.all()}
    positions = {name: _positions(name, mask) for name, mask in masks.items()}
    values: dict[str, Tensor] = {}
    for name, tensor in parameters.items():
        if name in masks:
            values[values_of(name)] = tensor.flatten(1).gather(1, positions[name])
        else:
            values[name] = tensor
    buffers: dict[str, Tensor] = {}
    for name, mask in masks.items():
        _, num_outputs, num_inputs = mask.shape
        buffers |= _named(_layer(name), make_places(positions[name], (num_outputs, num_inputs)))
    return NetworkTensors(values, buffers)


def masked(tensors: Tensors, buffers: Tensors) -> dict[str, Tensor]:
    """Return parameters, gradients or moments of the dense form, with 0 where there is no connection.

    Args:
        tensors: named as the parameters of the compressed form, (lanes, ...).
        buffers: of the compressed form.
    """
    places = dict(places_of(buffers))
    weights: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer = name.removesuffix(".values")
        if layer in places:
            weights[f"{layer}.weight"] = _scattered(tensor, places[layer])
        else:
            weights[name] = tensor
    return weights


def masks_of(buffers: Tensors) -> dict[str, Tensor]:
    """Return weight -> (lanes, outputs, inputs) bool, True where a connection exists.

    Args:
        buffers: of the compressed form, (lanes, ...).
    """
    return {
        f"{layer}.weight": _scattered(torch.ones_like(places.columns, dtype=torch.bool), places)
        for layer, places in places_of(buffers)
    }


def positions_of(buffers: Tensors) -> dict[str, Tensor]:
    """Return weight -> row x inputs + column of each connection, (lanes, connections) int64, in ascending order.

    Args:
        buffers: of the compressed form, (lanes, ...).
    """
    return {f"{layer}.weight": places.positions() for layer, places in places_of(buffers)}


class Move(NamedTuple):
    """Connections of one weight that took other places.

    Attributes:
        positions: row x inputs + column of each connection from now on, (lanes, connections) int64, ascending.
        origin: index of each connection before the move, (lanes, connections) int64.
        is_new: whether it took another place, (lanes, connections) bool.
    """

    positions: Tensor
    origin: Tensor
    is_new: Tensor


def move(positions: Tensor, dropped: Tensor, grown: Tensor) -> Move:
    """Return the move of some connections to other places.

    Args:
        positions: before, (lanes, connections) int64, in ascending order.
        dropped: which connections give up their place, (lanes, connections) bool.
        grown: the places that they take, those of one lane after those of the other, int64, in any order.
    """
    after, origin = ordered(positions.masked_scatter(dropped, grown))
    return Move(after, origin, dropped.gather(1, origin))


def rewired(buffers: Tensors, moves: Mapping[str, Move]) -> dict[str, Tensor]:
    """Return the buffers of the places of connections that moved.

    Args:
        buffers: of the compressed form, (lanes, ...).
        moves: weight -> its move. The buffers of weights that are absent are absent from the result.
    """
    moved: dict[str, Tensor] = {}
    for layer, places in places_of(buffers):
        if f"{layer}.weight" in moves:
            moved |= _named(layer, make_places(moves[f"{layer}.weight"].positions, places.shape))
    return moved


def relaid(tensors: Tensors, moves: Mapping[str, Move]) -> dict[str, Tensor]:
    """Return parameters, moments or ages after moves: connections that stay keep theirs, new ones have 0.

    Args:
        tensors: named as the parameters of the compressed form, (lanes, ...).
        moves: weight -> its move. The tensors of weights that are absent are absent from the result.
    """
    return {
        name: tensors[name].gather(1, moved.origin).masked_fill(moved.is_new, 0)
        for name, moved in ((values_of(weight), moved) for weight, moved in moves.items())
        if name in tensors
    }


def places_of(buffers: Tensors) -> Iterator[tuple[str, Places]]:
    """Yield the name of each compressed layer, such as `linears.0`, and where its connections stand.

    Args:
        buffers: of the compressed form, (lanes, ...).
    """
    for name in buffers:
        layer, _, field = name.rpartition(".")
        if field == Places._fields[0]:
            yield layer, Places(*(buffers[f"{layer}.{part}"] for part in Places._fields))


def _positions(name: str, mask: Tensor) -> Tensor:
    """Return the positions of a mask, (lanes, connections)."""
    counts = mask.flatten(1).sum(1)
    if (counts != counts[0]).any():
        raise ValueError(f"{name}: lanes of a compressed network need equal counts, got {counts.tolist()}")
    return mask.flatten(1).nonzero()[:, 1].view(len(mask), -1)


def _scattered(values: Tensor, places: Places) -> Tensor:
    """Return the dense matrices, (lanes, outputs, inputs), of values (lanes, connections)."""
    num_outputs, num_inputs = places.shape
    flat = values.new_zeros(len(values), num_outputs * num_inputs)
    return flat.scatter_(1, places.positions(), values).unflatten(1, (num_outputs, num_inputs))


def _named(layer: str, places: Places) -> dict[str, Tensor]:
    return {f"{layer}.{field}": part for field, part in zip(Places._fields, places, strict=True)}


def values_of(weight: str) -> str:
    """Return the name of the parameter that holds the values of a weight such as `linears.0.weight`."""
    return f"{_layer(weight)}.values"


def _layer(weight: str) -> str:
    return weight.removesuffix(".weight")
