"""SET: weights close to 0 make room for random connections."""

import torch
from torch import Tensor

from hornlib.structures.connections.masks import drawn_places, lowest_places, true_places
from hornlib.structures.sparse_training.rules.exchange import (
    Exchange,
    StoredConnections,
    exchanged_masks,
    without_returns,
)
from hornlib.structures.sparse_training.rules.look import Look, Rewiring

__all__ = ["closest_to_zero_by_sign", "evolved", "sparse_evolution"]


def sparse_evolution(look: Look) -> Rewiring:
    """Drop the share of the smallest positive and of the largest negative weights of each layer, and grow at random.

    Positive and negative weights each lose the share of their own number. As many connections grow among the places
    that had none. They start at 0, as in the authors' Keras code.

    Reference:
        Mocanu et al. 2018, Scalable training of artificial neural networks with adaptive sparse connectivity inspired
        by network science, algorithm 1.
    """
    masks = {
        name: exchanged_masks(evolved, look.weights[name], mask, None, look.drop_share, look.draws(name))
        for name, mask in look.masks.items()
    }
    return Rewiring(masks, look.threshold)


def evolved(stored: StoredConnections, share: float, draw: torch.Generator) -> Exchange:
    """Return SET's exchange in one weight of one lane; see `sparse_evolution`.

    Args:
        stored: the connections before.
        share: of the positive, and of the negative weights, that is dropped.
        draw: decides between equal weights, and where connections grow.
    """
    dropped = closest_to_zero_by_sign(stored.values, share, draw)
    positions = stored.positions.index_select(0, true_places(dropped))
    grown = drawn_places(stored.positions, positions, stored.size, len(positions), draw)
    if stored.size - len(stored.positions) >= len(grown):  # all grow at free places
        return Exchange(dropped, grown)
    return without_returns(stored, dropped, grown)


def closest_to_zero_by_sign(weights: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Return the share of the smallest positive and of the largest negative weights, (connections,) bool.

    Args:
        weights: (connections,). A connection of weight 0 counts as positive.
        share: of the positive, and of the negative weights.
        draw: decides between equal weights.
    """
    negative = weights < 0
    chosen = torch.zeros_like(negative)
    for part in (~negative, negative):
        places = true_places(part)
        count = round(share * len(places))
        lowest = lowest_places(weights.index_select(0, places).abs(), count, draw)
        chosen[places.index_select(0, lowest)] = True
    return chosen
