"""The two ways to store connections: dense weights under masks, and the values of connections alone."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from hornlib.models.mlp.compressed import compressed, masked, masks_of, relaid, rewired
from hornlib.parameters import ModelParameters
from hornlib.structures.interface import Change, ChangedLayer, LaneView, Tensors

__all__ = ["STORAGES", "Connections", "Storage"]


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
        return _kept("masked", view, choice)._replace(
            model=model,
            parameters=values,
            buffers={**view.lanes.buffers, **places},
            inherit=lambda tensors: compressed(tensors, choice.masks).parameters,
            memory={**choice.memory, **{f"ever/{name}": mask for name, mask in masks_of(places).items()}},
        )

    def rewired(self, view: LaneView, choice: Connections, moments_stay: bool) -> Change:
        """Return the change of values and places, which stay in CSR order; see `Storage.rewired`."""
        before = {
            name: tensor.clone() for name, tensor in view.lanes.buffers.items()
        }  # the loop writes into them
        positions = {
            name: mask.flatten(1).nonzero()[:, 1].view(len(mask), -1) for name, mask in choice.masks.items()
        }
        after = rewired(before, positions)
        values = {name: tensor.detach() for name, tensor in view.lanes.parameters.items()}
        ever = {f"ever/{name}": view.memory[f"ever/{name}"] | mask for name, mask in choice.masks.items()}
        return _kept("rewired", view, choice)._replace(
            parameters=relaid(values, before, after),
            buffers=after,
            inherit=lambda tensors: relaid(tensors, before, after),
            memory={**choice.memory, **ever},
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
