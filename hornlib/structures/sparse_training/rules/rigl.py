"""RigL: small weights make room for connections where the dense gradient is largest."""

from torch import Tensor

from hornlib.structures.masks import Draws, highest, lowest, num_true
from hornlib.structures.sparse_training.rules.look import Look, Rewiring

__all__ = ["exchanged", "rigl"]


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
    counts = [round(share * count) for count in num_true(mask)]
    remaining = mask & ~lowest(weights.abs(), mask, counts, draws)
    return remaining | highest(growth, ~remaining, counts, draws)
