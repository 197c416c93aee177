"""What changes of masks have in common: flat tensors, and the events of the layers that they concern."""

import math
from collections.abc import Sequence

from hornlib.parameters import Weight
from hornlib.structures.connections.masks import connections_of
from hornlib.structures.interface import ChangedLayer, Tensors

__all__ = ["changed_layers", "flat", "shaped"]


def flat(tensors: Tensors) -> Tensors:
    """Return tensors (lanes, size) of tensors (lanes, ...)."""
    return {name: tensor.flatten(1) for name, tensor in tensors.items()}


def shaped(tensors: Tensors, weights: Sequence[Weight]) -> Tensors:
    """Return tensors in the shapes of their weights, (lanes, ...).

    Args:
        tensors: weight -> (lanes, size).
        weights: the weights.
    """
    return {weight.name: tensors[weight.name].view(-1, *weight.shape) for weight in weights}


def changed_layers(
    weights: Sequence[Weight], concerned: Tensors, grown: Tensors | None = None
) -> list[list[ChangedLayer]]:
    """Return for every lane the layers, with the number of connections that are concerned.

    Args:
        weights: the sparse weights.
        concerned: weight -> the connections that a change chose, or dropped, (lanes, ...) bool.
        grown: weight -> the connections that the update before this one grew, (lanes, ...) bool; None, or
            empty, if there was no such update. The share of them that is concerned becomes the score.
    """
    positions = sorted({weight.layer for weight in weights})
    lanes = len(next(iter(concerned.values())))
    layers: list[list[ChangedLayer]] = [[] for _ in range(lanes)]
    for position in positions:
        names = [weight.name for weight in weights if weight.layer == position]
        numbers = connections_of({name: concerned[name] for name in names}).tolist()
        scores = _shares({name: grown[name] for name in names}, concerned) if grown else [math.nan] * lanes
        for lane in range(lanes):
            layers[lane].append(ChangedLayer(position, scores[lane], numbers[lane]))
    return layers


def _shares(grown: Tensors, concerned: Tensors) -> list[float]:
    """Return for every lane the share of the grown connections that are concerned; NaN where none has grown."""
    again = connections_of({name: mask & concerned[name] for name, mask in grown.items()})
    return (again / connections_of(grown)).tolist()
