"""Mutations of a genome: a new connection, a node within a connection, a connection enabled, another activation.

A mutation that is impossible returns None, such as a new connection in a network that has all of them.
"""

import numpy as np

from hornlib.evolution.genome import Frame, Genome, levels_of
from hornlib.evolution.innovations import Innovations

__all__ = ["add_connection", "change_activation", "enable_connection", "split_connection"]


def add_connection(
    genome: Genome, frame: Frame, innovations: Innovations, rng: np.random.Generator, weight: float = 1.0
) -> Genome | None:
    """Add a connection from a random node to a random node of a higher level to which it has none.

    Inputs have level 0 and outputs the highest, so that the network stays free of cycles. A disabled connection counts
    as one that is present.

    Args:
        genome: the network.
        frame: the shared nodes.
        innovations: gives the connection its number.
        rng: draws the nodes.
        weight: of the connection.
    """
    levels = levels_of(genome, frame)
    sources = np.concatenate([np.arange(frame.num_sources), genome.hidden])
    source_levels = np.concatenate([np.zeros(frame.num_sources, np.int64), levels])
    targets = np.concatenate([np.arange(frame.num_sources, frame.num_nodes), genome.hidden])
    target_levels = np.concatenate([np.full(frame.num_outputs, levels.max(initial=0) + 1, np.int64), levels])
    for place in rng.permutation(len(sources)).tolist():  # the first draw nearly always has a target
        source = sources[place]
        present = genome.targets[genome.sources == source]
        free = targets[(target_levels > source_levels[place]) & ~np.isin(targets, present)]
        if len(free):
            target = rng.choice(free)
            innovation = innovations.connection(int(source), int(target))
            return _with_connections(genome, [innovation], [source], [target], [weight])
    return None


def split_connection(
    genome: Genome,
    innovations: Innovations,
    rng: np.random.Generator,
    activations: int,
    weight: float = 1.0,
) -> Genome | None:
    """Put a node with a random activation into a random enabled connection, which is disabled.

    The connection to the node has the given weight, the one from it the weight of the old connection.

    Args:
        genome: the network.
        innovations: gives the node and the connections their numbers.
        rng: draws the connection and the activation.
        activations: number of activations to choose from.
        weight: of the connection to the node.
    """
    candidates = np.flatnonzero(genome.enabled)
    if not len(candidates):
        return None
    place = rng.choice(candidates)
    node, into, out_of = innovations.split(int(genome.innovations[place]))
    enabled = genome.enabled.copy()
    enabled[place] = False
    genome = genome._replace(enabled=enabled)._replace(
        hidden=np.append(genome.hidden, node),  # the newest node has the largest number
        activations=np.append(genome.activations, rng.integers(activations)),
    )
    return _with_connections(
        genome,
        [into, out_of],
        [genome.sources[place], node],
        [node, genome.targets[place]],
        [weight, genome.weights[place]],
    )


def enable_connection(genome: Genome, rng: np.random.Generator) -> Genome | None:
    """Enable a random disabled connection.

    Args:
        genome: the network.
        rng: draws the connection.
    """
    candidates = np.flatnonzero(~genome.enabled)
    if not len(candidates):
        return None
    enabled = genome.enabled.copy()
    enabled[rng.choice(candidates)] = True
    return genome._replace(enabled=enabled)


def change_activation(genome: Genome, rng: np.random.Generator, activations: int) -> Genome | None:
    """Give a random hidden node another activation.

    Args:
        genome: the network.
        rng: draws the node and the activation.
        activations: number of activations to choose from.
    """
    if not len(genome.hidden) or activations < 2:
        return None
    changed = genome.activations.copy()
    place = rng.integers(len(changed))
    changed[place] = (changed[place] + rng.integers(1, activations)) % activations
    return genome._replace(activations=changed)


def _with_connections(
    genome: Genome, innovations: list[int], sources: list[int], targets: list[int], weights: list[float]
) -> Genome:
    """Return the genome with further enabled connections, in the order of all innovations."""
    new = [innovations, sources, targets, weights, [True] * len(innovations)]
    old = genome[-len(new) :]
    joined = [
        np.concatenate([array, np.asarray(values, array.dtype)])
        for array, values in zip(old, new, strict=True)
    ]
    first = len(genome.innovations) - 1
    if (
        np.diff(joined[0][first:]) < 0
    ).any():  # seldom: numbers that another child of the generation has first
        order = np.argsort(joined[0])
        joined = [array[order] for array in joined]
    return Genome(genome.hidden, genome.activations, *joined)
