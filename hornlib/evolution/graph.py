"""Many networks as one graph, in which nodes that compute the same are one node.

Networks of a population descend from each other, so that most of their nodes have the same activation, the same sources
and the same weights, all the way down to the inputs. Such nodes have the same hash and are computed once for all. Nodes
from which no path leads to an output are left out.

The nodes stand in the order of their levels: first those that read inputs alone, then those that also read nodes of
level 1, and so on. Within a level the nodes of one activation are neighbours, so that one call computes them all.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hornlib.evolution.activations import ACTIVATION_WORK
from hornlib.evolution.genome import Frame, Genome, IntArray

__all__ = ["Level", "PopulationGraph", "RowSums", "compiled"]

HashArray = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]


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
            per_sample_weights=None if self.weights is None else self.weights.to(rows.dtype),
            include_last_offset=True,
        )

    def to(self, device: torch.device) -> "RowSums":
        """Return the sums with their indices on a device."""
        weights = None if self.weights is None else self.weights.to(device)
        return RowSums(self.entries.to(device), self.starts.to(device), weights)

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
        num_rows: number of different hidden nodes.
        from_inputs: sums over inputs, of these hidden nodes and then of the different outputs.
        levels: hidden nodes, ascending.
        to_outputs: sums over hidden nodes, of the different outputs.
        members: which of the different outputs each network has, (networks, outputs) int64.
        flops: of one forward pass of one example by each network by itself, (networks,) int64: 2 for each connection
            that leads to an output, and the work of the activations.
    """

    num_rows: int
    from_inputs: RowSums
    levels: list[Level]
    to_outputs: RowSums
    members: Tensor
    flops: IntArray

    def to(self, device: torch.device) -> "PopulationGraph":
        """Return the graph with its indices on the device of the examples."""
        return self._replace(
            from_inputs=self.from_inputs.to(device),
            levels=[level._replace(sums=level.sums.to(device)) for level in self.levels],
            to_outputs=self.to_outputs.to(device),
            members=self.members.to(device),
        )

    @property
    def num_different_outputs(self) -> int:
        """Number of sums for outputs."""
        return len(self.to_outputs.starts) - 1


class _Edges(NamedTuple):
    """Enabled connections of all networks.

    Attributes:
        networks: to which each belongs.
        sources: indices of inputs, or in the list of the hidden nodes of all networks.
        targets: indices in the list of the hidden nodes, or of the outputs, of all networks.
        weights: of the connections.
        is_from_input, is_to_output: which kind the source and the target are of.
    """

    networks: IntArray
    sources: IntArray
    targets: IntArray
    weights: np.ndarray
    is_from_input: np.ndarray
    is_to_output: np.ndarray

    def chosen(self, which: np.ndarray) -> "_Edges":
        return _Edges(*(part[which] for part in self))


class _Different(NamedTuple):
    """Different ones among things with hashes.

    Attributes:
        first: index of the first thing of each kind, (kinds,).
        kind: of each thing, (things,).
    """

    first: IntArray
    kind: IntArray


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
    kinds = np.concatenate([genome.activations for genome in genomes])
    edges = _edges(genomes, frame, num_hidden)
    is_live = _live_nodes(edges, len(kinds))
    edges = edges.chosen(edges.is_to_output | _at(is_live, edges.targets, ~edges.is_to_output))
    levels = _levels(edges, len(kinds))
    num_outputs = len(genomes) * frame.num_outputs
    node_hashes, output_hashes = _hashes(edges, levels, kinds, num_outputs)

    live = np.flatnonzero(is_live)
    nodes, outputs = _different(node_hashes[live]), _different(output_hashes)
    first = live[nodes.first]
    order = np.lexsort((first, kinds[first], levels[first]))
    row_of = np.zeros(len(kinds), np.int64)
    row_of[live] = np.argsort(order)[nodes.kind]
    counted = _flops(genomes, edges, live, kinds, num_hidden, activations)
    edges = _computed(edges, first, outputs, row_of, node_hashes)
    inner = edges.chosen(~edges.is_from_input)
    num_rows, last = len(first), len(first) + len(outputs.first)
    return PopulationGraph(
        num_rows,
        _row_sums(edges.chosen(edges.is_from_input), 0, last, has_weights),
        list(_by_level(inner, levels[first[order]], kinds[first[order]], activations, has_weights)),
        _row_sums(inner, num_rows, last, has_weights),
        torch.from_numpy(outputs.kind.reshape(len(genomes), frame.num_outputs)),
        counted,
    )


def _edges(genomes: Sequence[Genome], frame: Frame, num_hidden: IntArray) -> _Edges:
    """Return the enabled connections of all networks."""
    enabled = np.concatenate([genome.enabled for genome in genomes])
    networks = np.repeat(np.arange(len(genomes)), [len(genome.enabled) for genome in genomes])[enabled]
    sources, targets, weights = (
        np.concatenate([getattr(genome, name) for genome in genomes])[enabled]
        for name in ("sources", "targets", "weights")
    )
    hidden = np.concatenate([genome.hidden for genome in genomes])
    span = 1 + hidden.max(initial=0)  # the numbers of a network's nodes, and of the next one's behind them
    hidden += span * np.repeat(np.arange(len(genomes)), num_hidden)
    is_from_input, is_to_output = sources < frame.num_sources, targets < frame.num_nodes
    output = networks * frame.num_outputs + targets - frame.num_sources
    return _Edges(
        networks,
        np.where(is_from_input, sources, np.searchsorted(hidden, sources + span * networks)),
        np.where(is_to_output, output, np.searchsorted(hidden, targets + span * networks)),
        weights,
        is_from_input,
        is_to_output,
    )


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


def _mixed(numbers: HashArray) -> HashArray:
    """Return numbers of 64 bits that look random: the finaliser of SplitMix64 (Steele et al. 2014)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _hashes(
    edges: _Edges, levels: IntArray, kinds: IntArray, num_outputs: int
) -> tuple[HashArray, HashArray]:
    """Return the hashes of all hidden nodes and of all outputs: equal if they compute the same from the inputs.

    The hash of a node follows from its activation and from the sum of the hashes of its connections, and that of a
    connection from its source and its weight. Two different nodes of a generation have the same one by chance once in
    some 10^11 generations.
    """
    nodes, outputs = np.zeros(len(kinds), np.uint64), np.zeros(num_outputs, np.uint64)
    of_weight = _mixed(edges.weights.astype(np.float32).view(np.uint32).astype(np.uint64))
    of_input = _mixed(edges.sources.astype(np.uint64))
    of_kind = _mixed(kinds.astype(np.uint64) + np.uint64(1))
    level_of_target = _at(levels, edges.targets, ~edges.is_to_output)
    level_of_target[edges.is_to_output] = levels.max(initial=0) + 1
    order = np.argsort(level_of_target, kind="stable")
    borders = np.searchsorted(level_of_target[order], np.arange(1, levels.max(initial=0) + 3))
    for level, (start, end) in enumerate(pairwise(borders), 1):
        into = order[start:end]
        source = np.where(
            edges.is_from_input[into],
            of_input[into],
            _at(nodes, edges.sources[into], ~edges.is_from_input[into]),
        )
        of_connection = _mixed(source + of_weight[into])
        is_last = level > levels.max(initial=0)
        np.add.at(outputs if is_last else nodes, edges.targets[into], of_connection)
        if not is_last:
            here = levels == level
            nodes[here] = _mixed(nodes[here] + of_kind[here])
    return nodes, outputs


def _different(hashes: HashArray) -> _Different:
    _, first, kind = np.unique(hashes, return_index=True, return_inverse=True)
    return _Different(first, kind)


def _flops(
    genomes: Sequence[Genome],
    edges: _Edges,
    live: IntArray,
    kinds: IntArray,
    num_hidden: IntArray,
    activations: Sequence[str],
) -> IntArray:
    """Return the FLOPs of one forward pass of one example by each network by itself, (networks,)."""
    work = np.array([ACTIVATION_WORK[name] for name in activations], np.int64)[kinds[live]]
    networks = np.repeat(np.arange(len(genomes)), num_hidden)[live]
    products = 2 * np.bincount(edges.networks, minlength=len(genomes))
    return products + np.bincount(networks, work, len(genomes)).astype(np.int64)


def _computed(
    edges: _Edges, first: IntArray, outputs: _Different, row_of: IntArray, node_hashes: HashArray
) -> _Edges:
    """Return the connections into the nodes that are computed, by rows: hidden nodes first, then outputs.

    The connections of a node are in the order of their sources' hashes, so that sums do not depend on which of several
    equal nodes stands for them.

    Args:
        edges: of all networks.
        first: index of the hidden node that stands for each row, in any order.
        outputs: the different outputs.
        row_of: row of each hidden node.
        node_hashes: of each hidden node.
    """
    stands, output_stands = np.zeros(len(row_of), bool), np.zeros(len(outputs.kind), bool)
    stands[first], output_stands[outputs.first] = True, True
    is_computed = _at(stands, edges.targets, ~edges.is_to_output) | _at(
        output_stands, edges.targets, edges.is_to_output
    )
    edges = edges.chosen(is_computed)
    by_hash = np.where(
        edges.is_from_input,
        edges.sources.astype(np.uint64),
        _at(node_hashes, edges.sources, ~edges.is_from_input),
    )
    edges = edges.chosen(np.argsort(by_hash, kind="stable"))
    targets = np.where(
        edges.is_to_output,
        len(first) + _at(outputs.kind, edges.targets, edges.is_to_output),
        _at(row_of, edges.targets, ~edges.is_to_output),
    )
    sources = np.where(edges.is_from_input, edges.sources, _at(row_of, edges.sources, ~edges.is_from_input))
    return edges._replace(sources=sources, targets=targets)


def _row_sums(edges: _Edges, first: int, last: int, has_weights: bool) -> RowSums:
    """Return the sums of the targets from `first` to `last`, without `last`; entries keep the order of the edges."""
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
        inner: connections from hidden nodes, by rows.
        levels, kinds: level and index of the activation of every row, ascending.
        activations: their names.
        has_weights: whether connections have weights.
    """
    result = []
    for level in range(1, levels.max(initial=0) + 1):
        first, last = np.searchsorted(levels, [level, level + 1]).tolist()
        borders = np.searchsorted(kinds[first:last], np.arange(len(activations) + 1)).tolist()
        groups = [
            (name, slice(start, end))
            for name, start, end in zip(activations, borders, borders[1:], strict=False)
            if end > start
        ]
        result.append(Level(slice(first, last), _row_sums(inner, first, last, has_weights), groups))
    return result
