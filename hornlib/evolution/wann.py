"""From one generation of weight-agnostic networks to the next: ranks, elite, tournaments, one mutation a child.

Reference:
    Gaier and Ha, Weight agnostic neural networks, NeurIPS 2019, section 3, and the settings of their MNIST experiment.
"""

from collections.abc import Callable
from math import floor

import numpy as np

from hornlib.evolution.activations import activations_of
from hornlib.evolution.genome import Genome
from hornlib.evolution.mutation import (
    add_connection,
    change_activation,
    enable_connection,
    split_connection,
)
from hornlib.evolution.population import Population, random_numbers
from hornlib.evolution.ranking import ranked
from hornlib.models.evolved.parameters import WannParameters

__all__ = ["mutated", "next_generation", "ranking"]


def next_generation(
    model: WannParameters, population: Population, rewards: np.ndarray, seed: int
) -> Population:
    """Return the next generation.

    The worst networks are culled. The best of the others stay as they are. All other places go to children, each with
    one mutation, whose parent is the best of some networks that are drawn with replacement. There is no crossover.

    Args:
        model: shares and frequencies.
        population: this generation.
        rewards: mean reward of every network at every shared weight, (individuals, weights); more is better.
        seed: of the run.
    """
    rng = random_numbers(seed, population.generation)
    population.innovations.begin_generation()
    order = ranking(model, population.genomes, rewards, rng)
    number = len(order)
    breeders = order[: number - floor(model.culled * number)]
    num_elite = floor(model.elite * len(breeders))
    draws = rng.integers(len(breeders), size=(number - num_elite, model.num_contestants))
    elite = [population.genomes[place] for place in breeders[:num_elite]]
    parents = [population.genomes[place] for place in breeders[draws.min(1)]]
    children = [mutated(model, population, parent, rng) for parent in parents]
    return Population(
        population.frame, [*elite, *children], population.innovations, [], population.generation + 1
    )


def ranking(
    model: WannParameters, genomes: list[Genome], rewards: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the networks from best to worst, (individuals,) int64.

    The first objective is the mean reward over the shared weights. The second one is, for the whole generation, either
    1 / (enabled connections) or the largest reward.

    Args:
        model: probability of the first kind.
        genomes: of the generation.
        rewards: (individuals, weights).
        rng: draws the kind.
    """
    if rng.random() < model.size_ranking:
        second = 1 / np.maximum([genome.num_enabled for genome in genomes], 1)
    else:
        second = rewards.max(1)
    return ranked(np.stack([rewards.mean(1), second], 1))


def mutated(
    model: WannParameters, population: Population, genome: Genome, rng: np.random.Generator
) -> Genome:
    """Return the genome after one mutation, drawn by the frequencies of those that are possible.

    A genome without any possible mutation is returned as it is.

    Args:
        model: frequencies.
        population: shared nodes and innovations.
        genome: the parent.
        rng: draws the mutation and its place.
    """
    frame, innovations = population.frame, population.innovations
    number = len(activations_of(model))
    mutations: list[tuple[float, Callable[[], Genome | None]]] = [
        (model.connection_mutations, lambda: add_connection(genome, frame, innovations, rng)),
        (model.split_mutations, lambda: split_connection(genome, innovations, rng, number)),
        (model.enable_mutations, lambda: enable_connection(genome, rng)),
        (model.activation_mutations, lambda: change_activation(genome, rng, number)),
    ]
    frequencies = np.array([frequency for frequency, _ in mutations])
    while (total := frequencies.sum()) > 0:
        place = int(np.searchsorted(frequencies.cumsum(), rng.random() * total, side="right"))
        child = mutations[place][1]()
        if child is not None:
            return child
        frequencies[place] = 0
    return genome
