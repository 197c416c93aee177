"""Species, crossover and offspring: numbers add up, children have the fitter parent's topology, stagnation ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hornlib.evolution import neat
from hornlib.evolution.crossover import crossed
from hornlib.evolution.genome import Frame
from hornlib.evolution.population import first_population
from hornlib.evolution.species import Species, aligned, allotted, distances_to
from hornlib.models.evolved.parameters import NeatParameters

shares_of_species = arrays(float, st.integers(1, 12), elements=st.floats(0, 1e3))


@given(shares_of_species, st.integers(0, 500))
def test_all_offspring_are_allotted_each_species_within_one_of_its_share(shares, number):
    offspring = allotted(shares, number)
    assert offspring.sum() == number and (offspring >= 0).all()
    if shares.sum() > 0:
        assert (abs(offspring - shares / shares.sum() * number) < 1 + 1e-9).all()


def test_a_distance_counts_unmatched_genes_and_the_mean_difference_of_matching_weights(networks):
    first = networks.grown(0)
    second = first._replace(
        innovations=np.append(first.innovations[:-2], [70, 80, 90]),
        sources=np.append(first.sources[:-2], [0, 0, 0]),
        targets=np.append(first.targets[:-2], [8, 9, 10]),
        weights=np.append(first.weights[:-2] + np.float32(0.5), np.ones(3, np.float32)),
        enabled=np.append(first.enabled[:-2], [True] * 3),
    )
    distances = distances_to(aligned([first, second]), 0, 2.0, 0.4)
    assert distances == pytest.approx([0, 2.0 * (2 + 3) / 16 + 0.4 * 0.5])  # genes: 15 and 16


def test_a_child_has_the_topology_of_the_fitter_parent_and_weights_of_both(networks):
    rng = np.random.default_rng(0)
    fitter = networks.with_own_weights(networks.grown(30), seed=1)
    other = networks.with_own_weights(networks.grown(50), seed=2)  # a descendant of the same first genome
    matching = np.intersect1d(fitter.innovations, other.innovations)
    weight_of_other = dict(zip(other.innovations.tolist(), other.weights, strict=True))
    shares = []
    for _ in range(200):
        child = crossed(fitter, other, rng, disabled_inheritance=0.75)
        for name in ("hidden", "activations", "innovations", "sources", "targets"):
            assert np.array_equal(getattr(child, name), getattr(fitter, name))
        is_matching = np.isin(child.innovations, matching)
        assert np.array_equal(child.weights[~is_matching], fitter.weights[~is_matching])
        from_other = [
            weight == weight_of_other[number]
            for number, weight in zip(
                child.innovations[is_matching].tolist(), child.weights[is_matching], strict=True
            )
        ]
        shares.append(np.mean(from_other))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)


def test_genes_that_one_parent_has_disabled_are_mostly_disabled_in_children(networks):
    rng = np.random.default_rng(0)
    first = networks.grown(0)
    fitter = first._replace(enabled=np.ones_like(first.enabled))
    other = first._replace(enabled=np.zeros_like(first.enabled))
    children = [crossed(fitter, other, rng, disabled_inheritance=0.75) for _ in range(300)]
    assert np.mean([child.enabled.mean() for child in children]) == pytest.approx(0.25, abs=0.02)
    assert crossed(fitter, fitter, rng, 0.75).enabled.all()


def next_of(model, population, rewards, generations=1):
    for _ in range(generations):
        population = neat.next_generation(model, population, rewards, seed=0)
    return population


def test_a_species_that_does_not_improve_has_no_offspring_unless_it_is_the_best():
    model = NeatParameters(num_individuals=12, stagnation=3)
    good, poor = (Species(None, fitness, 0) for fitness in (0.9, 0.5))
    members, fitness = [[0, 1, 2], [3, 4, 5]], np.array([0.9, 0.8, 0.7, 0.5, 0.4, 0.3])
    before = neat.offspring_of_species(model, [good, poor], members, fitness, generation=2)
    after = neat.offspring_of_species(model, [good, poor], members, fitness, generation=3)
    assert before.tolist() == [8, 4] and after.tolist() == [12, 0]  # means .8 and .4


def test_the_champion_of_a_large_species_stays_unchanged_and_the_number_of_networks_too():
    model = NeatParameters(num_individuals=20, species_distance=100.0)
    population = first_population(model, Frame(5, 3), seed=0)
    rewards = np.linspace(-3, -1, 20)[:, None]
    following = next_of(model, population, rewards)
    assert len(following.genomes) == 20 and len(following.species) == 1
    assert following.genomes[0] is population.genomes[19]
    assert following.generation == 1


def test_many_species_share_the_generation():
    model = NeatParameters(num_individuals=20, species_distance=0.3)
    population = first_population(model, Frame(5, 3), seed=0)
    following = next_of(model, population, np.linspace(-3, -1, 20)[:, None], generations=5)
    assert len(following.genomes) == 20 and len(following.species) > 3


def test_weights_change_by_steps_and_some_are_drawn_anew(networks):
    genome = networks.grown(60)
    genome = genome._replace(weights=np.full(len(genome.weights), 50, np.float32))
    model, rng = NeatParameters(weight_step=0.2, weight_replacement=0.3), np.random.default_rng(0)
    changed = np.concatenate([neat.mutated_weights(model, genome, rng).weights for _ in range(200)])
    is_new = changed < 25
    assert is_new.mean() == pytest.approx(0.3, abs=0.02)
    assert (changed[~is_new] - 50).std() == pytest.approx(0.2, rel=0.05)
    assert changed[is_new].std() == pytest.approx(1.0, rel=0.05)
