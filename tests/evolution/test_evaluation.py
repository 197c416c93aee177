"""All networks, shared weights and examples at once give what one network gives node by node."""

import numpy as np
import pytest
import torch

from hornlib.evolution import evaluation
from hornlib.evolution.activations import ACTIVATION_WORK, EVOLVED_ACTIVATIONS, activations_of
from hornlib.evolution.evaluation import evaluation_flops, graph_of, outputs_of, rewards_of, with_constant
from hornlib.evolution.genome import first_genome
from hornlib.evolution.innovations import Innovations
from hornlib.evolution.network import EvolvedNetwork, evolved_network, genome_tensors
from hornlib.evolution.population import Population
from hornlib.evolution.wann import mutated
from hornlib.models.evolved.parameters import NeatParameters, WannParameters
from hornlib.models.operations import forward_work
from hornlib.parameters import Task

NEAT = NeatParameters(num_individuals=8, node_activation="relu")


@pytest.fixture
def examples():
    return torch.randn(7, 4, generator=torch.Generator().manual_seed(0))


def test_every_network_and_weight_and_example_at_once_is_the_plain_network(networks, examples):
    model, frame = networks.wann, networks.frame
    genomes = [networks.grown(count, seed=count) for count in (0, 3, 30, 200)]
    graph = graph_of(model, genomes, frame)
    names = activations_of(model)
    assert {names[kind] for kind in genomes[-1].activations} == set(EVOLVED_ACTIVATIONS)
    outputs = outputs_of(graph, with_constant(examples.double()), model.shared_weights)
    assert outputs.shape == (6, 4, 7, 3)
    for weight, of_weight in zip(model.shared_weights, outputs, strict=True):
        for genome, of_network in zip(genomes, of_weight, strict=True):
            plain = [
                networks.plain_outputs(genome, frame, names, example, weight) for example in examples.tolist()
            ]
            np.testing.assert_allclose(of_network, plain, rtol=1e-9, atol=1e-9)


def test_connections_with_weights_are_weighted(networks, examples):
    frame = networks.frame
    genomes = [networks.with_own_weights(networks.grown(count)) for count in (2, 25)]
    genomes = [genome._replace(activations=0 * genome.activations) for genome in genomes]
    (outputs,) = outputs_of(graph_of(NEAT, genomes, frame), with_constant(examples), (1.0,))
    for genome, of_network in zip(genomes, outputs, strict=True):
        plain = [
            networks.plain_outputs(genome, frame, ["relu"], example, 1.0) for example in examples.tolist()
        ]
        np.testing.assert_allclose(of_network, plain, rtol=1e-4, atol=1e-4)


def test_networks_without_connections_or_hidden_nodes_have_outputs(networks, examples):
    frame = networks.frame
    empty = first_genome(frame, np.zeros(frame.num_pairs, bool), np.ones(frame.num_pairs))
    for outputs in outputs_of(graph_of(networks.wann, [empty], frame), with_constant(examples), (2.0,)):
        assert outputs.shape == (1, 7, 3) and not outputs.any()


def test_nodes_that_reach_no_output_are_neither_computed_nor_counted(networks, examples):
    frame, model = networks.frame, networks.wann
    genome = networks.grown(80, seed=4)
    ends = np.isin(genome.targets, np.arange(frame.num_sources, frame.num_nodes))
    cut = genome._replace(enabled=genome.enabled & ~(ends & (genome.sources >= frame.num_nodes)))
    graph = graph_of(model, [cut], frame)
    assert graph.num_rows == 0
    assert graph.flops.tolist() == [2 * int((cut.enabled & ends).sum())]


def test_flops_are_those_that_a_network_runs(networks):
    """A network with every connection between two levels runs exactly the counted products and activations."""
    frame, task = networks.frame, Task((4,), 3)
    dense = first_genome(frame, np.ones(frame.num_pairs, bool), np.ones(frame.num_pairs))
    names = activations_of(networks.wann)
    counted = graph_of(networks.wann, [dense], frame).flops[0]
    assert counted == forward_work(EvolvedNetwork(dense, frame, names).eval(), task).example.total
    genome = networks.grown(60, seed=6)
    genome = networks.with_own_weights(genome)  # so that no node is equal to another one
    live = graph_of(NEAT, [genome._replace(activations=0 * genome.activations)], frame)
    entries = sum(
        len(sums.entries)
        for sums in (live.from_inputs, live.to_outputs, *(level.sums for level in live.levels))
    )
    assert live.flops[0] == 2 * entries + live.num_rows
    assert evaluation_flops(networks.wann, live.flops, 3, 10, "cross_entropy") == 6 * 10 * (
        live.flops[0] + 15
    )


@pytest.mark.parametrize("most", [1, 3000, 10**9])
def test_rewards_do_not_depend_on_how_many_examples_are_computed_at_once(
    networks, examples, monkeypatch, most
):
    genomes = [networks.grown(count, seed=count) for count in range(12)]
    targets = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    arguments = (networks.wann, genomes, networks.frame, with_constant(examples), targets, "cross_entropy")
    whole = rewards_of(*arguments)
    monkeypatch.setattr(evaluation, "NUMBERS_AT_ONCE", most)
    parts = rewards_of(*arguments)
    np.testing.assert_allclose(whole.values, parts.values, rtol=1e-6)
    assert np.array_equal(whole.flops, parts.flops)


def test_a_network_has_the_same_rewards_alone_as_among_its_relatives(networks, examples):
    """Common nodes are computed once, in sums whose order does not depend on the network that stands for them."""
    ancestor, innovations, rng = networks.grown(40), Innovations(networks.frame), np.random.default_rng(3)
    innovations.restore_(
        {"next_node": ancestor.hidden.max() + 1, "next_connection": ancestor.innovations.max() + 1}
    )
    population = Population(networks.frame, [ancestor], innovations)
    for _ in range(60):
        population.innovations.begin_generation()
        parent = population.genomes[rng.integers(len(population.genomes))]
        population.genomes.append(mutated(networks.wann, population, parent, rng))
    targets, columns = torch.tensor([0, 1, 2, 0, 1, 2, 0]), with_constant(examples)
    together = rewards_of(
        networks.wann, population.genomes, networks.frame, columns, targets, "cross_entropy"
    )
    graph = graph_of(networks.wann, population.genomes, networks.frame)
    of_all = sum(len(genome.hidden) for genome in population.genomes)
    assert graph.num_rows < of_all / 3 and graph.num_different_outputs < 61 * 3 / 1.5
    for place, genome in enumerate(population.genomes):
        alone = rewards_of(networks.wann, [genome], networks.frame, columns, targets, "cross_entropy")
        np.testing.assert_allclose(alone.values[0], together.values[place], rtol=1e-6)
        assert alone.flops[0] == together.flops[place]


def test_outputs_too_large_for_exponentials_have_finite_rewards_and_infinite_ones_the_worst(networks):
    frame = networks.frame
    enabled = np.zeros(frame.num_pairs, bool)
    enabled[:3] = True  # the first input to all outputs
    genome = first_genome(frame, enabled, np.array([1000.0, 0.0, -1000.0, *np.zeros(12)]))
    columns = torch.ones(frame.num_sources, 2)
    arguments = (NEAT, [genome], frame, columns, torch.tensor([0, 1]), "cross_entropy")
    assert rewards_of(*arguments).values.tolist() == [[-500.0]]  # 0 and -1000
    infinite = genome._replace(weights=np.where(genome.weights, np.float32(np.inf), 0).astype(np.float32))
    assert rewards_of(NEAT, [infinite], *arguments[2:]).values.tolist() == [[evaluation.WORST_REWARD]]


def test_rewards_are_minus_the_losses_of_torch(networks, examples):
    genomes = [networks.grown(count) for count in (5, 50)]
    graph, columns = graph_of(networks.wann, genomes, networks.frame), with_constant(examples)
    classes, numbers = torch.tensor([0, 1, 2, 0, 1, 2, 0]), torch.randn(7, 3)
    outputs = outputs_of(graph, columns, networks.wann.shared_weights)
    for loss, targets, function in (
        ("cross_entropy", classes, torch.nn.functional.cross_entropy),
        ("mse", numbers, torch.nn.functional.mse_loss),
    ):
        rewards = rewards_of(networks.wann, genomes, networks.frame, columns, targets, loss).values
        expected = [[-float(function(of, targets)) for of in at_weight] for at_weight in outputs]
        np.testing.assert_allclose(rewards.T, expected, rtol=1e-5)


def test_the_network_of_a_genome_has_the_outputs_of_its_evaluation(networks, examples):
    model, frame, task = WannParameters(), networks.frame, Task((4,), 3)
    genome = networks.grown(90, seed=8, model=model)
    (expected,) = outputs_of(graph_of(model, [genome], frame), with_constant(examples), (-0.7,))
    tensors = genome_tensors(genome, -0.7)
    network = evolved_network(model, task, {**tensors["parameters"], **tensors["buffers"]})
    torch.testing.assert_close(network(examples), expected[0], rtol=1e-4, atol=1e-4)


def test_gradients_of_the_network_of_a_genome_are_those_of_finite_differences(networks, examples):
    smooth = WannParameters()
    genome = networks.grown(50, seed=9, model=smooth)
    network = EvolvedNetwork(genome, networks.frame, activations_of(smooth), 0.3).double()

    def outputs(weights):
        return torch.func.functional_call(network, {"weights": weights}, (examples.double(),))

    assert torch.autograd.gradcheck(outputs, (network.weights.detach().requires_grad_(),), atol=1e-5)


def test_every_activation_has_its_work():
    assert ACTIVATION_WORK.keys() == EVOLVED_ACTIVATIONS.keys()
    assert len(activations_of(WannParameters())) == 9
    assert len(activations_of(WannParameters(step_activation="with"))) == 10
