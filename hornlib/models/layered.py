"""Networks whose hidden layers can be inserted and removed: what becomes of their tensors, by name."""

import re
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

__all__ = ["LayeredNetwork", "NeutralLayer", "of_layer", "with_layer", "without_layer"]


class NeutralLayer(NamedTuple):
    """A new layer that does not change the function of its network.

    Attributes:
        parameters: name within the network after the insertion -> tensor of one lane.
        scored: the one of these names whose gradient gives the layer's score.
    """

    parameters: dict[str, Tensor]
    scored: str


class LayeredNetwork(Protocol):
    """The network of a `LayeredParameters` model.

    Attributes:
        layer_lists: names of its module lists with one entry for each hidden layer.
        layer_vectors: name of a tensor whose last axis has one entry for each layer -> the layer of its first entry.
    """

    layer_lists: ClassVar[tuple[str, ...]]
    layer_vectors: Mapping[str, int]

    def neutral_layer(self, position: int, scale: float) -> NeutralLayer:
        """Return a layer that can be inserted behind layer `position` and changes nothing.

        Args:
            position: of the layer before it.
            scale: of the identity in its first weight where its second weight is zero.
        """


def with_layer(
    tensors: Mapping[str, Tensor],
    network: LayeredNetwork,
    position: int,
    new: Mapping[str, Tensor],
    entry: Literal["mean", "zero"] = "mean",
) -> dict[str, Tensor]:
    """Return the tensors with those of a new layer behind layer `position`; later layers' numbers increase by one.

    Args:
        tensors: name -> tensor of one lane, (...), or of all lanes, (lanes, ...).
        network: the network that has these tensors.
        position: of the layer before the new one.
        new: name after the insertion -> tensor of the new layer, with a lane axis where `tensors` have one.
        entry: of the new layer in a vector: the mean of the other entries, or 0. A new time step does not change the
            network's function, but it changes the horizon, and so a penalty on the horizon.
    """
    layer = position + 1
    moved = {}
    for name, tensor in tensors.items():
        number = of_layer(name, network)
        if name in network.layer_vectors:
            place = _place(layer, name, network)
            mean = tensor.mean(-1, keepdim=True)
            new_entry = mean if entry == "mean" else torch.zeros_like(mean)
            moved[name] = torch.cat([tensor[..., :place], new_entry, tensor[..., place:]], -1)
        elif number is None or number < layer:
            moved[name] = tensor
        else:
            moved[_renumbered(name, network, number + 1)] = tensor
    return {**moved, **new}


def without_layer(tensors: Mapping[str, Tensor], network: LayeredNetwork, layer: int) -> dict[str, Tensor]:
    """Return the tensors without those of a layer; later layers' numbers decrease by one.

    Args:
        tensors: name -> tensor of one lane, (...), or of all lanes, (lanes, ...).
        network: the network that has these tensors.
        layer: number of the removed layer.
    """
    moved = {}
    for name, tensor in tensors.items():
        number = of_layer(name, network)
        if name in network.layer_vectors:
            place = _place(layer, name, network)
            moved[name] = torch.cat([tensor[..., :place], tensor[..., place + 1 :]], -1)
        elif number is None or number < layer:
            moved[name] = tensor
        elif number > layer:
            moved[_renumbered(name, network, number - 1)] = tensor
    return moved


def of_layer(name: str, network: LayeredNetwork) -> int | None:
    """Return the number of the layer that a tensor belongs to, or None.

    Args:
        name: of the tensor within the network.
        network: the network that has it.
    """
    match = re.match(rf"({'|'.join(network.layer_lists)})\.(\d+)\.", name)
    return None if match is None else int(match[2])


def _place(layer: int, name: str, network: LayeredNetwork) -> int:
    """Return the index of a layer's entry in the vector `name`."""
    place = layer - network.layer_vectors[name]
    if place < 0:
        raise ValueError(
            f"layer {layer} has no entry in {name}, whose first is of {network.layer_vectors[name]}"
        )
    return place


def _renumbered(name: str, network: LayeredNetwork, layer: int) -> str:
    return re.sub(rf"^({'|'.join(network.layer_lists)})\.\d+\.", rf"\g<1>.{layer}.", name)
