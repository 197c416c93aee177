"""The loss and the metric of a network without sets of its connections."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch

from hornlib.data.loading import Split
from hornlib.importance.losses import example_losses
from hornlib.importance.networks import TrainedNetwork
from hornlib.randomness import generator
from hornlib.training.evaluation import METRICS

__all__ = ["SHARES", "Removal", "area", "random_orders", "removal_curve", "smallest_first", "without"]

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the connections of every layer that a curve removes."""


class Removal(NamedTuple):
    """A network without a set of connections.

    Attributes:
        loss: mean loss.
        metric: accuracy, or relative L2 error.
    """

    loss: float
    metric: float


@torch.no_grad()
def without(trained: TrainedNetwork, removed: Mapping[str, np.ndarray], split: Split, metric: str) -> Removal:
    """Return loss and metric of the network without some connections, in evaluation mode.

    Args:
        trained: the network.
        removed: weight -> which of its connections are removed, (connections,) bool.
        split: the examples.
        metric: key of `hornlib.training.evaluation.METRICS`.
    """
    changed = {}
    for name, chosen in removed.items():
        weight = trained.network.get_parameter(name).detach()
        places = trained.connections[name][torch.from_numpy(chosen)]
        changed[name] = weight.flatten().index_fill(0, places, 0).view_as(weight)
    outputs = torch.func.functional_call(trained.network, changed, split.inputs)
    loss = example_losses(outputs, split.targets, trained.loss).mean(dtype=torch.float64)
    return Removal(float(loss), float(METRICS[metric](outputs.unsqueeze(0), split.targets.unsqueeze(0))))


def removal_curve(
    trained: TrainedNetwork, ranks: Mapping[str, np.ndarray], splits: Mapping[str, Split], metric: str
) -> np.ndarray:
    """Return loss and metric without the first connections of an order, (shares above 0, 2, splits).

    Every layer loses the same share of its connections, as the rules of sparse training drop them.

    Args:
        trained: the network.
        ranks: weight -> place of each connection in the order of removal, (connections,) int.
        splits: the examples, by name.
        metric: key of `hornlib.training.evaluation.METRICS`.
    """
    curve = []
    for share in SHARES[1:]:
        removed = {name: places < round(share * len(places)) for name, places in ranks.items()}
        curve.append(np.array([without(trained, removed, split, metric) for split in splits.values()]).T)
    return np.array(curve)


def smallest_first(scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weight -> place of each connection in the ascending order of its scores, (connections,) int.

    Args:
        scores: weight -> (connections,). The scores of `-scores` put the largest first.
    """
    return {name: np.argsort(np.argsort(numbers, kind="stable")) for name, numbers in scores.items()}


def random_orders(trained: TrainedNetwork, number: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield random orders: weight -> place of each connection, (connections,) int.

    Args:
        trained: the network; its seed decides the orders.
        number: of orders.
    """
    for order in range(number):
        yield {
            name: torch.randperm(
                len(places), generator=generator("importance order", trained.seed, order, name)
            ).numpy()
            for name, places in trained.connections.items()
        }


def area(curves: np.ndarray) -> np.ndarray:
    """Return the mean height of curves over the shares, by trapezoids, (...).

    Args:
        curves: at `SHARES`, (..., shares).
    """
    middles = (curves[..., 1:] + curves[..., :-1]) / 2
    return (middles * np.diff(SHARES)).sum(-1) / (SHARES[-1] - SHARES[0])
