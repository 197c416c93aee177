"""SET: weights close to 0 make room for random connections."""

from torch import Tensor

from hornlib.structures.masks import Draws, grown_at_random, highest, lowest, num_true
from hornlib.structures.sparse_training.rules.look import Look, Rewiring

__all__ = ["sparse_evolution"]


def sparse_evolution(look: Look) -> Rewiring:
    """Drop the share of the smallest positive and of the largest negative weights of each layer, and grow at random.

    Positive and negative weights each lose the share of their own number. As many connections grow among the places
    that had none. They start at 0, as in the authors' Keras code.

    Reference:
        Mocanu et al. 2018, Scalable training of artificial neural networks with adaptive sparse connectivity inspired
        by network science, algorithm 1.
    """
    masks = {}
    for name, mask in look.masks.items():
        draws = look.draws(name)
        dropped = closest_to_zero_by_sign(look.weights[name], mask, look.drop_share, draws)
        masks[name] = grown_at_random(mask, mask & ~dropped, num_true(dropped), draws)
    return Rewiring(masks, look.threshold)


def closest_to_zero_by_sign(weights: Tensor, mask: Tensor, share: float, draws: Draws) -> Tensor:
    """Return the share of the smallest positive and of the largest negative weights, (lanes, size) bool.

    Args:
        weights: (lanes, size). A connection of weight 0 counts as positive.
        mask: where connections are, (lanes, size) bool.
        share: of the positive, and of the negative weights.
        draws: for each lane, decides between equal weights.
    """
    negative = mask & (weights < 0)
    positive = mask & ~negative
    positive_counts, negative_counts = (
        [round(share * count) for count in num_true(part)] for part in (positive, negative)
    )
    return lowest(weights, positive, positive_counts, draws) | highest(
        weights, negative, negative_counts, draws
    )
