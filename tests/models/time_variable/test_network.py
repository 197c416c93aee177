"""ResNet, DenseNet and Fractional-DNN against plain loops with copied weights, each other, and finite differences."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from hornlib.models.build import build_network
from hornlib.models.operations import forward_work, training_work
from hornlib.models.time_variable.parameters import (
    FractionalDnnParameters,
    TimeDensenetParameters,
    TimeResnetParameters,
)
from hornlib.parameters import Task

VECTOR, IMAGE = Task((3,), 2), Task((2, 7, 5), 2)
RAW = {"readout_norm": "none", "num_nodes": 4, "num_layers": 4}
CONVOLUTIONAL = {"layer_type": "convolutional", "opening_pool": 2}
FAMILY = [
    (TimeResnetParameters, {}),
    (TimeResnetParameters, {"block": "two_weight"}),
    (TimeDensenetParameters, {}),
    (TimeDensenetParameters, {"connection": "concatenating"}),
    (FractionalDnnParameters, {}),
    (FractionalDnnParameters, {"fractional_order": 0.9}),
]
every_member = pytest.mark.parametrize(("parameters", "fields"), FAMILY, ids=str)


def inputs_of(task, dtype=torch.float64):
    return torch.randn(5, *task.input_shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def activated(layer, inputs):
    return torch.tanh(layer(inputs))


def by_a_plain_loop(network, inputs, parameters):
    """Return the logits by the equations, layer by layer, with torch.nn's functions."""
    tau = network.layer_steps().tolist()
    state = activated(
        network.layers[0], inputs if parameters.layer_type == "convolutional" else inputs.flatten(1)
    )
    state = functional.avg_pool2d(state, parameters.opening_pool) if parameters.opening_pool > 1 else state
    if parameters.opening_step == "with":
        state = tau[0] * state
    else:
        tau = [1.0, *tau]
    every = state
    for layer, step in zip(network.layers[1:], tau[1:], strict=True):
        if isinstance(parameters, TimeDensenetParameters):
            change = step * activated(layer, every)
            state = state + change
            every = torch.cat([every, state if parameters.connection == "additive" else change], 1)
        elif parameters.block == "two_weight":
            state = state + step * layer.outer(activated(layer.inner, state))
        else:
            state = state + step * activated(layer, state)
    features = every if getattr(parameters, "connection", "") == "concatenating" else state
    return network.readout.linear(features if features.ndim == 2 else features.mean((2, 3)))


@pytest.mark.parametrize(("parameters", "fields"), FAMILY[:4], ids=str)
@pytest.mark.parametrize("opening_step", ["with", "without"])
@pytest.mark.parametrize("layer", [{}, CONVOLUTIONAL], ids=["dense", "convolutional"])
def test_outputs_are_those_of_a_plain_loop_with_the_same_weights(parameters, fields, opening_step, layer):
    model = parameters(
        **RAW, **fields, **layer, opening_step=opening_step, initial_steps="uniform", activation="tanh"
    )
    network, inputs = build_network(model, IMAGE, 0).double(), inputs_of(IMAGE)
    torch.testing.assert_close(network(inputs), by_a_plain_loop(network, inputs, model))


def test_unit_steps_make_the_ordinary_resnet_of_torch_nn():
    model = TimeResnetParameters(
        **RAW, layer_steps="fixed", opening_step="without", initial_horizon=3.0, readout_bias="without"
    )
    network, inputs = build_network(model, VECTOR, 0), inputs_of(VECTOR, torch.float32)
    twin = [nn.Sequential(nn.Linear(4 if layer else 3, 4), nn.ReLU()) for layer in range(4)]
    for mine, its in zip(network.layers, twin, strict=True):
        its[0].load_state_dict(mine.state_dict())
    state = twin[0](inputs)
    for block in twin[1:]:
        state = state + block(state)
    torch.testing.assert_close(network(inputs), state @ network.readout.linear.weight.T)


@pytest.mark.parametrize("gamma", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("opening_step", ["with", "without"])
def test_the_fractional_network_follows_its_equation_term_by_term(gamma, opening_step):
    model = FractionalDnnParameters(
        **RAW, fractional_order=gamma, opening_step=opening_step, initial_steps="uniform", activation="tanh"
    )
    network, inputs = build_network(model, VECTOR, 0).double(), inputs_of(VECTOR)
    tau, states = network.layer_steps().tolist(), [torch.zeros(5, 4, dtype=torch.float64)]
    layers = list(network.layers)
    if opening_step == "without":
        states = [activated(layers.pop(0), inputs)]
    for j, layer in enumerate(layers):
        force = activated(layer, inputs if layer is network.layers[0] else states[-1])
        state = states[-1] + tau[j] ** gamma * math.gamma(2 - gamma) * force
        for k in range(j):
            spans = sum(tau[k : j + 1]) ** (1 - gamma) - sum(tau[k + 1 : j + 1]) ** (1 - gamma)
            state = state - tau[j] ** gamma / tau[k] * spans * (states[k + 1] - states[k])
        states.append(state)
    torch.testing.assert_close(network(inputs), network.readout.linear(states[-1]))


@pytest.mark.parametrize("layer", [{}, CONVOLUTIONAL], ids=["dense", "convolutional"])
@pytest.mark.parametrize("opening_step", ["with", "without"])
@pytest.mark.parametrize("kind", ["fixed", "softplus", "projected", "simplex"])
def test_at_order_one_the_fractional_network_is_the_resnet(layer, opening_step, kind):
    fields = {**RAW, **layer, "opening_step": opening_step, "layer_steps": kind, "initial_steps": "uniform"}
    resnet = build_network(TimeResnetParameters(**fields), IMAGE, 0)
    fractional = build_network(FractionalDnnParameters(fractional_order=1.0, **fields), IMAGE, 0)
    inputs = inputs_of(IMAGE, torch.float32)
    gradients = []
    for network in (resnet, fractional):
        gradients.append(torch.autograd.grad(network(inputs).square().sum(), list(network.parameters())))
    torch.testing.assert_close(resnet(inputs), fractional(inputs), atol=1e-6, rtol=0)
    for mine, its in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, its, atol=1e-6, rtol=1e-6)


MODES = [
    {"layer_steps": "softplus"},
    {"layer_steps": "projected"},
    {"layer_steps": "projected", "last_step": "dependent"},
    {"layer_steps": "simplex"},
    {"layer_steps": "simplex", "opening_step": "without"},
    {"layer_steps": "fixed"},
]
SIGNED = [
    {"layer_steps": "learned"},
    {"layer_steps": "learned", "last_step": "dependent", "opening_step": "without"},
    {"layer_steps": "partly_fixed", "last_step": "dependent"},
    {"layer_steps": "softplus", "last_step": "dependent"},
]


@pytest.mark.parametrize(
    ("parameters", "fields", "mode"),
    [
        pytest.param(parameters, fields, mode, id=f"{parameters.__name__}-{fields}-{mode}")
        for parameters, fields in FAMILY
        for mode in MODES + SIGNED * (parameters is not FractionalDnnParameters)
    ],
)
def test_gradients_of_steps_and_weights_hold_against_finite_differences(parameters, fields, mode):
    model = parameters(
        num_nodes=2, num_layers=4, activation="tanh", readout_norm="none", initial_steps="uniform",
        initial_horizon=2.0, **fields, **mode,
    )  # fmt: skip
    network = build_network(model, VECTOR, 1).double()
    names = [name for name, _ in network.named_parameters()]
    assert ("steps.raw" in names) == (mode["layer_steps"] != "fixed")

    def outputs(*tensors):
        return torch.func.functional_call(
            network, dict(zip(names, tensors, strict=True)), (inputs_of(VECTOR)[:2],)
        )

    tensors = [p.detach().clone().requires_grad_() for p in network.parameters()]
    assert torch.autograd.gradcheck(outputs, tensors)


@every_member
@pytest.mark.parametrize("opening_step", ["with", "without"])
def test_convolutions_and_their_counts_are_those_of_the_closed_form(parameters, fields, opening_step):
    model = parameters(num_nodes=3, num_layers=3, opening_step=opening_step, **CONVOLUTIONAL, **fields)
    network = build_network(model, IMAGE, 0)
    assert model.num_parameters(IMAGE) == sum(p.numel() for p in network.parameters())
    assert model.forward_flops(IMAGE) == forward_work(network, IMAGE).example
    assert not training_work(network, IMAGE).unknown


@every_member
def test_convolutional_lanes_do_what_each_would_alone(parameters, fields):
    model = parameters(num_nodes=3, num_layers=3, layer_type="convolutional", **fields)
    networks = [build_network(model, IMAGE, seed).double() for seed in range(3)]
    stacked = torch.func.stack_module_state(networks)
    inputs = inputs_of(IMAGE)

    def run(*tensors):
        return torch.func.functional_call(networks[0], tensors, (inputs,))

    together = torch.vmap(run, randomness="different")(*stacked)
    for lane, network in enumerate(networks):
        torch.testing.assert_close(together[lane], network(inputs))


@every_member
def test_the_last_state_is_what_is_read_out(parameters, fields):
    model = parameters(**RAW, **fields)
    network, inputs = build_network(model, VECTOR, 0).double(), inputs_of(VECTOR)
    *before, last = network.advances(inputs)
    assert len(before) == 3
    torch.testing.assert_close(network(inputs), network.readout.linear(last.state))


@every_member
def test_the_kind_of_steps_leaves_the_first_weights_as_they_are(parameters, fields):
    networks = [
        build_network(parameters(**RAW, **fields, layer_steps=kind, initial_steps=first), VECTOR, 0)
        for kind, first in (("fixed", "equal"), ("simplex", "uniform"))
    ]
    torch.testing.assert_close(networks[0].layers.state_dict(), networks[1].layers.state_dict())


def test_the_network_of_the_time_regularisation_has_its_published_size():
    # 784 -> 100, 5 blocks of 100 -> 100, 10 outputs without a bias, 6 time steps
    model = TimeResnetParameters(readout_norm="none", readout_bias="without")
    assert model.num_parameters(Task((1, 28, 28), 10)) == 784 * 100 + 100 + 5 * 10_100 + 1000 + 6
