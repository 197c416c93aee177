"""The outputs and rewards of a population: all networks, all shared weights and all examples in one batch."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hornlib.evolution.activations import EVOLVED_ACTIVATIONS, activations_of
from hornlib.evolution.genome import Frame, Genome, IntArray
from hornlib.evolution.graph import PopulationGraph, compiled
from hornlib.models.evolved.parameters import EvolvedParameters

__all__ = [
    "NUMBERS_AT_ONCE",
    "REWARDS",
    "Rewards",
    "evaluation_flops",
    "graph_of",
    "outputs_of",
    "rewards_of",
    "with_constant",
]

NUMBERS_AT_ONCE = 2**21
"""Numbers of all hidden nodes for all examples that are computed at once: 8 MB, which a processor's cache holds."""


def log_likelihoods(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean log-probability of the right class, (networks,).

    Args:
        outputs: (networks, classes, examples).
        targets: classes, (examples,).
    """
    right = outputs.gather(1, targets.expand(len(outputs), 1, -1)).squeeze(1)
    return (right - outputs.logsumexp(1)).mean(1)


def negative_squared_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return minus the mean squared error, (networks,).

    Args:
        outputs: (networks, outputs, examples).
        targets: (examples, outputs).
    """
    return -(outputs - targets.mT).square_().mean((1, 2))


REWARDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": log_likelihoods,
    "mse": negative_squared_errors,
}
"""Loss of a dataset -> reward of a network, which is minus its mean loss."""

LOSS_WORK = {"cross_entropy": 5, "mse": 3}
"""Elementwise operations of the loss for each output, as `hornlib.models.operations` counts them."""


def with_constant(inputs: Tensor) -> Tensor:
    """Return examples in columns, with the constant 1 as the last row, (inputs + 1, examples).

    Args:
        inputs: (examples, ...).
    """
    columns = inputs.flatten(1).mT
    return torch.cat([columns, columns.new_ones(1, columns.shape[1])])


def outputs_of(graph: PopulationGraph, columns: Tensor, shared_weights: Sequence[float]) -> Iterator[Tensor]:
    """Yield the outputs of all networks at each shared weight, (networks, outputs, examples).

    A hidden node has v_i = act_i(w sum_j u_ij v_j) with the shared weight w and the weight u_ij of the connection, an
    output w sum_j u_ij v_j. The sums over inputs are the same for all w and are computed once.

    Args:
        graph: the networks.
        columns: examples in columns, see `with_constant`.
        shared_weights: values of w.
    """
    first = graph.from_inputs.of(columns)
    for shared_weight in shared_weights:
        values = first[: graph.num_rows] * shared_weight
        for level in graph.levels:
            rows = values[level.rows]
            if len(level.sums.entries):
                rows.add_(level.sums.of(values), alpha=shared_weight)
            for name, group in level.groups:
                EVOLVED_ACTIVATIONS[name](rows[group])
        outputs = first[graph.num_rows :] * shared_weight
        if len(graph.to_outputs.entries):
            outputs.add_(graph.to_outputs.of(values), alpha=shared_weight)
        yield outputs.view(graph.num_networks, graph.num_outputs, -1)


class Rewards(NamedTuple):
    """Outcome of the evaluation of a generation.

    Attributes:
        values: mean reward of every network at every shared weight, (individuals, weights) float64.
        flops: of one forward pass of one example by every network, (individuals,) int64.
    """

    values: np.ndarray
    flops: IntArray


@torch.no_grad()
def rewards_of(
    model: EvolvedParameters,
    genomes: Sequence[Genome],
    frame: Frame,
    columns: Tensor,
    targets: Tensor,
    loss: str,
) -> Rewards:
    """Return the mean reward of every network at every shared weight.

    Args:
        model: shared weights and activations.
        genomes: the networks.
        frame: the nodes that they share.
        columns: examples in columns, see `with_constant`.
        targets: classes, (examples,), or numbers, (examples, outputs).
        loss: a key of REWARDS.
    """
    values, flops = [], []
    for part in _parts(genomes, columns.shape[1]):
        graph = graph_of(model, part, frame)
        at_weights = [
            REWARDS[loss](outputs, targets) for outputs in outputs_of(graph, columns, model.shared_weights)
        ]
        values.append(torch.stack(at_weights, 1).double().cpu().numpy())
        flops.append(graph.flops)
    return Rewards(np.concatenate(values), np.concatenate(flops))


def graph_of(model: EvolvedParameters, genomes: Sequence[Genome], frame: Frame) -> PopulationGraph:
    """Return the graph of these networks.

    Args:
        model: activations, and whether connections have weights of their own.
        genomes: the networks.
        frame: the nodes that they share.
    """
    return compiled(genomes, frame, activations_of(model), has_weights=len(model.shared_weights) == 1)


def evaluation_flops(
    model: EvolvedParameters, flops: IntArray, num_outputs: int, num_examples: int, loss: str
) -> int:
    """Return the FLOPs of evaluating every network at every shared weight: forward pass and loss of each example.

    Each evaluation counts as one of the network by itself, though sums over inputs are shared between the weights.

    Args:
        model: number of shared weights.
        flops: of one forward pass of one example by every network, (individuals,).
        num_outputs: of a network.
        num_examples: of the evaluation.
        loss: a key of REWARDS.
    """
    of_an_example = int(flops.sum()) + len(flops) * LOSS_WORK[loss] * num_outputs
    return len(model.shared_weights) * num_examples * of_an_example


def _parts(genomes: Sequence[Genome], num_examples: int) -> Iterator[Sequence[Genome]]:
    """Yield neighbouring networks whose hidden nodes together are computed at once."""
    most_nodes = max(1, NUMBERS_AT_ONCE // num_examples)
    start, nodes = 0, 0
    for place, genome in enumerate(genomes):
        if place > start and nodes + len(genome.hidden) > most_nodes:
            yield genomes[start:place]
            start, nodes = place, 0
        nodes += len(genome.hidden)
    yield genomes[start:]
