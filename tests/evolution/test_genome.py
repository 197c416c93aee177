"""Genomes and mutations: no cycles, innovations that occur once, and each mutation changes what it says."""

from collections import Counter

import numpy as np
import pytest

from hornlib.evolution.genome import first_genome, levels_of
from hornlib.evolution.innovations import Innovations
from hornlib.evolution.mutation import add_connection, change_activation, enable_connection, split_connection
from hornlib.evolution.population import Population, packed_genomes, unpacked_genomes
from hornlib.evolution.wann import mutated


def has_cycle(genome):
    """Say whether connections, disabled ones too, lead from a hidden node back to it: nodes without sources go."""
    edges = {
        (source, target)
        for source, target in zip(genome.sources.tolist(), genome.targets.tolist(), strict=True)
    }
    nodes = set(genome.hidden.tolist())
    while nodes:
        free = {node for node in nodes if not any(t == node and s in nodes for s, t in edges)}
        if not free:
            return True
        nodes -= free
    return False


def test_a_thousand_mutations_leave_a_network_without_cycles_and_innovations_that_occur_once(networks):
    genome = networks.grown(1000)
    assert len(genome.hidden) > 100 and len(genome.innovations) > 300
    assert not has_cycle(genome)
    assert len(set(genome.innovations.tolist())) == len(genome.innovations)
    assert (np.diff(genome.innovations) > 0).all() and (np.diff(genome.hidden) > 0).all()
    pairs = list(zip(genome.sources.tolist(), genome.targets.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert {*genome.sources, *genome.targets} <= {*range(networks.frame.num_nodes), *genome.hidden}


def test_no_connection_leads_to_an_input_or_from_an_output(networks):
    genome, frame = networks.grown(300), networks.frame
    assert (genome.targets >= frame.num_sources).all()
    assert not ((genome.sources >= frame.num_sources) & (genome.sources < frame.num_nodes)).any()


def test_levels_rise_along_every_connection_between_hidden_nodes(networks):
    genome = networks.grown(200, seed=3)
    level = dict(zip(genome.hidden.tolist(), levels_of(genome, networks.frame).tolist(), strict=True))
    for source, target in zip(genome.sources.tolist(), genome.targets.tolist(), strict=True):
        if source in level and target in level:
            assert level[source] < level[target]
    assert min(level.values()) == 1


def test_a_cycle_is_refused(networks):
    genome = networks.grown(30)
    first, second = genome.hidden[:2]
    looped = genome._replace(
        innovations=np.append(genome.innovations, [10_000, 10_001]),
        sources=np.append(genome.sources, [first, second]),
        targets=np.append(genome.targets, [second, first]),
        weights=np.append(genome.weights, np.ones(2, np.float32)),
        enabled=np.append(genome.enabled, [False, False]),
    )
    with pytest.raises(ValueError, match="cycle"):
        levels_of(looped, networks.frame)


def test_a_split_puts_a_node_into_the_connection_and_disables_it(networks):
    frame, rng = networks.frame, np.random.default_rng(0)
    enabled = np.zeros(frame.num_pairs, bool)
    enabled[5] = True
    genome = first_genome(frame, enabled, np.full(frame.num_pairs, 0.5))
    child = split_connection(genome, Innovations(frame), rng, activations=9, weight=1.0)
    (node,) = child.hidden
    assert node == frame.num_nodes and not child.enabled[5] and child.enabled.sum() == 2
    source, target = genome.sources[5], genome.targets[5]
    assert child.sources[-2:].tolist() == [source, node] and child.targets[-2:].tolist() == [node, target]
    assert child.weights[-2:].tolist() == [1.0, 0.5]  # the second has the weight of the old connection
    assert genome.enabled[5] and not len(genome.hidden)  # the parent is as it was


def test_equal_changes_of_one_generation_have_equal_numbers_and_later_ones_have_not(networks):
    innovations = Innovations(networks.frame)
    first = innovations.split(3), innovations.connection(0, 9)
    assert (innovations.split(3), innovations.connection(0, 9)) == first
    assert innovations.split(4)[0] != first[0][0]
    innovations.begin_generation()
    later = innovations.split(3), innovations.connection(0, 9)
    numbers = [*first[0][1:], first[1], *later[0][1:], later[1]]
    assert len(set(numbers)) == len(numbers) and later[0][0] != first[0][0]


def test_a_new_connection_joins_nodes_that_had_none(networks):
    genome, frame = networks.grown(60, seed=1), networks.frame
    before = set(zip(genome.sources.tolist(), genome.targets.tolist(), strict=True))
    rng = np.random.default_rng(1)
    for _ in range(50):
        child = add_connection(genome, frame, Innovations(frame), rng, weight=2.0)
        after = set(zip(child.sources.tolist(), child.targets.tolist(), strict=True))
        assert before < after and len(after - before) == 1
        assert not has_cycle(child)


def test_impossible_mutations_return_nothing(networks):
    frame, rng = networks.frame, np.random.default_rng(0)
    nothing = first_genome(frame, np.zeros(frame.num_pairs, bool), np.ones(frame.num_pairs))
    everything = first_genome(frame, np.ones(frame.num_pairs, bool), np.ones(frame.num_pairs))
    assert split_connection(nothing, Innovations(frame), rng, 9) is None
    assert enable_connection(everything, rng) is None
    assert change_activation(everything, rng, 9) is None
    assert add_connection(everything, frame, Innovations(frame), rng) is None


def test_another_activation_is_another_one_of_one_node(networks):
    genome, rng = networks.grown(40, seed=2), np.random.default_rng(0)
    for _ in range(30):
        child = change_activation(genome, rng, 10)
        assert (child.activations != genome.activations).sum() == 1
        assert child.activations.min() >= 0 and child.activations.max() < 10


def test_mutations_are_as_frequent_as_their_parameters_say(networks):
    genome, rng, counts = networks.grown(40, seed=2), np.random.default_rng(5), Counter()
    population = Population(networks.frame, [genome], Innovations(networks.frame))
    for _ in range(4000):
        population.innovations.begin_generation()
        child = mutated(networks.wann, population, genome, rng)
        if len(child.hidden) > len(genome.hidden):
            counts["split"] += 1
        elif len(child.innovations) > len(genome.innovations):
            counts["connection"] += 1
        elif (child.enabled != genome.enabled).any():
            counts["enable"] += 1
        else:
            counts["activation"] += 1
    shares = {name: count / 4000 for name, count in counts.items()}
    assert shares == pytest.approx(
        {"connection": 0.2, "split": 0.25, "enable": 0.05, "activation": 0.5}, abs=0.03
    )


def test_packed_genomes_come_back_as_they_were(networks):
    genomes = [networks.grown(count, seed=count) for count in (0, 7, 0, 50)]
    for genome, restored in zip(genomes, unpacked_genomes(packed_genomes(genomes)), strict=True):
        for array, other in zip(genome, restored, strict=True):
            assert array.dtype == other.dtype and np.array_equal(array, other)
    assert unpacked_genomes(packed_genomes([])) == []
