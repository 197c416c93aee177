"""From generation to generation: elite and culled networks, one mutation a child, and a state that restores exactly."""

import numpy as np
import pytest
import torch

from hornlib.evolution import wann
from hornlib.evolution.breeders import BREEDERS
from hornlib.evolution.genome import Frame
from hornlib.evolution.population import Population, first_population
from hornlib.models import MODELS
from hornlib.models.evolved.parameters import SHARED_WEIGHTS, WannParameters
from hornlib.parameters import Task
from hornlib.training.trainers import TRAINERS

FRAME = Frame(6, 3)
EVOLVED = {name: model for name, model in MODELS.items() if model.trainer == "evolution"}


def small(name):
    return EVOLVED[name](num_individuals=20)


def rewards_of(model, population):
    """Return arbitrary rewards, which are a pure function of the generation."""
    rng = np.random.default_rng(population.generation)
    return rng.normal(size=(len(population.genomes), len(model.shared_weights)))


def equal(first, second):
    """Say whether two generations have the same genomes in the same order."""
    arrays, others = ([array for genome in genomes for array in genome] for genomes in (first, second))
    return len(arrays) == len(others) and all(map(np.array_equal, arrays, others))


def evolved(model, generations, seed=0, population=None):
    population = population or first_population(model, FRAME, seed)
    while population.generation < generations:
        population = BREEDERS[model.name](model, population, rewards_of(model, population), seed)
    return population


def test_every_model_that_evolves_breeds_and_has_no_other_trainer():
    assert BREEDERS.keys() == EVOLVED.keys()
    assert {model.trainer for model in MODELS.values()} == TRAINERS.keys()


@pytest.mark.parametrize("name", EVOLVED)
def test_the_number_of_networks_stays(name):
    model = small(name)
    population = evolved(model, 6)
    assert len(population.genomes) == 20
    assert model.networks_per_example == 20 * len(model.shared_weights)


@pytest.mark.parametrize("name", EVOLVED)
def test_the_cost_is_the_mean_of_the_first_generation(name):
    task = Task((6,), 3)
    model = EVOLVED[name](num_individuals=400, initial_connections=0.3)
    numbers = [genome.num_enabled for genome in first_population(model, FRAME, 0).genomes]
    assert np.mean(numbers) == pytest.approx(model.cost(task).num_parameters, abs=0.5)
    assert model.with_width(model.width()) == model and model.problems(task) == []


@pytest.mark.parametrize("name", EVOLVED)
def test_a_restored_generation_goes_on_as_if_nothing_had_happened(name, tmp_path):
    model = small(name)
    halfway, path = evolved(model, 5), tmp_path / "state"
    torch.save(halfway.state(), path)
    restored = Population.restored(torch.load(path, weights_only=True))
    expected, resumed = evolved(model, 12), evolved(model, 12, population=restored)
    assert equal(expected.genomes, resumed.genomes)
    assert expected.innovations.state() == resumed.innovations.state()
    assert len(expected.species) == len(resumed.species)


@pytest.mark.parametrize("name", EVOLVED)
def test_the_seed_alone_decides(name):
    model = small(name)
    assert equal(evolved(model, 4).genomes, evolved(model, 4).genomes)
    assert not equal(evolved(model, 4).genomes, evolved(model, 4, seed=1).genomes)


def test_the_best_stay_the_worst_have_no_children_and_children_have_one_mutation():
    model = WannParameters(num_individuals=20, num_contestants=3, initial_connections=0.5)
    population = evolved(model, 8)
    rewards = rewards_of(model, population)
    order = wann.ranking(model, population.genomes, rewards, wann.random_numbers(0, population.generation))
    following = wann.next_generation(model, population, rewards, 0)
    best = [population.genomes[place] for place in order[:3]]  # floor(.2 * 16) of the 16 that are not culled
    assert all(genome is other for genome, other in zip(following.genomes, best, strict=False))
    breeders = [population.genomes[place] for place in order[:16]]
    for child in following.genomes[3:]:
        assert any(is_one_mutation(parent, child) for parent in breeders)


def is_one_mutation(parent, child):
    new = np.setdiff1d(child.innovations, parent.innovations)
    if np.setdiff1d(parent.innovations, child.innovations).size:
        return False
    as_before = np.isin(child.innovations, parent.innovations)
    switched = int((child.enabled[as_before] != parent.enabled).sum())
    shared = child.activations[: len(parent.hidden)]
    changed = int((shared != parent.activations).sum())
    return (len(new), len(child.hidden) - len(parent.hidden), switched, changed) in {
        (1, 0, 0, 0),
        (2, 1, 1, 0),
        (0, 0, 1, 0),
        (0, 0, 0, 1),
    }


def test_the_second_objective_is_the_number_of_connections_or_the_largest_reward():
    rng = np.random.default_rng(0)
    by_size, by_largest = (WannParameters(size_ranking=share) for share in (1.0, 0.0))
    genomes = first_population(WannParameters(num_individuals=4, initial_connections=0.5), FRAME, 1).genomes
    rewards = np.zeros((4, 6))  # equal means: the second objective decides
    rewards[2] = [5, -5, 0, 0, 0, 0]
    fewest = int(np.argmin([genome.num_enabled for genome in genomes]))
    assert wann.ranking(by_size, genomes, rewards, rng)[0] == fewest
    assert wann.ranking(by_largest, genomes, rewards, rng)[0] == 2


def test_the_published_settings_are_the_defaults():
    published = {
        "connection_mutations": 0.2,
        "split_mutations": 0.25,
        "enable_mutations": 0.05,
        "activation_mutations": 0.5,
        "size_ranking": 0.8,
        "culled": 0.2,
        "elite": 0.2,
        "num_contestants": 32,
        "initial_connections": 0.05,
        "num_individuals": 960,
    }
    assert published.items() <= WannParameters().canonical().items()
    assert SHARED_WEIGHTS == (-2, -1, -0.5, 0.5, 1, 2)


def test_without_a_mutation_that_a_first_network_can_have_there_is_a_problem():
    model = WannParameters(connection_mutations=0, split_mutations=0, enable_mutations=0)
    (problem,) = model.problems(Task((6,), 3))
    assert "connection_mutations, split_mutations and enable_mutations are all 0" in problem
