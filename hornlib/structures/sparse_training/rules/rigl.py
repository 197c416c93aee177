"""RigL: small weights make room for connections where the dense gradient is largest."""

import torch
from torch import Tensor

from hornlib.structures.connections.masks import Draws, highest_places, lowest_places, true_places
from hornlib.structures.sparse_training.rules.exchange import (
    Exchange,
    StoredConnections,
    exchanged_masks,
    marked,
    without_returns,
)
from hornlib.structures.sparse_training.rules.look import Look, Rewiring

__all__ = ["exchanged", "grown_by_score", "rigl"]


def rigl(look: Look) -> Rewiring:
    """Drop k weights of the smallest magnitude of each layer, and grow k where the dense gradient is largest.

    k = f(t) n with the share f(t) and the layer's number of connections n. All places that were not kept are eligible,
    also those just dropped: they keep their weight if they come back. New connections start at 0.

    Reference:
        Evci et al. 2020, Rigging the Lottery, section 3 and algorithm 1.
    """
    masks = {
        name: exchanged(look.weights[name], mask, look.growth[name], look.drop_share, look.draws(name))
        for name, mask in look.masks.items()
    }
    return Rewiring(masks, look.threshold)


def exchanged(weights: Tensor, mask: Tensor, growth: Tensor, share: float, draws: Draws) -> Tensor:
    """Return the mask after the exchange of the smallest weights for the places of the largest scores, (lanes, size).

    Args:
        weights: (lanes, size).
        mask: where connections are, (lanes, size) bool.
        growth: score of each place, (lanes, size).
        share: of the connections that are exchanged.
        draws: for each lane, decides between equal numbers.
    """
    return exchanged_masks(grown_by_score, weights, mask, growth, share, draws)


def grown_by_score(stored: StoredConnections, share: float, draw: torch.Generator) -> Exchange:
    """Return RigL's exchange in one weight of one lane; see `rigl`.

    Args:
        stored: the connections before, with scores.
        share: of the connections that are exchanged.
        draw: decides between equal numbers.
    """
    assert stored.growth is not None
    count = round(share * len(stored.values))
    dropped = marked(lowest_places(stored.values.abs(), count, draw), len(stored.values))
    eligible = torch.ones(stored.size, dtype=torch.bool, device=stored.growth.device)
    eligible[stored.positions.index_select(0, true_places(~dropped))] = False
    return without_returns(stored, dropped, highest_places(stored.growth, count, draw, eligible))
