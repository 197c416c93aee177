"""A genome: the hidden nodes and connections of one feed-forward network, and what follows from them."""

import math
from typing import NamedTuple

import numpy as np

from hornlib.parameters import Task

__all__ = ["Frame", "Genome", "first_genome", "frame_of", "levels_of"]

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


class Frame(NamedTuple):
    """The nodes that all networks of a population share.

    Their numbers are 0 to num_inputs - 1 for the inputs, num_inputs for the constant 1, and the next `num_outputs` for
    the outputs. Hidden nodes have larger numbers.

    Attributes:
        num_inputs: numbers of an example, without the constant.
        num_outputs: outputs of a network.
    """

    num_inputs: int
    num_outputs: int

    @property
    def num_sources(self) -> int:
        """Inputs and the constant."""
        return self.num_inputs + 1

    @property
    def num_nodes(self) -> int:
        """Inputs, the constant and outputs; the number of the first hidden node."""
        return self.num_sources + self.num_outputs

    @property
    def num_pairs(self) -> int:
        """Pairs of an input or the constant with an output."""
        return self.num_sources * self.num_outputs


def frame_of(task: Task) -> Frame:
    """Return the nodes that all networks of a task share.

    Args:
        task: shapes of inputs and outputs.
    """
    return Frame(math.prod(task.input_shape), task.num_outputs)


class Genome(NamedTuple):
    """One network. No array is changed in place, so that genomes share what they have in common.

    Attributes:
        hidden: numbers of the hidden nodes, ascending, (nodes,) int64.
        activations: of the hidden nodes, index in the model's tuple of activations, (nodes,) int64.
        innovations: of the connections, ascending and each once, (connections,) int64. Two connections of a run have
            the same innovation if and only if they are the same change at the same place in the same generation.
        sources, targets: numbers of the nodes that a connection joins, (connections,) int64.
        weights: (connections,) float32; 1 where all connections share one weight.
        enabled: whether a connection transmits, (connections,) bool. Genes that are disabled can be enabled again.
    """

    hidden: IntArray
    activations: IntArray
    innovations: IntArray
    sources: IntArray
    targets: IntArray
    weights: np.ndarray
    enabled: np.ndarray

    @property
    def num_enabled(self) -> int:
        """Number of connections that transmit."""
        return int(self.enabled.sum())


def first_genome(frame: Frame, enabled: np.ndarray, weights: np.ndarray) -> Genome:
    """Return a genome without hidden nodes, with a gene for each pair of an input or the constant and an output.

    Args:
        frame: the shared nodes.
        enabled: which of the pairs are connected, (pairs,) bool, the outputs of one input after another.
        weights: (pairs,).
    """
    innovations = np.arange(frame.num_pairs)
    sources, outputs = np.divmod(innovations, frame.num_outputs)
    none = np.zeros(0, np.int64)
    return Genome(
        none, none, innovations, sources, frame.num_sources + outputs, weights.astype(np.float32), enabled
    )


def levels_of(genome: Genome, frame: Frame) -> IntArray:
    """Return the level of every hidden node: 1 + the largest level of its sources, where inputs have 0; (nodes,).

    Disabled connections count, because they can be enabled again. A connection from a lower to a higher level therefore
    never closes a cycle.

    Args:
        genome: the network.
        frame: the shared nodes.

    Raises:
        ValueError: the connections have a cycle.
    """
    levels = np.ones(len(genome.hidden), np.int64)
    between = (genome.sources >= frame.num_nodes) & (genome.targets >= frame.num_nodes)
    sources = np.searchsorted(genome.hidden, genome.sources[between])
    targets = np.searchsorted(genome.hidden, genome.targets[between])
    for _ in range(len(levels) + 1):
        before = levels[targets]
        needed = levels[sources] + 1
        if (before >= needed).all():
            return levels
        np.maximum.at(levels, targets, needed)
    raise ValueError("the connections have a cycle")
