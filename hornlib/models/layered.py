"""Networks whose hidden layers can be inserted and taken out: what becomes of their tensors, by name."""

import re
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

__all__ = ["LayeredNetwork", "NeutralLayer", "of_layer", "with_layer", "without_layer"]


class NeutralLayer(NamedTuple):
    """A layer that leaves the function of its network as it is.

    Attributes:
        parameters: name within the network, as if the layer stood there -> tensor of one lane.
        scored: the name among them whose gradient tells what the layer could do.
    """

    parameters: dict[str, Tensor]
    scored: str


class LayeredNetwork(Protocol):
    """The network of a `LayeredParameters` model.

    Attributes:
        layer_lists: names of its module lists with one entry a hidden layer.
        layer_vectors: names of its tensors whose last axis has one entry a layer, and the layer of the first.
    """

    layer_lists: ClassVar[tuple[str, ...]]
    layer_vectors: Mapping[str, int]

    def neutral_layer(self, position: int, scale: float) -> NeutralLayer:
        """Return the layer that could stand behind layer `position` and change nothing.

        Args:
            position: of the layer before it.
            scale: of the identity in its first weight where its second is zero.
        """


def with_layer(
    tensors: Mapping[str, Tensor],
    network: LayeredNetwork,
    position: int,
    new: Mapping[str, Tensor],
    entry: Literal["mean", "zero"] = "mean",
) -> dict[str, Tensor]:
    """Return the tensors and those of a layer behind layer `position`; later layers' names move on by one.

    Args:
        tensors: of one lane, or with the lanes' axis in front.
        network: whose they are.
        position: of the layer before the new one.
        new: of the new layer, by the names that they will have.
        entry: of the new layer in a vector: the mean of the others, or 0. A new time step changes no function, but
            the horizon, and so what a penalty of it adds to the loss.
    """
    layer = position + 1
    moved = {}
    for name, tensor in tensors.items():
        found = of_layer(name, network)
        if name in network.layer_vectors:
            place = _place(layer, name, network)
            mean = tensor.mean(-1, keepdim=True)
            own = mean if entry == "mean" else torch.zeros_like(mean)
            moved[name] = torch.cat([tensor[..., :place], own, tensor[..., place:]], -1)
        elif found is None or found < layer:
            moved[name] = tensor
        else:
            moved[_renumbered(name, network, found + 1)] = tensor
    return {**moved, **new}


def without_layer(tensors: Mapping[str, Tensor], network: LayeredNetwork, layer: int) -> dict[str, Tensor]:
    """Return the tensors without those of a layer; later layers' names move back by one."""
    moved = {}
    for name, tensor in tensors.items():
        found = of_layer(name, network)
        if name in network.layer_vectors:
            place = _place(layer, name, network)
            moved[name] = torch.cat([tensor[..., :place], tensor[..., place + 1 :]], -1)
        elif found is None or found < layer:
            moved[name] = tensor
        elif found > layer:
            moved[_renumbered(name, network, found - 1)] = tensor
    return moved


def of_layer(name: str, network: LayeredNetwork) -> int | None:
    """Return the layer that a tensor belongs to, or None."""
    match = re.match(rf"({'|'.join(network.layer_lists)})\.(\d+)\.", name)
    return None if match is None else int(match[2])


def _place(layer: int, name: str, network: LayeredNetwork) -> int:
    """Return the entry of a layer in a vector."""
    place = layer - network.layer_vectors[name]
    if place < 0:
        raise ValueError(
            f"layer {layer} has no entry in {name}, whose first is of {network.layer_vectors[name]}"
        )
    return place


def _renumbered(name: str, network: LayeredNetwork, layer: int) -> str:
    return re.sub(rf"^({'|'.join(network.layer_lists)})\.\d+\.", rf"\g<1>.{layer}.", name)
