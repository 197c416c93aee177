"""Exchanges of the connections of one weight of one lane, in time and memory of its connections alone."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.structures.connections.masks import Draws, true_places

__all__ = ["Exchange", "ExchangeRule", "StoredConnections", "exchanged_masks", "marked", "without_returns"]


class StoredConnections(NamedTuple):
    """The connections of one weight of one lane.

    Attributes:
        values: of the connections, (connections,).
        positions: of the connections in the flattened weight, (connections,) int64, ascending.
        size: number of the weight's entries.
        growth: score of each entry as a place for a new connection, (size,); None for rules that draw.
    """

    values: Tensor
    positions: Tensor
    size: int
    growth: Tensor | None = None


class Exchange(NamedTuple):
    """What an update drops and grows: as many connections grow as are dropped, and none of them is the same.

    Attributes:
        dropped: which connections are dropped, (connections,) bool.
        grown: positions of the new ones, (dropped,) int64, in any order.
    """

    dropped: Tensor
    grown: Tensor


def marked(places: Tensor, size: int) -> Tensor:
    """Return True at some places, (size,) bool.

    Args:
        places: int64.
        size: number of all places.
    """
    mask = torch.zeros(size, dtype=torch.bool, device=places.device)
    mask[places] = True
    return mask


def without_returns(stored: StoredConnections, dropped: Tensor, grown: Tensor) -> Exchange:
    """Return the exchange without the connections that grow where they were dropped: they stay as they are.

    Args:
        stored: the connections before.
        dropped: which of them are dropped, (connections,) bool.
        grown: positions where connections grow, int64; as many, at places where none remains.
    """
    grows = marked(grown, stored.size)
    stays = dropped & grows.index_select(0, stored.positions)
    grows[stored.positions] = False
    return Exchange(dropped & ~stays, grown.index_select(0, true_places(grows.index_select(0, grown))))


ExchangeRule = Callable[[StoredConnections, float, torch.Generator], Exchange]
"""Maps connections, the share of them that is dropped, and the draws of the lane for the weight to the exchange."""


def exchanged_masks(
    rule: ExchangeRule, weights: Tensor, masks: Tensor, growth: Tensor | None, share: float, draws: Draws
) -> Tensor:
    """Return the masks after an exchange in every lane, (lanes, size) bool.

    Args:
        rule: decides the exchange.
        weights: (lanes, size).
        masks: where connections are, (lanes, size) bool.
        growth: score of each place, (lanes, size); None for rules that draw.
        share: of the connections that are dropped.
        draws: for each lane.
    """
    after = masks.clone()
    for lane, mask in enumerate(masks):
        positions, scores = true_places(mask), None if growth is None else growth[lane]
        stored = StoredConnections(weights[lane, positions], positions, len(mask), scores)
        exchange = rule(stored, share, draws[lane])
        after[lane, positions[true_places(exchange.dropped)]] = False
        after[lane, exchange.grown] = True
    return after
