"""Gradients along depth against finite perturbations of the states, and closed forms of linear chains."""

import math

import pytest
import torch
from layer_gradients import gradient_flow, layer_gradient_norms, network_of_lane

from hornlib.grid.cell import parse_specification
from hornlib.models.build import build_network
from hornlib.models.cnn.parameters import CnnParameters
from hornlib.models.mlp.parameters import MlpParameters
from hornlib.models.time_variable.parameters import (
    FractionalDnnParameters,
    TimeDensenetParameters,
    TimeResnetParameters,
)
from hornlib.parameters import Task
from hornlib.training.chunk import start_chunk

TASK = Task((3,), 2)
FIELDS = {
    "num_nodes": 4,
    "num_layers": 5,
    "readout_norm": "none",
    "activation": "tanh",
    "initial_horizon": 3.0,
}


def batch():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(6, 3, dtype=torch.float64, generator=generator)
    return inputs, torch.randint(2, (6,), generator=generator)


def loss_of(targets):
    return lambda logits: torch.nn.functional.cross_entropy(logits, targets)


def perturbed_loss(network, model, disturbances, inputs, targets):
    """Run the equations over the states alone, each disturbed after it was made, history from their differences."""
    tau, states = network.layer_steps(), [torch.zeros(6, 4, dtype=torch.float64)]
    gamma = getattr(model, "fractional_order", 1.0)
    for j, layer in enumerate(network.layers):
        source = inputs if j == 0 else states[-1]
        if isinstance(model, TimeDensenetParameters) and j > 0:
            source = torch.cat(states[1:], 1)
        state = states[-1] + tau[j] ** gamma * math.gamma(2 - gamma) * torch.tanh(layer(source))
        for k in range(j):
            spans = tau[k : j + 1].sum() ** (1 - gamma) - tau[k + 1 : j + 1].sum() ** (1 - gamma)
            state = state - tau[j] ** gamma / tau[k] * spans * (states[k + 1] - states[k])
        states.append(state + disturbances[j])
    return loss_of(targets)(network.readout.linear(states[-1]))


@pytest.mark.parametrize(
    "model",
    [
        TimeResnetParameters(**FIELDS),
        TimeDensenetParameters(**FIELDS),
        FractionalDnnParameters(**FIELDS, fractional_order=0.4, initial_steps="uniform"),
    ],
    ids=lambda model: model.name,
)
def test_the_norms_are_those_of_derivatives_with_respect_to_disturbed_states(model):
    network = build_network(model, TASK, 0).double()
    inputs, targets = batch()
    disturbances = [torch.zeros(6, 4, dtype=torch.float64, requires_grad=True) for _ in range(5)]
    loss = perturbed_loss(network, model, disturbances, inputs, targets)
    expected = torch.stack([gradient.norm() for gradient in torch.autograd.grad(loss, disturbances)])
    torch.testing.assert_close(layer_gradient_norms(network, inputs, loss_of(targets)), expected)


def test_a_perceptron_without_curvature_multiplies_by_its_matrices():
    network = build_network(MlpParameters(hidden_nodes=(4, 4, 4), readout_norm="none"), TASK, 0).double()
    for linear, factor in zip(network.linears, (1.0, 0.5, 0.25), strict=True):
        linear.weight.data = factor * torch.eye(*linear.weight.shape, dtype=torch.float64)
        linear.bias.data.fill_(10.0)  # every relu is open
    inputs, targets = batch()
    norms = layer_gradient_norms(network, inputs, loss_of(targets))
    torch.testing.assert_close(norms / norms[-1], torch.tensor([0.125, 0.25, 1.0], dtype=torch.float64))
    assert gradient_flow(network, inputs, targets) == pytest.approx(0.125)


def test_tiny_steps_carry_the_gradient_through_unchanged():
    model = TimeResnetParameters(**(FIELDS | {"num_layers": 32, "initial_horizon": 1e-6}))
    network = build_network(model, TASK, 0).double()
    assert gradient_flow(network, *batch()) == pytest.approx(1.0, abs=1e-5)


def test_a_lane_taken_out_is_the_network_it_was():
    cell = parse_specification(
        {"data": {"name": "spirals"}, "model": {"name": "time_resnet", "num_nodes": 3, "num_layers": 2}}
    )
    chunk = start_chunk(cell, [0, 1], torch.device("cpu"))
    taken = network_of_lane(chunk.lanes, 1, cell.model, cell.task())
    own = build_network(cell.model, cell.task(), 1)
    for name, tensor in own.state_dict().items():
        assert torch.equal(taken.state_dict()[name], tensor)


def test_networks_whose_layers_are_not_known_are_refused():
    network = build_network(CnnParameters(channels=(2,)), Task((1, 4, 4), 2), 0)
    with pytest.raises(TypeError, match="the layers of Cnn are not known"):
        layer_gradient_norms(network, torch.zeros(1, 1, 4, 4), torch.sum)
