"""What the rules of sparse training would drop of a trained network, and random sets of the same sizes."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from hornlib.importance.networks import TrainedNetwork
from hornlib.randomness import generator
from hornlib.structures.connections.masks import lowest_places
from hornlib.structures.sparse_training.rules.exchange import marked
from hornlib.structures.sparse_training.rules.set import closest_to_zero_by_sign

__all__ = ["DROP_RULES", "DROP_SHARE", "dropped_set", "random_sets"]

DROP_SHARE = 0.3
"""Share of the connections of a layer that is dropped: zeta of SET, and the first share of RigL, as published."""

DropRule = Callable[[Tensor, float, torch.Generator], Tensor]


def smallest_magnitudes(values: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Return RigL's choice, the share of the smallest magnitudes, (connections,) bool.

    Args:
        values: (connections,).
        share: of the connections.
        draw: decides between equal magnitudes.
    """
    return marked(lowest_places(values.abs(), round(share * len(values)), draw), len(values))


DROP_RULES: dict[str, DropRule] = {"set": closest_to_zero_by_sign, "rigl": smallest_magnitudes}
"""Rule -> maps the values of a layer's connections, the share that is dropped and draws to what it drops."""


def dropped_set(trained: TrainedNetwork, rule: str) -> dict[str, np.ndarray]:
    """Return weight -> what a rule would drop of its connections, (connections,) bool.

    Args:
        trained: the network.
        rule: key of `DROP_RULES`.
    """
    return {
        name: DROP_RULES[rule](
            trained.values(name), DROP_SHARE, generator("importance drop", trained.seed, rule, name)
        ).numpy()
        for name in trained.connections
    }


def random_sets(
    trained: TrainedNetwork, dropped: Mapping[str, np.ndarray], number: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yield random sets with as many connections of every layer as another set, weight -> (connections,) bool.

    Args:
        trained: the network; its seed decides the sets.
        dropped: the other set.
        number: of sets.
    """
    for index in range(number):
        yield {
            name: chosen[
                torch.randperm(
                    len(chosen), generator=generator("importance set", trained.seed, index, name)
                ).numpy()
            ]
            for name, chosen in dropped.items()
        }
