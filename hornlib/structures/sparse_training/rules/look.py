"""What a rule of rewiring sees of the lanes, and what it returns."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from hornlib.parameters import Weight
from hornlib.structures.connections.masks import Draws
from hornlib.structures.sparse_training.parameters import SparseTrainingParameters

__all__ = ["Look", "Rewiring", "Rule"]


class Look(NamedTuple):
    """The sparse weights of all lanes at an update, each flattened to (lanes, size).

    Attributes:
        parameters: of the training.
        network: all weights of the network, dense ones too, from the input to the output.
        weights: weight -> its entries; 0 where there is no connection.
        masks: weight -> where its connections are, bool.
        growth: weight -> score of each entry as a place for a new connection: the magnitude of the dense gradient, or
            of the dense momentum. Empty for rules that grow at random.
        drop_share: share of the connections that this update drops.
        total: number of connections of all weights after this update, the same for every lane.
        threshold: of dsr, (lanes,).
        exponent: of chts: connections stay with probabilities proportional to their scores to this power.
        draws: maps a weight to one generator for each lane. Every call returns the same draws.
    """

    parameters: SparseTrainingParameters
    network: Sequence[Weight]
    weights: dict[str, Tensor]
    masks: dict[str, Tensor]
    growth: dict[str, Tensor]
    drop_share: float
    total: int
    threshold: Tensor
    exponent: float
    draws: Callable[[str], Draws]


class Rewiring(NamedTuple):
    """The connections after an update.

    Attributes:
        masks: weight -> where its connections are, (lanes, size) bool.
        threshold: of dsr at the next update, (lanes,).
        flops: for each lane, those of products that decided; empty where there were none.
    """

    masks: dict[str, Tensor]
    threshold: Tensor
    flops: Sequence[int] = ()


Rule = Callable[[Look], Rewiring]
