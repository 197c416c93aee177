"""SNFS: dense momentum decides where connections grow, and how many each layer gets."""

from hornlib.structures.connections.distribution import apportioned
from hornlib.structures.connections.masks import connections_of, highest, lowest, num_true
from hornlib.structures.sparse_training.rules.look import Look, Rewiring

__all__ = ["snfs"]


def snfs(look: Look) -> Rewiring:
    """Drop the share of the smallest weights of each layer, and grow as many in all layers by their momentum.

    The connections that all layers lose together are shared out in proportion to the mean |momentum| of each layer's
    connections. A layer grows them where the |momentum| of its other entries is largest. A layer that would have more
    connections than entries is dense, and the others get the rest.

    Reference:
        Dettmers and Zettlemoyer 2019, Sparse networks from scratch, section 3 and algorithm 1.
    """
    draws = {name: look.draws(name) for name in look.masks}
    dropped = {}
    for name, mask in look.masks.items():
        counts = [round(look.drop_share * count) for count in num_true(mask)]
        dropped[name] = lowest(look.weights[name].abs(), mask, counts, draws[name])
    remaining = {name: mask & ~dropped[name] for name, mask in look.masks.items()}
    means = [
        ((look.growth[name] * mask).double().sum(1) / mask.sum(1).clamp(min=1)).tolist()
        for name, mask in look.masks.items()
    ]
    removed = connections_of(dropped).tolist()
    rooms = [num_true(~mask) for mask in remaining.values()]
    grown = [
        apportioned(total, proportions, room)
        for total, proportions, room in zip(
            removed, zip(*means, strict=True), zip(*rooms, strict=True), strict=True
        )
    ]
    masks = {
        name: mask | highest(look.growth[name], ~mask, counts, draws[name])
        for (name, mask), counts in zip(remaining.items(), zip(*grown, strict=True), strict=True)
    }
    return Rewiring(masks, look.threshold)
