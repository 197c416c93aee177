"""The multilayer perceptron: its equation, every presentation, dropout that acts in training only."""

import pytest
import torch

from hornlib.models.build import build_network
from hornlib.models.mlp.parameters import MlpParameters
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
