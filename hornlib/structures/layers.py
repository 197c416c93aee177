"""Layers put into a network and taken out of it: what becomes of its tensors, by name."""

import re
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

__all__ = ["LayeredNetwork", "NeutralLayer", "with_layer", "without_layer"]


class NeutralLayer(NamedTuple):
    """A layer that leaves the function of its network as it is.

    Attributes:
        parameters: name within the network, as if the layer already stood there -> tensor without a lane axis.
        buffers: the same, of what is not trained.
        scored: the name whose gradient tells what the layer could do.
    """

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]
    scored: str


class LayeredNetwork(Protocol):
    """The network of a `LayeredParameters` model.

    Attributes:
        layer_lists: names of its module lists with one entry a layer, without gaps.
        layer_vectors: names of its tensors whose last axis has one entry a layer.
    """

    layer_lists: ClassVar[tuple[str, ...]]
    layer_vectors: ClassVar[tuple[str, ...]]

    def neutral_layer(self, position: int, variant: str) -> NeutralLayer:
        """Return the layer that could stand behind layer `position` and change nothing.

        Args:
            position: of the layer before it.
            variant: which of its weights is zero, where there is a choice.
        """


def with_layer(
    tensors: Mapping[str, Tensor], network: LayeredNetwork, position: int, new: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the tensors, and those of a layer behind layer `position`; later layers' names move on by one.

    Args:
        tensors: of one lane, or with the lanes' axis in front.
        network: whose they are.
        position: of the layer before the new one.
        new: of the new layer, by the names that they will have; of a vector, the one entry (..., 1).
    """
    layer = position + 1
    moved = {}
    for name, tensor in tensors.items():
        if name in network.layer_vectors:
            own = new.get(name)
            if own is not None:
                tensor = torch.cat([tensor[..., :layer], own, tensor[..., layer:]], -1)
            moved[name] = tensor
        else:
            found = _layer_of(name, network)
            moved[name if found is None or found < layer else _renumbered(name, network, found + 1)] = tensor
    return {**moved, **{name: tensor for name, tensor in new.items() if name not in network.layer_vectors}}


def without_layer(tensors: Mapping[str, Tensor], network: LayeredNetwork, layer: int) -> dict[str, Tensor]:
    """Return the tensors without those of a layer; later layers' names move back by one."""
    moved = {}
    for name, tensor in tensors.items():
        found = _layer_of(name, network)
        if name in network.layer_vectors:
            moved[name] = torch.cat([tensor[..., :layer], tensor[..., layer + 1 :]], -1)
        elif found is None or found < layer:
            moved[name] = tensor
        elif found > layer:
            moved[_renumbered(name, network, found - 1)] = tensor
    return moved


def _layer_of(name: str, network: LayeredNetwork) -> int | None:
    match = re.match(rf"({'|'.join(network.layer_lists)})\.(\d+)\.", name)
    return None if match is None else int(match[2])


def _renumbered(name: str, network: LayeredNetwork, layer: int) -> str:
    return re.sub(rf"^({'|'.join(network.layer_lists)})\.\d+\.", rf"\g<1>.{layer}.", name)
