"""GraNet: gradual pruning of all layers together, and each layer regenerates as many connections as it gives up."""

from hornlib.structures.connections.masks import pruned_globally
from hornlib.structures.sparse_training.rules.look import Look, Rewiring
from hornlib.structures.sparse_training.rules.rigl import exchanged

__all__ = ["granet"]


def granet(look: Look) -> Rewiring:
    """Remove the smallest weights of all layers together, then exchange a share of each layer by its dense gradient.

    Reference:
        Liu et al. 2021, Sparse training via boosting pruning plasticity with neuroregeneration, algorithm 1.
    """
    magnitudes = {name: weight.abs() for name, weight in look.weights.items()}
    remaining = pruned_globally(magnitudes, look.masks, look.total, look.draws("all"))
    masks = {
        name: exchanged(look.weights[name], mask, look.growth[name], look.drop_share, look.draws(name))
        for name, mask in remaining.items()
    }
    return Rewiring(masks, look.threshold)
