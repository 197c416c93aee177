"""NEAT agrees with neat-python: outputs of the same genome, distances, and species over several generations."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hornlib.evolution.evaluation import graph_of, outputs_of, with_constant
from hornlib.evolution.species import aligned, assigned, distances_to
from hornlib.models.evolved.parameters import NeatParameters

pytest.importorskip("neat", reason="neat-python is not installed")
from neat import DefaultGenome
from neat.activations import ActivationFunctionSet
from neat.aggregations import AggregationFunctionSet
from neat.genes import DefaultConnectionGene, DefaultNodeGene
from neat.nn import FeedForwardNetwork
from neat.species import DefaultSpeciesSet

MODEL = NeatParameters(node_activation="tanh")


def neat_config(frame, gene_distance=1.0, weight_distance=0.4):
    activations = ActivationFunctionSet()
    activations.add("plain_tanh", lambda x: float(np.tanh(x)))  # neat-python's own tanh is steeper
    return SimpleNamespace(
        input_keys=[-1 - node for node in range(frame.num_sources)],
        output_keys=list(range(frame.num_outputs)),
        activation_defs=activations,
        aggregation_function_defs=AggregationFunctionSet(),
        compatibility_disjoint_coefficient=gene_distance,
        compatibility_weight_coefficient=weight_distance,
    )


def neat_genome(genome, frame, key=0):
    """Return neat-python's genome: inputs have the keys -1, -2, ..., and the constant is one of them."""

    def key_of(node):
        return -1 - node if node < frame.num_sources else int(node) - frame.num_sources

    result = DefaultGenome(key)
    for node in [*range(frame.num_sources, frame.num_nodes), *genome.hidden.tolist()]:
        gene = DefaultNodeGene(key_of(node))
        gene.bias, gene.response, gene.time_constant, gene.aggregation = 0.0, 1.0, 1.0, "sum"
        gene.activation = "plain_tanh" if node >= frame.num_nodes else "identity"
        result.nodes[gene.key] = gene
    genes = zip(
        genome.innovations, genome.sources, genome.targets, genome.weights, genome.enabled, strict=True
    )
    for innovation, source, target, weight, enabled in genes:
        gene = DefaultConnectionGene((key_of(source), key_of(target)), innovation=int(innovation))
        gene.weight, gene.enabled = float(weight), bool(enabled)
        result.connections[gene.key] = gene
    return result


def plain_tanh(networks, mutations, seed=0):
    genome = networks.with_own_weights(networks.grown(mutations, seed=seed), seed=seed)
    return genome._replace(activations=0 * genome.activations)


@pytest.mark.parametrize("mutations", [0, 10, 60, 150])
def test_a_genome_has_the_outputs_that_neat_python_computes(networks, mutations):
    frame, genome = networks.frame, plain_tanh(networks, mutations)
    config = SimpleNamespace(genome_config=neat_config(frame))
    network = FeedForwardNetwork.create(neat_genome(genome, frame), config)
    examples = torch.randn(5, frame.num_inputs, generator=torch.Generator().manual_seed(1))
    (outputs,) = outputs_of(graph_of(MODEL, [genome], frame), with_constant(examples), (1.0,))
    expected = [network.activate([*example, 1.0]) for example in examples.tolist()]
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-4, atol=1e-5)


def test_genomes_with_the_same_genes_are_as_far_apart_as_neat_python_says(networks):
    frame, genome = networks.frame, plain_tanh(networks, 40)
    others = [networks.with_own_weights(genome, seed=seed) for seed in (1, 2, 3)]
    distances = distances_to(aligned([genome, *others]), 0, 1.0, 0.4)
    config = neat_config(frame)
    expected = [neat_genome(genome, frame).distance(neat_genome(other, frame), config) for other in others]
    np.testing.assert_allclose(distances, [0, *expected], rtol=1e-5)


def test_genes_without_a_match_count_as_in_neat_python(networks):
    """Weights are equal here. neat-python counts nodes without a match, too, which the published distance does not."""
    frame, config = networks.frame, neat_config(networks.frame)
    one = networks.grown(0)
    first, second = (
        networks.grown(9, seed=0),
        networks.grown(30, seed=0),
    )  # the second descends from the first
    for genome, other in ((one, first), (first, second), (second, one)):
        distance = distances_to(aligned([genome, other]), 0, 1.0, 0.0)[1]
        ours, theirs = neat_genome(genome, frame), neat_genome(other, frame)
        for gene in (*ours.connections.values(), *theirs.connections.values()):
            gene.enabled = True
        nodes = ours.nodes.keys() ^ theirs.nodes.keys()
        of_nodes = len(nodes) / max(len(ours.nodes), len(theirs.nodes))
        assert distance + of_nodes == pytest.approx(ours.distance(theirs, config))


class Measured:
    """A genome of neat-python whose distance is the one of `distances_to`."""

    def __init__(self, genome, key):
        self.genome, self.key = genome, key

    def distance(self, other, config):
        return distances_to(aligned([self.genome, other.genome]), 0, 1.0, 0.4)[1]


def test_species_are_those_of_neat_python_over_generations(networks):
    threshold, numbers = 0.55, []
    config = SimpleNamespace(genome_config=None)
    reporters = SimpleNamespace(info=lambda text: None)
    species_set = DefaultSpeciesSet(SimpleNamespace(compatibility_threshold=threshold), reporters)
    representatives = []
    for generation in range(4):
        genomes = [
            plain_tanh(networks, mutations, seed)
            for seed in range(3)
            for mutations in range(generation, 30, 6)
        ]
        members = assigned(genomes, representatives, threshold, 1.0, 0.4)
        first_key = 1000 * generation  # neat-python remembers distances by the keys
        population = {key: Measured(genome, key) for key, genome in enumerate(genomes, first_key)}
        species_set.speciate(config, population, generation)
        expected = [sorted(species.members) for _, species in sorted(species_set.species.items())]
        assert [sorted(place + first_key for place in places) for places in members] == expected
        representatives = [genomes[places[0]] for places in members]
        numbers.append(len(members))
    assert numbers[-1] > 1 and max(len(places) for places in members) > 1
