"""Many networks as one graph: nodes in the order of their levels, grouped by activation, and sums over connections.

Only nodes from which a path leads to an output are in the graph. The nodes of all networks stand in one list of rows,
first all nodes of level 1, which read inputs alone, then those of level 2, and so on. Within a level the nodes of one
activation are neighbours, so that one call computes them for all networks.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hornlib.evolution.activations import ACTIVATION_WORK
from hornlib.evolution.genome import Frame, Genome, IntArray

__all__ = ["Level", "PopulationGraph", "RowSums", "compiled"]


class RowSums(NamedTuple):
    """Weighted sums of rows: entry k of sum i reads the row `entries[k]`, for starts[i] <= k < starts[i + 1].

    Attributes:
        entries: rows that are read, (entries,) int64.
        starts: number of entries before each sum, and their total, (sums + 1,) int64.
        weights: (entries,) float32; None where all are 1.
    """

    entries: Tensor
    starts: Tensor
    weights: Tensor | None

    def of(self, rows: Tensor) -> Tensor:
        """Return the sums, (sums, columns).

        Args:
            rows: (rows, columns); only those are read that the sums need.
        """
        return functional.embedding_bag(
            self.entries,
            rows,
            self.starts,
            mode="sum",
            per_sample_weights=self.weights,
            include_last_offset=True,
        )

    def rows(self) -> Tensor:
        """Return the number of the sum to which each entry belongs, (entries,) int64."""
        return torch.arange(len(self.starts) - 1).repeat_interleave(self.starts.diff())


class Level(NamedTuple):
    """Nodes that can be computed together, since none of them reads another one.

    Attributes:
        rows: first row, and the one after the last.
        sums: over nodes of lower levels.
        groups: name of an activation, and its rows within the level.
    """

    rows: slice
    sums: RowSums
    groups: list[tuple[str, slice]]


class PopulationGraph(NamedTuple):
    """Networks in the order of their evaluation.

    Attributes:
        num_networks, num_outputs, num_rows: numbers of networks, of outputs of each, and of all hidden nodes.
        from_inputs: sums over inputs, of all hidden nodes and then of the outputs of each network.
        levels: hidden nodes, ascending.
        to_outputs: sums over hidden nodes, of the outputs of each network.
        flops: of one forward pass of one example by each network, (networks,) int64: 2 for each connection that leads
            to an output, and the work of the activations.
    """

    num_networks: int
    num_outputs: int
    num_rows: int
    from_inputs: RowSums
    levels: list[Level]
    to_outputs: RowSums
    flops: IntArray


class _Edges(NamedTuple):
    """Enabled connections of all networks. A node is an input, a hidden node of the list of all, or an output of it.

    Attributes:
        network: to which the connection belongs.
        sources, targets: indices among inputs, all hidden nodes, or all outputs, as the flags say.
        weights: of the connections.
        is_from_input, is_to_output: kind of the source and of the target.
    """

    network: IntArray
    sources: IntArray
    targets: IntArray
    weights: np.ndarray
    is_from_input: np.ndarray
    is_to_output: np.ndarray

    def chosen(self, which: np.ndarray) -> "_Edges":
        return _Edges(*(part[which] for part in self))


def compiled(
    genomes: Sequence[Genome], frame: Frame, activations: Sequence[str], has_weights: bool
) -> PopulationGraph:
    """Return the graph of all networks.

    Args:
        genomes: the networks.
        frame: the nodes that they share.
        activations: names that the genomes' indices mean.
        has_weights: whether connections have weights of their own; otherwise a sum has none.
    """
    num_hidden = np.array([len(genome.hidden) for genome in genomes])
    edges = _edges(genomes, frame, num_hidden)
    is_live = _live_nodes(edges, int(num_hidden.sum()))
    edges = edges.chosen(edges.is_to_output | _at(is_live, edges.targets, ~edges.is_to_output))
    levels = _levels(edges, len(is_live))
    kinds = np.concatenate([genome.activations for genome in genomes])
    live = np.flatnonzero(is_live)
    order = live[np.lexsort((kinds[live], levels[live]))]
    rows = np.zeros(len(is_live), np.int64)
    rows[order] = np.arange(len(order))

    num_rows, num_outputs = len(order), len(genomes) * frame.num_outputs
    targets = np.where(
        edges.is_to_output, num_rows + edges.targets, _at(rows, edges.targets, ~edges.is_to_output)
    )
    sources = np.where(edges.is_from_input, edges.sources, _at(rows, edges.sources, ~edges.is_from_input))
    edges = edges._replace(sources=sources, targets=targets)
    inner = edges.chosen(~edges.is_from_input)
    hidden_networks = np.repeat(np.arange(len(genomes)), num_hidden)
    work = np.array([ACTIVATION_WORK[name] for name in activations], np.int64)[kinds[live]]
    flops = 2 * np.bincount(edges.network, minlength=len(genomes))
    flops += np.bincount(hidden_networks[live], work, len(genomes)).astype(np.int64)
    return PopulationGraph(
        len(genomes),
        frame.num_outputs,
        num_rows,
        _row_sums(edges.chosen(edges.is_from_input), 0, num_rows + num_outputs, has_weights),
        list(_by_level(inner, levels[order], kinds[order], activations, has_weights)),
        _row_sums(inner, num_rows, num_rows + num_outputs, has_weights),
        flops,
    )


def _edges(genomes: Sequence[Genome], frame: Frame, num_hidden: IntArray) -> _Edges:
    """Return the enabled connections of all networks."""
    first_hidden = np.cumsum(num_hidden) - num_hidden
    parts = []
    for number, (genome, first) in enumerate(zip(genomes, first_hidden, strict=True)):
        sources, targets = genome.sources[genome.enabled], genome.targets[genome.enabled]
        is_from_input, is_to_output = sources < frame.num_sources, targets < frame.num_nodes
        sources = np.where(is_from_input, sources, first + np.searchsorted(genome.hidden, sources))
        targets = np.where(
            is_to_output,
            number * frame.num_outputs + targets - frame.num_sources,
            first + np.searchsorted(genome.hidden, targets),
        )
        network = np.full(len(sources), number)
        parts.append((network, sources, targets, genome.weights[genome.enabled], is_from_input, is_to_output))
    return _Edges(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _at(values: np.ndarray, index: IntArray, where: np.ndarray) -> np.ndarray:
    """Return values[index] at the places that are True, and 0 elsewhere, where the index means something else."""
    result = np.zeros(len(index), values.dtype)
    result[where] = values[index[where]]
    return result


def _live_nodes(edges: _Edges, num_hidden: int) -> np.ndarray:
    """Return from which hidden nodes a path of enabled connections leads to an output, (hidden nodes,) bool."""
    is_live = np.zeros(num_hidden, bool)
    inner = edges.chosen(~edges.is_from_input)
    is_live[inner.sources[inner.is_to_output]] = True
    between = inner.chosen(~inner.is_to_output)
    number = -1
    while number != (number := int(is_live.sum())):
        is_live[between.sources[is_live[between.targets]]] = True
    return is_live


def _levels(edges: _Edges, num_hidden: int) -> IntArray:
    """Return 1 + the number of hidden nodes on the longest path to every hidden node, (hidden nodes,)."""
    between = edges.chosen(~edges.is_from_input & ~edges.is_to_output)
    levels = np.ones(num_hidden, np.int64)
    while True:
        needed = levels[between.sources] + 1
        if (levels[between.targets] >= needed).all():
            return levels
        np.maximum.at(levels, between.targets, needed)


def _row_sums(edges: _Edges, first: int, last: int, has_weights: bool) -> RowSums:
    """Return the sums of the targets from `first` to `last`, without `last`."""
    edges = edges.chosen((edges.targets >= first) & (edges.targets < last))
    order = np.argsort(edges.targets, kind="stable")
    starts = np.searchsorted(edges.targets[order], np.arange(first, last + 1))
    weights = torch.from_numpy(edges.weights[order]) if has_weights else None
    return RowSums(torch.from_numpy(edges.sources[order]), torch.from_numpy(starts), weights)


def _by_level(
    inner: _Edges, levels: IntArray, kinds: IntArray, activations: Sequence[str], has_weights: bool
) -> list[Level]:
    """Return the levels of hidden nodes.

    Args:
        inner: connections between hidden nodes, by rows.
        levels, kinds: level and index of the activation of every row, ascending.
        activations: their names.
        has_weights: whether connections have weights.
    """
    result = []
    for level in range(1, levels.max(initial=0) + 1):
        first, last = np.searchsorted(levels, [level, level + 1]).tolist()
        borders = first + np.searchsorted(kinds[first:last], np.arange(len(activations) + 1))
        groups = [
            (name, slice(int(start) - first, int(end) - first))
            for name, start, end in zip(activations, borders, borders[1:], strict=False)
            if end > start
        ]
        result.append(Level(slice(first, last), _row_sums(inner, first, last, has_weights), groups))
    return result
