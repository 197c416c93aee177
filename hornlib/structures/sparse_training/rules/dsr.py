"""DSR: one threshold drops weights of all layers, and layers whose weights survive get more connections."""

import torch

from hornlib.structures.connections.distribution import apportioned
from hornlib.structures.connections.masks import connections_of, grown_at_random, num_true
from hornlib.structures.sparse_training.rules.look import Look, Rewiring

__all__ = ["dsr"]


def dsr(look: Look) -> Rewiring:
    """Drop all weights below a threshold, and grow as many at random, in proportion to each layer's survivors.

    The threshold is doubled for the next update if fewer than (1 - tolerance) times the wanted number were dropped, and
    halved above (1 + tolerance) times. New connections start at 0.

    Reference:
        Mostafa and Wang 2019, Parameter efficient training of deep convolutional neural networks by dynamic sparse
        reparameterization, algorithm 1.
    """
    masks = look.masks
    remaining = {
        name: mask & ~(look.weights[name].abs() < look.threshold.unsqueeze(1)) for name, mask in masks.items()
    }
    survivors = [num_true(mask) for mask in remaining.values()]
    rooms = [num_true(~mask) for mask in remaining.values()]
    connections = connections_of(masks)
    dropped = connections - connections_of(remaining)
    grown = [
        apportioned(total, of_lane, room)
        for total, of_lane, room in zip(
            dropped.tolist(), zip(*survivors, strict=True), zip(*rooms, strict=True), strict=True
        )
    ]
    tolerance = look.parameters.threshold_tolerance or 0.0
    wanted = look.drop_share * connections
    factor = torch.ones_like(look.threshold)
    factor[dropped < (1 - tolerance) * wanted] = 2.0
    factor[dropped > (1 + tolerance) * wanted] = 0.5
    new = {
        name: grown_at_random(masks[name], mask, list(counts), look.draws(name))
        for (name, mask), counts in zip(remaining.items(), zip(*grown, strict=True), strict=True)
    }
    return Rewiring(new, look.threshold * factor)
