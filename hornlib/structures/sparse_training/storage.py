"""The two ways to store connections: dense weights under masks, and the values of connections alone."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import torch

from hornlib.models.compressed import compressed, masked, masks_of, move, positions_of, relaid, rewired
from hornlib.parameters import ModelParameters
from hornlib.structures.connections.masks import true_places
from hornlib.structures.connections.position_sets import position_set, with_positions
from hornlib.structures.interface import Change, ChangedLayer, LaneView, Tensors
from hornlib.structures.sparse_training.rules.exchange import Exchange

__all__ = ["STORAGES", "Connections", "Storage", "exchanged_connections"]


class Connections(NamedTuple):
    """The connections of all lanes from now on.

    Attributes:
        masks: weight -> where its connections are, (lanes, ...) bool.
        layers: for every lane, the layers that are concerned.
        memory: what the structure wants to see again, (lanes, ...).
    """

    masks: Tensors
    layers: Sequence[Sequence[ChangedLayer]]
    memory: Tensors


class Storage(Protocol):
    """How connections are stored."""

    def weights(self, view: LaneView) -> Tensors:
        """Return weight -> its entries in the dense form, (lanes, ...), 0 where there is no connection."""

    def masks(self, view: LaneView) -> Tensors:
        """Return weight -> where its connections are, (lanes, ...) bool; weights that are dense are absent."""

    def first(self, view: LaneView, model: ModelParameters, weights: Tensors, choice: Connections) -> Change:
        """Return the choice of the first connections.

        Args:
            view: dense networks.
            model: of the first training step.
            weights: weight -> its first values, (lanes, ...), 0 where there is no connection.
            choice: the connections.
        """

    def rewired(self, view: LaneView, choice: Connections, moments_stay: bool) -> Change:
        """Return the rewiring: new connections start at 0 and at age 0.

        Args:
            view: the networks before it.
            choice: the connections.
            moments_stay: whether new connections keep moments that they had before; else they start at 0.
        """


class MaskedStorage:
    """Weights are dense tensors; masks stand beside the networks."""

    def weights(self, view: LaneView) -> Tensors:
        """Return weight -> its entries, (lanes, ...)."""
        return {name: view.lanes.parameters[name].detach() for name in view.masks}

    def masks(self, view: LaneView) -> Tensors:
        """Return weight -> where its connections are, (lanes, ...) bool."""
        return view.masks

    def first(self, view: LaneView, model: ModelParameters, weights: Tensors, choice: Connections) -> Change:
        """Return the change that keeps the networks and sets masks, (lanes, ...); see `Storage.first`."""
        change = _kept("masked", view, choice)
        return change._replace(parameters=weights, masks=choice.masks, memory=choice.memory)

    def rewired(self, view: LaneView, choice: Connections, moments_stay: bool) -> Change:
        """Return the change of masks, (lanes, ...); see `Storage.rewired`. Masked weights are 0 already."""

        def inherit(tensors: Tensors) -> Tensors:
            return {name: tensors[name] * (view.masks[name] & mask) for name, mask in choice.masks.items()}

        change = _kept("rewired", view, choice)
        if not moments_stay:
            change = change._replace(inherit=inherit)
        return change._replace(masks=choice.masks, memory=choice.memory)


class CompressedStorage:
    """Only values of connections are parameters; buffers say where they stand."""

    def weights(self, view: LaneView) -> Tensors:
        """Return weight -> its entries in the dense form, (lanes, outputs, inputs)."""
        parameters = {name: tensor.detach() for name, tensor in view.lanes.parameters.items()}
        return masked(parameters, view.lanes.buffers)

    def masks(self, view: LaneView) -> Tensors:
        """Return weight -> where its connections are, (lanes, outputs, inputs) bool."""
        return masks_of(view.lanes.buffers)

    def first(self, view: LaneView, model: ModelParameters, weights: Tensors, choice: Connections) -> Change:
        """Return the change to networks that store connections alone; see `Storage.first`."""
        dense = {name: tensor.detach() for name, tensor in view.lanes.parameters.items()}
        values, places = compressed({**dense, **weights}, choice.masks)
        positions, sizes = (
            positions_of(places),
            {name: mask[0].numel() for name, mask in choice.masks.items()},
        )
        for name in sizes.keys() - positions.keys():  # a weight with all connections is stored as a dense one
            positions[name] = torch.arange(sizes[name], device=view.lanes.device).expand(len(view.lanes), -1)
        ever = {f"ever/{name}": position_set(positions[name], size) for name, size in sizes.items()}
        return _kept("masked", view, choice)._replace(
            model=model,
            parameters=values,
            buffers={**view.lanes.buffers, **places},
            inherit=lambda tensors: compressed(tensors, choice.masks).parameters,
            memory={**choice.memory, **ever},
        )

    def rewired(self, view: LaneView, choice: Connections, moments_stay: bool) -> Change:
        """Return the change of values and places, which stay in CSR order; see `Storage.rewired`."""
        before, exchanges = positions_of(view.lanes.buffers), {}
        for name, positions in before.items():
            after = choice.masks[name].flatten(1)
            grown = after.scatter(1, positions, False)
            exchanges[name] = [
                Exchange(lane, true_places(places))
                for lane, places in zip(~after.gather(1, positions), grown, strict=True)
            ]
        change = exchanged_connections(view, before, exchanges)
        return change._replace(layers=choice.layers, memory={**change.memory, **choice.memory})


def exchanged_connections(
    view: LaneView, positions: Tensors, exchanges: Mapping[str, Sequence[Exchange]]
) -> Change:
    """Return the change of values and places of networks that store connections alone; new values and ages are 0.

    Its memory holds `ever/<weight>`, the set of positions that were ever a connection's, (lanes, bytes) uint8, and
    `grown/<weight>`, whether a connection is new, (lanes, connections) bool. It names no layers.

    Args:
        view: the networks.
        positions: weight -> positions of its connections, (lanes, connections); see `positions_of`.
        exchanges: weight -> the exchange of every lane.
    """
    memory = {name: tensor for name, tensor in view.memory.items() if name.startswith("ever/")}
    moves = {}
    for name, of_lanes in exchanges.items():
        dropped = torch.stack([exchange.dropped for exchange in of_lanes])
        grown = [exchange.grown for exchange in of_lanes]
        moves[name] = move(positions[name], dropped, torch.cat(grown))
        memory[f"grown/{name}"] = moves[name].is_new
        memory[f"ever/{name}"] = with_positions(memory[f"ever/{name}"], grown)
    values = {name: tensor.detach() for name, tensor in view.lanes.parameters.items()}
    return Change(
        range(len(view.lanes)),
        kind="rewired",
        layers=[[] for _ in view.lanes.rows],
        model=view.model,
        parameters=relaid(values, moves),
        buffers=rewired(view.lanes.buffers, moves),
        inherit=lambda tensors: relaid(tensors, moves),
        memory=memory,
    )


STORAGES: dict[str, Storage] = {"masked": MaskedStorage(), "compressed": CompressedStorage()}


def _kept(kind: str, view: LaneView, choice: Connections) -> Change:
    """Return the change that keeps model and tensors of all lanes."""
    return Change(
        range(len(view.lanes)),
        kind=kind,
        layers=choice.layers,
        model=view.model,
        parameters={},
        buffers={},
        inherit=lambda tensors: {},
    )
