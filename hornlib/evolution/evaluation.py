"""The outputs and rewards of a population: all networks, all shared weights and all examples in one batch."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hornlib.evolution.activations import EVOLVED_ACTIVATIONS, activations_of
from hornlib.evolution.genome import Frame, Genome, IntArray
from hornlib.evolution.graph import PopulationGraph, RowSums, compiled
from hornlib.models.evolved.parameters import EvolvedParameters

__all__ = [
    "REWARDS",
    "Rewards",
    "evaluation_flops",
    "graph_of",
    "mean_rewards",
    "outputs_of",
    "rewards_of",
    "with_constant",
]

NUMBERS_AT_ONCE = 2**19
"""Numbers of all nodes for all shared weights and examples that are computed at once: 2 MB, which a cache holds."""

LARGEST_EXPONENT = 60.0
"""Largest size of an output whose exponential, and a sum of them, is surely no overflow and no underflow in float32."""

WORST_REWARD = -1e9
"""Reward of a network with an output that is not finite."""


def log_likelihoods(outputs: Tensor, members: Tensor, targets: Tensor) -> Tensor:
    """Return the log-probability of the right class, summed over examples, (networks, weights) float64.

    ln p = z_target - ln sum_o exp z_o. Exponentials are taken once of each different output. Only for networks with
    outputs of more than LARGEST_EXPONENT, the largest output is subtracted first.

    Args:
        outputs: different outputs of all networks, (different outputs, weights, examples).
        members: which of them each network has, (networks, classes).
        targets: classes, (examples,).
    """
    num_networks, num_classes = members.shape
    of_class = functional.one_hot(targets, num_classes).to(outputs.dtype)
    sums_by_class = (outputs @ of_class).double()  # (different outputs, weights, classes)
    classes = torch.arange(num_classes, device=members.device)
    right = sums_by_class[members, :, classes].sum(1)
    starts = torch.arange(0, members.numel() + 1, num_classes, device=members.device)
    totals = functional.embedding_bag(
        members.flatten(), outputs.exp().flatten(1), starts, mode="sum", include_last_offset=True
    )
    logarithms = totals.log_().view(num_networks, *outputs.shape[1:]).sum(-1, dtype=torch.float64)
    is_large = ~(outputs.abs().amax((1, 2)) <= LARGEST_EXPONENT)
    for network in is_large[members].any(1).nonzero()[:, 0].tolist():
        logarithms[network] = outputs[members[network]].logsumexp(0).sum(-1, dtype=torch.float64)
    return right - logarithms


def negative_squared_errors(outputs: Tensor, members: Tensor, targets: Tensor) -> Tensor:
    """Return minus the squared error, averaged over outputs and summed over examples, (networks, weights) float64.

    Args:
        outputs: different outputs of all networks, (different outputs, weights, examples).
        members: which of them each network has, (networks, outputs).
        targets: (examples, outputs).
    """
    errors = outputs[members] - targets.mT.unsqueeze(1)  # (networks, outputs, weights, examples)
    return -errors.square_().mean(1).sum(-1, dtype=torch.float64)


REWARDS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "cross_entropy": log_likelihoods,
    "mse": negative_squared_errors,
}
"""Loss of a dataset -> reward of networks, which is minus their loss."""

LOSS_WORK = {"cross_entropy": 5, "mse": 3}
"""Elementwise operations of the loss for each output, as `hornlib.models.operations` counts them."""


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
    graph = graph_of(model, genomes, frame)
    return Rewards(mean_rewards(graph, columns, targets, model.shared_weights, loss), graph.flops)


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

    Each evaluation counts as one of the network by itself, though nodes that networks have in common are computed once.

    Args:
        model: number of shared weights.
        flops: of one forward pass of one example by every network, (individuals,).
        num_outputs: of a network.
        num_examples: of the evaluation.
        loss: a key of REWARDS.
    """
    of_an_example = int(flops.sum()) + len(flops) * LOSS_WORK[loss] * num_outputs
    return len(model.shared_weights) * num_examples * of_an_example


def with_constant(inputs: Tensor) -> Tensor:
    """Return examples in columns, with the constant 1 as the last row, (inputs + 1, examples).

    Args:
        inputs: (examples, ...).
    """
    columns = inputs.flatten(1).mT
    return torch.cat([columns, columns.new_ones(1, columns.shape[1])])


def mean_rewards(
    graph: PopulationGraph, columns: Tensor, targets: Tensor, shared_weights: Sequence[float], loss: str
) -> np.ndarray:
    """Return the mean reward of every network at every shared weight, (networks, weights) float64.

    Args:
        graph: the networks.
        columns: examples in columns, see `with_constant`.
        targets: classes, (examples,), or numbers, (examples, outputs).
        shared_weights: factors on all weights.
        loss: a key of REWARDS.
    """
    graph = graph.to(columns.device)
    total = columns.new_zeros(len(graph.members), len(shared_weights), dtype=torch.float64)
    for examples, outputs in _blocks(graph, columns, shared_weights):
        total += REWARDS[loss](outputs, graph.members, targets[examples])
    means = total / columns.shape[1]
    return means.nan_to_num(WORST_REWARD, WORST_REWARD, WORST_REWARD).cpu().numpy()


def outputs_of(graph: PopulationGraph, columns: Tensor, shared_weights: Sequence[float]) -> Tensor:
    """Return the outputs of all networks, (weights, networks, examples, outputs).

    Args:
        graph: the networks.
        columns: examples in columns, see `with_constant`.
        shared_weights: factors on all weights.
    """
    graph = graph.to(columns.device)
    blocks = [outputs[graph.members] for _, outputs in _blocks(graph, columns, shared_weights)]
    return torch.cat(blocks, -1).permute(2, 0, 3, 1)


def _blocks(
    graph: PopulationGraph, columns: Tensor, shared_weights: Sequence[float]
) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of examples with the different outputs, (different outputs, weights, examples).

    A hidden node has v_i = act_i(w sum_j u_ij v_j) with the shared weight w and the weight u_ij of the connection, an
    output w sum_j u_ij v_j. The sums over inputs are the same for all w and are computed once.
    """
    weights = columns.new_tensor(shared_weights).unsqueeze(1)
    num_nodes = max(1, graph.num_rows + graph.num_different_outputs)
    size = max(1, NUMBERS_AT_ONCE // (num_nodes * len(weights)))
    for start in range(0, columns.shape[1], size):
        examples = slice(start, start + size)
        block = columns[:, examples].contiguous()
        first = graph.from_inputs.of(block).unsqueeze(1)
        values = block.new_empty(graph.num_rows, len(weights), block.shape[1])
        for level in graph.levels:
            rows = values[level.rows]
            _write_sums(rows, level.sums, values, first[level.rows], weights)
            for name, group in level.groups:
                EVOLVED_ACTIVATIONS[name](rows[group])
        outputs = block.new_empty(graph.num_different_outputs, len(weights), block.shape[1])
        _write_sums(outputs, graph.to_outputs, values, first[graph.num_rows :], weights)
        yield examples, outputs


def _write_sums(target: Tensor, sums: RowSums, values: Tensor, first: Tensor, weights: Tensor) -> None:
    """Write w (sum over inputs + sum over hidden nodes) into the target, (nodes, weights, examples).

    Args:
        target: part of `values`, or outputs.
        sums: over hidden nodes.
        values: of all hidden nodes, (hidden nodes, weights, examples); only those of lower levels are read.
        first: sums over inputs, (nodes, 1, examples).
        weights: w, (weights, 1).
    """
    if len(sums.entries):
        total = sums.of(values.flatten(1)).view_as(target)
        torch.mul(total.add_(first), weights, out=target)
    else:
        torch.mul(first, weights, out=target)
