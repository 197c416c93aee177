"""A traced network is the network: the same logits, and states whose gradients are those of finite differences."""

import pytest
import torch

from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.models.tracing import trace
from hornlib.parameters import Task

IMAGE, ROWS = Task((3, 8, 10), 4), Task((7, 6), 4)
CASES = [
    ("horn", {"num_nodes": 5, "heterogeneity": 1.0}, ROWS),
    ("horn", {"num_nodes": 5, "readout": "rms", "timesteps": 4, "recurrence_on": "position"}, IMAGE),
    ("horn", {"num_nodes": 5, "readout": "mean", "integrator": "explicit_euler", "recurrence": "none"}, ROWS),
    ("horn_cnn", {"heterogeneity": 1.0}, IMAGE),
    ("horn_cnn", {"constants_per": "unit", "heterogeneity": 1.0, "between": "sequence"}, IMAGE),
    ("horn_cnn", {"recurrence": "full", "heterogeneity": 1.0, "readout": "rms"}, IMAGE),
    ("horn_cnn", {"recurrence_on": "position", "integrator": "implicit_damping"}, IMAGE),
    ("horn_cnn", {"recurrence": "none", "oscillator_training": "learned"}, IMAGE),
    ("leaky_cnn", {"readout": "last"}, IMAGE),
    ("leaky_cnn", {"recurrence": "full", "between": "sequence"}, IMAGE),
    ("rnn", {"unit": "tanh", "num_nodes": 5, "num_layers": 2}, ROWS),
    ("rnn", {"unit": "gru", "num_nodes": 5, "num_layers": 2, "readout": "mean"}, ROWS),
    ("rnn", {"unit": "lstm", "num_nodes": 5}, ROWS),
    ("cnn", {"channels": (4, 6), "activation": "tanh", "activation_gain": 0.5}, IMAGE),
    ("mlp", {"hidden_nodes": (8, 6), "normalisation": "batch", "dropout": 0.3}, IMAGE),
    ("cnn", {"channels": (4, 6), "convolutions": (2, 1)}, IMAGE),
    ("vgg", {"channels": (4, 6), "strides": (1, 2), "activation": "tanh"}, IMAGE),
    (
        "vgg",
        {"channels": (4, 6), "strides": (2, 1), "output_layer": "flatten", "normalisation": "batch"},
        IMAGE,
    ),
    ("time_resnet", {"num_layers": 3, "num_nodes": 5, "activation": "tanh"}, IMAGE),
    (
        "time_resnet",
        {"num_layers": 3, "num_nodes": 4, "block": "two_weight", "layer_type": "convolutional"},
        IMAGE,
    ),
    ("time_densenet", {"num_layers": 3, "num_nodes": 5, "activation": "tanh"}, IMAGE),
    (
        "time_densenet",
        {"num_layers": 3, "num_nodes": 5, "connection": "concatenating", "activation": "tanh"},
        IMAGE,
    ),
    ("fractional_dnn", {"num_layers": 4, "num_nodes": 5, "activation": "tanh"}, IMAGE),
    ("shallow", {"num_channels": 2, "activation": "tanh"}, IMAGE),
    ("shallow", {"num_channels": 2, "connectivity": "local", "normalisation": "none"}, IMAGE),
    ("shallow", {"num_channels": 2, "connectivity": "full", "activation": "tanh"}, IMAGE),
    ("cnn_horn", {"channels": (4, 6), "num_nodes": 5}, IMAGE),
    ("cnn_horn", {"channels": (4,), "num_nodes": 5, "unit": "gap_mlp"}, IMAGE),
]


def network_of(name, values, task):
    small = {"num_nodes": 3, "num_stages": 2, "timesteps": 3} if name in ("horn_cnn", "leaky_cnn") else {}
    network = build_network(MODELS[name](**{**small, **values}), task, seed=0).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
        parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    for buffer_name, buffer in network.named_buffers():
        if "running" in buffer_name:
            buffer.add_(0.2 * torch.rand(buffer.shape, generator=generator, dtype=torch.float64))
    return network.eval(), torch.randn(3, *task.input_shape, generator=generator, dtype=torch.float64)


every_case = pytest.mark.parametrize(("name", "values", "task"), CASES)


@every_case
def test_traced_logits_are_those_of_the_forward_pass(name, values, task):
    network, inputs = network_of(name, values, task)
    logits, _ = trace(network, inputs)
    torch.testing.assert_close(logits, network(inputs), atol=1e-12, rtol=1e-11)


@every_case
def test_a_nudge_s_gradient_is_the_finite_difference_of_the_logits(name, values, task):
    network, inputs = network_of(name, values, task)
    _, traces = trace(network, inputs)
    nudges = {
        layer: tuple(torch.zeros_like(part, requires_grad=True) for part in actual.states)
        for layer, actual in traces.items()
    }
    generator = torch.Generator().manual_seed(2)
    logits, _ = trace(network, inputs, nudges)
    weights = torch.randn(logits.shape, generator=generator, dtype=torch.float64)
    flat = [part for parts in nudges.values() for part in parts]
    gradients = torch.autograd.grad((weights * logits).sum(), flat, allow_unused=True)
    directions = [torch.randn(part.shape, generator=generator, dtype=torch.float64) for part in flat]
    shift = 1e-5

    def moved(sign):
        parts = iter([sign * shift * direction for direction in directions])
        there = {layer: tuple(next(parts) for _ in actual) for layer, actual in nudges.items()}
        return (weights * trace(network, inputs, there)[0]).sum()

    expected = (moved(1) - moved(-1)) / (2 * shift)
    along = sum(
        (gradient * direction).sum()
        for gradient, direction in zip(gradients, directions, strict=True)
        if gradient is not None
    )
    torch.testing.assert_close(along, expected, rtol=1e-5, atol=1e-8)


def test_states_of_horn_are_those_of_its_own_loop():
    network, inputs = network_of("horn", {"num_nodes": 5, "heterogeneity": 1.0}, ROWS)
    _, traces = trace(network, inputs)
    for ours, own in zip(traces["horn"].states, network.states(inputs), strict=True):
        torch.testing.assert_close(ours, own, atol=1e-14, rtol=1e-12)


def test_lanes_are_traced_side_by_side_as_one_by_one():
    task = ROWS
    model = MODELS["horn"](num_nodes=4, heterogeneity=1.0)
    networks = [build_network(model, task, seed).eval() for seed in range(3)]
    stacked = torch.func.stack_module_state(networks)
    inputs = torch.randn(2, *task.input_shape, generator=torch.Generator().manual_seed(0))

    class Traced(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, inputs):
            return trace(self.network, inputs)[1]["horn"].states

    template = Traced(networks[0])
    named = [{f"network.{key}": value for key, value in part.items()} for part in stacked]
    together = torch.vmap(
        lambda parameters, buffers: torch.func.functional_call(template, {**parameters, **buffers}, (inputs,))
    )(*named)
    for lane, network in enumerate(networks):
        for part, alone in zip(together, trace(network, inputs)[1]["horn"].states, strict=True):
            torch.testing.assert_close(part[lane], alone)
