"""Networks that random mutations made, and a plain evaluation of one network node by node."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from hornlib.evolution.genome import Frame, first_genome
from hornlib.evolution.innovations import Innovations
from hornlib.evolution.population import Population
from hornlib.evolution.wann import mutated
from hornlib.models.evolved.parameters import WannParameters

FRAME = Frame(num_inputs=4, num_outputs=3)

WANN = WannParameters(num_individuals=8, num_contestants=2, step_activation="with", initial_connections=0.4)

PLAIN = {
    "linear": lambda x: x,
    "sine": lambda x: np.sin(np.pi * x),
    "gauss": lambda x: np.exp(-(x**2) / 2),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "inverse": lambda x: -x,
    "absolute": abs,
    "relu": lambda x: max(x, 0.0),
    "cosine": lambda x: np.cos(np.pi * x),
    "step": lambda x: float(x > 0),
}


def grown(mutations, seed=0, frame=FRAME, model=WANN):
    """Return a genome after some mutations, one in each generation."""
    rng = np.random.default_rng(seed)
    enabled = rng.random(frame.num_pairs) < model.initial_connections
    genome = first_genome(frame, enabled, np.ones(frame.num_pairs))
    population = Population(frame, [genome], Innovations(frame))
    for _ in range(mutations):
        population.innovations.begin_generation()
        genome = mutated(model, population, genome, rng)
    return genome


def with_own_weights(genome, seed=0):
    """Return the genome with a random weight for each connection."""
    weights = np.random.default_rng(seed).normal(size=len(genome.weights))
    return genome._replace(weights=weights.astype(np.float32))


def plain_outputs(genome, frame, names, example, shared_weight):
    """Return the outputs of one network for one example, by recursion from the outputs, in double precision."""
    activation_of = {
        node: PLAIN[names[kind]]
        for node, kind in zip(genome.hidden.tolist(), genome.activations, strict=True)
    }
    genes = zip(
        genome.sources.tolist(),
        genome.targets.tolist(),
        genome.weights.tolist(),
        genome.enabled.tolist(),
        strict=True,
    )
    connections = [gene[:3] for gene in genes if gene[3]]

    @cache
    def value(node):
        if node < frame.num_inputs:
            return float(example[node])
        if node == frame.num_inputs:
            return 1.0
        total = sum(
            shared_weight * weight * value(source) for source, target, weight in connections if target == node
        )
        return activation_of[node](total) if node in activation_of else total

    return [value(frame.num_sources + output) for output in range(frame.num_outputs)]


@pytest.fixture
def networks():
    """Functions and constants that the tests of this folder share."""
    return SimpleNamespace(
        frame=FRAME, wann=WANN, grown=grown, with_own_weights=with_own_weights, plain_outputs=plain_outputs
    )
