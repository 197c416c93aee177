"""From one generation of NEAT to the next: species, shared fitness, crossover, mutations of weights and topology.

Reference:
    Stanley and Miikkulainen, Evolving neural networks through augmenting topologies, Evolutionary Computation 2002,
    sections 3 and 4.1.
"""

from math import ceil

import numpy as np

from hornlib.evolution.crossover import crossed
from hornlib.evolution.genome import Genome
from hornlib.evolution.mutation import add_connection, enable_connection, split_connection
from hornlib.evolution.population import Population, random_numbers
from hornlib.evolution.species import Species, allotted, assigned
from hornlib.models.evolved.parameters import NeatParameters

__all__ = ["LARGE_SPECIES", "fitness_of", "mutated_weights", "next_generation", "offspring_of_species"]

LARGE_SPECIES = 5
"""A species with more members than these keeps its champion unchanged (section 4.1)."""


def next_generation(
    model: NeatParameters, population: Population, rewards: np.ndarray, seed: int
) -> Population:
    """Return the next generation.

    The networks are assigned to species. Each species has offspring in proportion to the mean fitness of its members,
    which is the sum of their shared fitness; a species that stagnates has none.

    Args:
        model: probabilities and coefficients.
        population: this generation, with the species of the last one.
        rewards: mean reward of every network, (individuals, 1).
        seed: of the run.
    """
    rng = random_numbers(seed, population.generation)
    population.innovations.begin_generation()
    fitness = fitness_of(rewards)
    members = assigned(
        population.genomes,
        [species.representative for species in population.species],
        model.species_distance,
        model.gene_distance,
        model.weight_distance,
    )
    species = _updated(population, members, fitness)
    offspring = offspring_of_species(model, species, members, fitness, population.generation)
    genomes = []
    for number, places in zip(offspring, members, strict=True):
        genomes += _children(model, population, places, fitness, int(number), rng)
    survivors = [kind for kind, number in zip(species, offspring, strict=True) if number]
    return Population(population.frame, genomes, population.innovations, survivors, population.generation + 1)


def fitness_of(rewards: np.ndarray) -> np.ndarray:
    """Return exp(mean reward), which is positive, as shared fitness must be, (individuals,).

    Of a cross-entropy it is the geometric mean of the probabilities that the network gives to the right classes.

    Args:
        rewards: (individuals, weights).
    """
    return np.exp(rewards.mean(1))


def _updated(population: Population, members: list[list[int]], fitness: np.ndarray) -> list[Species]:
    """Return the species with the representatives and the best fitness of this generation; new ones at the end."""
    updated = []
    for place, genomes in enumerate(members):
        best = float(fitness[genomes].max()) if genomes else -np.inf
        if place < len(population.species):
            old = population.species[place]
            if not genomes or best <= old.best_fitness:
                representative = population.genomes[genomes[0]] if genomes else old.representative
                updated.append(old._replace(representative=representative))
                continue
        updated.append(Species(population.genomes[genomes[0]], best, population.generation))
    return updated


def offspring_of_species(
    model: NeatParameters,
    species: list[Species],
    members: list[list[int]],
    fitness: np.ndarray,
    generation: int,
) -> np.ndarray:
    """Return the number of offspring of every species, (species,) int64; their sum is the number of networks.

    Args:
        model: how long a species may stagnate.
        species: after this generation.
        members: indices of the genomes of every species.
        fitness: (individuals,).
        generation: number of this generation.
    """
    means = np.array([fitness[genomes].mean() if genomes else 0.0 for genomes in members])
    best = [fitness[genomes].max() if genomes else 0.0 for genomes in members]
    stagnates = np.array([generation - kind.improved_at >= model.stagnation for kind in species])
    stagnates[int(np.argmax(best))] = False
    return allotted(np.where(stagnates, 0.0, means), model.num_individuals)


def _children(
    model: NeatParameters,
    population: Population,
    places: list[int],
    fitness: np.ndarray,
    number: int,
    rng: np.random.Generator,
) -> list[Genome]:
    """Return the offspring of one species: perhaps its champion, and children of its best members."""
    if not number:
        return []
    order = sorted(places, key=lambda place: (-fitness[place], place))
    parents = order[: max(1, ceil(model.survivors * len(order)))]
    children = [population.genomes[order[0]]] if len(order) > LARGE_SPECIES else []
    while len(children) < number:
        first = parents[rng.integers(len(parents))]
        child = population.genomes[first]
        if rng.random() < model.crossover:
            any_species = rng.random() < model.interspecies
            second = rng.integers(len(fitness)) if any_species else parents[rng.integers(len(parents))]
            fitter, other = (first, second) if fitness[first] >= fitness[second] else (second, first)
            child = crossed(
                population.genomes[fitter], population.genomes[other], rng, model.disabled_inheritance
            )
        children.append(_mutated(model, population, child, rng))
    return children


def _mutated(
    model: NeatParameters, population: Population, genome: Genome, rng: np.random.Generator
) -> Genome:
    """Return the genome after the mutations that are drawn, each with its own probability."""
    frame, innovations = population.frame, population.innovations
    if rng.random() < model.weight_mutation:
        genome = mutated_weights(model, genome, rng)
    if rng.random() < model.split_mutation:
        genome = split_connection(genome, innovations, rng, activations=1) or genome
    if rng.random() < model.connection_mutation:
        weight = float(rng.normal(0, model.initial_weights))
        genome = add_connection(genome, frame, innovations, rng, weight) or genome
    if rng.random() < model.enable_mutation:
        genome = enable_connection(genome, rng) or genome
    return genome


def mutated_weights(model: NeatParameters, genome: Genome, rng: np.random.Generator) -> Genome:
    """Return the genome with every weight changed by a normal step, or drawn anew.

    Args:
        model: size of the step, and the probability of a new weight.
        genome: the network.
        rng: draws the changes.
    """
    number = len(genome.weights)
    changed = genome.weights + rng.normal(0, model.weight_step, number)
    fresh = rng.normal(0, model.initial_weights, number)
    weights = np.where(rng.random(number) < model.weight_replacement, fresh, changed)
    return genome._replace(weights=weights.astype(np.float32))
