"""A trained network whose importance is measured: its connections, and the examples on which losses are computed."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hornlib.data.loading import Split, Splits
from hornlib.grid.cell import Cell
from hornlib.importance.losses import example_losses
from hornlib.parameters import Weight
from hornlib.training.evaluation import thinned
from hornlib.training.kept_weights import KeptRun, network_of

__all__ = ["SPLITS", "TrainedNetwork", "connections_of_run", "example_sets", "gradients", "trained_network"]

SPLITS = ("training", "held_out")
"""Examples on which losses are computed: of the training split, and of the test split."""


class TrainedNetwork(NamedTuple):
    """A network in evaluation mode, with the statistics of batch norm frozen.

    Attributes:
        network: on the CPU; it is never changed.
        weights: matrices and kernels whose connections are judged, from the input to the output.
        connections: weight -> places of its connections in the flattened weight, (connections,) int64, ascending.
        loss: key of `hornlib.training.evaluation.LOSSES`.
        seed: of the run.
    """

    network: nn.Module
    weights: list[Weight]
    connections: dict[str, Tensor]
    loss: str
    seed: int

    def values(self, name: str) -> Tensor:
        """Return the values of a weight's connections, (connections,)."""
        return self.network.get_parameter(name).detach().flatten()[self.connections[name]]


def trained_network(run: KeptRun, cell: Cell) -> TrainedNetwork:
    """Return the network of a run.

    Args:
        run: from `hornlib.training.kept_weights.read_weights`.
        cell: the cell of the run.
    """
    network = network_of(run, cell.task()).requires_grad_(False)
    weights = run.model.weights(cell.task())
    return TrainedNetwork(network, weights, connections_of_run(weights, run.masks), cell.data.loss, run.seed)


def connections_of_run(weights: list[Weight], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weight -> places of its connections, (connections,) int64.

    Args:
        weights: of the network.
        masks: weight -> bool; a weight without a mask is dense.
    """
    return {
        weight.name: masks[weight.name].flatten().nonzero().squeeze(1)
        if weight.name in masks
        else torch.arange(weight.size)
        for weight in weights
    }


def example_sets(splits: Splits, examples: int) -> dict[str, Split]:
    """Return the examples of each of `SPLITS`, the same for all networks of a dataset.

    Args:
        splits: the dataset.
        examples: largest number of each.
    """
    return dict(zip(SPLITS, (thinned(splits.train, examples), thinned(splits.test, examples)), strict=True))


def gradients(trained: TrainedNetwork, split: Split) -> dict[str, Tensor]:
    """Return weight -> gradient of the mean loss by each connection, (connections,).

    Args:
        trained: the network.
        split: the examples.
    """
    leaves = {
        name: trained.network.get_parameter(name).detach().clone().requires_grad_()
        for name in trained.connections
    }
    outputs = torch.func.functional_call(trained.network, leaves, split.inputs)
    mean = example_losses(outputs, split.targets, trained.loss).mean()
    dense = torch.autograd.grad(mean, list(leaves.values()))
    return {
        name: gradient.flatten()[trained.connections[name]]
        for name, gradient in zip(leaves, dense, strict=True)
    }
