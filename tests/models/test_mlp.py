"""The multilayer perceptron: its equation, every presentation, dropout that acts in training only."""

import pytest
import torch

from hornlib.models.build import build_network
from hornlib.models.compressed import masked
from hornlib.models.mlp.parameters import MlpParameters
from hornlib.models.operations import training_work
from hornlib.parameters import Task


@pytest.mark.parametrize("shape", [(1, 4, 4), (4, 4), (16, 1)])
def test_every_presentation_gives_the_same_network_and_the_same_logits(shape):
    parameters = MlpParameters(hidden_nodes=(6, 5))
    inputs = torch.randn(3, 16)
    expected = build_network(parameters, Task((1, 4, 4), 2), 0)(inputs.reshape(3, 1, 4, 4))
    logits = build_network(parameters, Task(shape, 2), 0)(inputs.reshape(3, *shape))
    torch.testing.assert_close(logits, expected)


def test_a_plain_network_is_its_equation():
    parameters = MlpParameters(hidden_nodes=(6, 5), readout_norm="none")
    network = build_network(parameters, Task((1, 4, 4), 2), 0)
    inputs = torch.randn(3, 1, 4, 4)
    hidden = inputs.reshape(3, 16)
    for linear in network.linears:
        hidden = torch.clamp(hidden @ linear.weight.T + linear.bias, min=0)
    torch.testing.assert_close(
        network(inputs), hidden @ network.readout.linear.weight.T + network.readout.linear.bias
    )
    assert parameters.num_parameters(Task((1, 4, 4), 2)) == 17 * 6 + 7 * 5 + 6 * 2


def test_dropout_changes_the_training_output_only():
    task, inputs = Task((4, 4), 2), torch.randn(8, 4, 4)
    plain = build_network(MlpParameters(hidden_nodes=(32,), readout_norm="none"), task, 0)
    dropping = build_network(MlpParameters(hidden_nodes=(32,), readout_norm="none", dropout=0.5), task, 0)
    assert not torch.allclose(plain(inputs), dropping(inputs))
    torch.testing.assert_close(plain.eval()(inputs), dropping.eval()(inputs))


TASK = Task((4, 4), 3)


def test_a_network_of_connections_is_the_dense_network_whose_other_weights_are_zero():
    parameters = MlpParameters(hidden_nodes=(6, 5), connections=(30, 7, 15), normalisation="batch")
    network = build_network(parameters, TASK, 0).double()
    lanes = {name: tensor.unsqueeze(0) for name, tensor in network.state_dict().items()}
    dense = build_network(MlpParameters(hidden_nodes=(6, 5), normalisation="batch"), TASK, 1).double()
    dense.load_state_dict(
        {name: tensor[0] for name, tensor in masked(lanes, lanes).items() if name in dense.state_dict()}
    )
    inputs = torch.randn(8, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(network(inputs), dense(inputs), atol=1e-12, rtol=0)
    assert sum(int((linear.weight != 0).sum()) for linear in dense.linears) == 37


def test_places_and_values_of_connections_follow_from_the_seed():
    parameters = MlpParameters(hidden_nodes=(20,), connections=(30, 10))
    first, again, other = (build_network(parameters, TASK, seed).linears[0] for seed in (0, 0, 1))
    assert torch.equal(first.columns, again.columns)
    assert torch.equal(first.values, again.values)
    assert not torch.equal(first.columns, other.columns)
    assert first.values.abs().max() <= 1 / 4


def test_the_work_of_a_training_step_follows_the_connections():
    dense, sparse = (
        training_work(build_network(MlpParameters(hidden_nodes=(6, 5), connections=counts), TASK, 0), TASK)
        for counts in (None, (30, 7, 15))
    )
    assert not sparse.unknown
    assert sparse.example.elementwise == dense.example.elementwise
    first, *others = (30, 7, 15)
    assert sparse.example.products == 4 * first + 6 * sum(others)  # no gradient of the example
    assert dense.example.products == 4 * 96 + 6 * (30 + 15)


def test_a_layer_with_all_connections_is_dense_and_may_be_pruned():
    parameters = MlpParameters(hidden_nodes=(6, 5)).with_connections({"linears.1.weight": 7}, TASK)
    assert parameters.connections == (96, 7, 15)
    assert [weight.name for weight in parameters.weights(TASK)] == [
        "linears.0.weight",
        "readout.linear.weight",
    ]
    assert {weight.name for weight in parameters.weights(TASK)} < set(
        build_network(parameters, TASK, 0).state_dict()
    )


def test_another_width_keeps_the_densities():
    parameters = MlpParameters(hidden_nodes=(8, 4), connections=(96, 8, 12))
    assert parameters.with_width(8).connections == (192, 32, 24)
    assert parameters.with_width(1).connections == (24, 1, 3)


def test_connections_that_do_not_fit_are_refused():
    (problem,) = MlpParameters(hidden_nodes=(6, 5), connections=(97, 30, 15)).problems(TASK)
    assert problem.startswith("connections: 97 in layer 0, whose weight has 96 entries")
    (problem,) = MlpParameters(hidden_nodes=(6, 5), connections=(30, 7)).problems(TASK)
    assert problem == "connections: 2 numbers for 2 hidden layers and the last layer; give 3"
    assert MlpParameters(connections=(1, 1, 1)).insertion_problems() == [
        "connections: an inserted identity is a dense layer; leave connections out"
    ]


def test_he_normal_draws_weights_of_variance_two_over_the_inputs_and_no_biases():
    task = Task((400,), 300)
    parameters = MlpParameters(
        hidden_nodes=(300, 200), initialisation="he_normal", connections=(120_000, 20_000, 60_000)
    )
    network = build_network(parameters, task, seed=0)
    tensors = dict(network.named_parameters())
    for name, num_inputs in (
        ("linears.0.weight", 400),
        ("linears.1.values", 300),
        ("readout.linear.weight", 200),
    ):
        assert tensors[name].var().item() == pytest.approx(2 / num_inputs, rel=0.04)
        assert abs(tensors[name].mean().item()) < 4 * (2 / num_inputs / tensors[name].numel()) ** 0.5
    assert not any(tensor.any() for name, tensor in tensors.items() if name.endswith("bias"))
