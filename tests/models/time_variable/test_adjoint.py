"""Back-propagation through depth, derived by hand, against autograd.

Through time the recurrent layers are differentiated by hand in hornlib.models.rnn.adjoint, held to autograd of
torch.nn in tests/models/test_rnn.py.
"""

import math

import pytest
import torch

from hornlib.models.build import build_network
from hornlib.models.time_variable.parameters import FractionalDnnParameters, TimeResnetParameters
from hornlib.parameters import Task

TASK = Task((3,), 2)
FIELDS = {
    "num_nodes": 4, "num_layers": 5, "readout_norm": "none", "activation": "tanh",
    "initial_steps": "uniform", "initial_horizon": 3.0,
}  # fmt: skip


def setting(model):
    network = build_network(model, TASK, 0).double()
    torch.manual_seed(1)
    return network, torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)


def autograd(network, inputs, weights):
    """Return the gradients of sum(weights * logits) by name."""
    tensors = dict(network.named_parameters())
    actual = torch.autograd.grad((network(inputs) * weights).sum(), list(tensors.values()))
    return dict(zip(tensors, actual, strict=True))


def agrees(by_hand, by_autograd):
    assert by_hand.keys() == by_autograd.keys()
    for name, gradient in by_hand.items():
        torch.testing.assert_close(gradient, by_autograd[name], atol=1e-6, rtol=1e-6)


@torch.no_grad()
def resnet_by_hand(network, inputs, weights):
    """y_{l+1} = y_l + tau_l f_l;  p_l = p_{l+1} + tau_l K_l^T (f_l' p_{l+1});  dtau_l = <p_{l+1}, f_l>."""
    tau, states, rates = network.layer_steps(), [], []
    state = torch.zeros(6, 4, dtype=torch.float64)
    for number, layer in enumerate(network.layers):
        states.append(inputs if number == 0 else state)
        rates.append(torch.tanh(states[-1] @ layer.weight.T + layer.bias))
        state = state + tau[number] * rates[-1]
    readout = network.readout.linear
    actual = {"readout.linear.weight": weights.T @ state, "readout.linear.bias": weights.sum(0)}
    adjoint, of_steps = weights @ readout.weight, torch.zeros_like(tau)
    for number in reversed(range(len(tau))):
        of_steps[number] = (adjoint * rates[number]).sum()
        delta = tau[number] * (1 - rates[number] ** 2) * adjoint
        actual[f"layers.{number}.weight"] = delta.T @ states[number]
        actual[f"layers.{number}.bias"] = delta.sum(0)
        if number > 0:
            adjoint = adjoint + delta @ network.layers[number].weight
    return actual | {"steps.raw": of_steps}


def test_the_adjoint_of_the_resnet_is_the_gradient_of_autograd():
    case = setting(TimeResnetParameters(**FIELDS))
    agrees(resnet_by_hand(*case), autograd(*case))


def weights_and_their_derivatives(tau, gamma):
    """Return a_{j,k}, and da_{j,k} / dtau_i as a list over (j, k) of rows over i."""
    number = len(tau)
    weights, derivatives = torch.zeros(number, number, dtype=torch.float64), {}
    for j in range(number):
        for k in range(j):
            long, short, scale = sum(tau[k : j + 1]), sum(tau[k + 1 : j + 1]), tau[j] ** gamma / tau[k]
            weights[j, k] = scale * (long ** (1 - gamma) - short ** (1 - gamma))
            row = torch.zeros(number, dtype=torch.float64)
            row[k : j + 1] += scale * (1 - gamma) * long**-gamma
            row[k + 1 : j + 1] -= scale * (1 - gamma) * short**-gamma
            row[j] += gamma / tau[j] * weights[j, k]
            row[k] -= weights[j, k] / tau[k]
            derivatives[j, k] = row
    return weights, derivatives


@torch.no_grad()
def fractional_by_hand(network, inputs, weights, gamma):
    """d_j = c_j f_j - sum_{k<j} a_jk d_k, y_{j+1} = y_j + d_j;  q_j = p_{j+1} - sum_{m>j} a_mj q_m,
    p_j = p_{j+1} + c_j K_j^T (f_j' q_j);  dJ/dc_j = <q_j, f_j>, dJ/da_jk = -<q_j, d_k>.
    """
    tau = network.layer_steps().tolist()
    number, factors = len(tau), [step**gamma * math.gamma(2 - gamma) for step in tau]
    history, derivatives = weights_and_their_derivatives(tau, gamma)
    states, rates, increments = [], [], []
    state = torch.zeros(6, 4, dtype=torch.float64)
    for j, layer in enumerate(network.layers):
        states.append(inputs if j == 0 else state)
        rates.append(torch.tanh(states[-1] @ layer.weight.T + layer.bias))
        past = sum((history[j, k] * increments[k] for k in range(j)), torch.zeros_like(state))
        increments.append(factors[j] * rates[-1] - past)
        state = state + increments[-1]
    actual = {"readout.linear.weight": weights.T @ state, "readout.linear.bias": weights.sum(0)}
    of_steps = torch.zeros(number, dtype=torch.float64)
    adjoint, of_increments = weights @ network.readout.linear.weight, {}
    for j in reversed(range(number)):
        later = sum((history[m, j] * of_increments[m] for m in range(j + 1, number)), torch.zeros_like(state))
        of_increments[j] = own = adjoint - later
        of_steps[j] += gamma / tau[j] * factors[j] * (own * rates[j]).sum()
        for k in range(j):
            of_steps -= (own * increments[k]).sum() * derivatives[j, k]
        delta = factors[j] * (1 - rates[j] ** 2) * own
        actual[f"layers.{j}.weight"], actual[f"layers.{j}.bias"] = delta.T @ states[j], delta.sum(0)
        if j > 0:
            adjoint = adjoint + delta @ network.layers[j].weight
    return actual | {"steps.raw": of_steps}


@pytest.mark.parametrize("gamma", [0.3, 0.5, 0.8])
def test_the_adjoint_of_the_fractional_network_is_the_gradient_of_autograd(gamma):
    case = setting(FractionalDnnParameters(**FIELDS, fractional_order=gamma))
    agrees(fractional_by_hand(*case, gamma), autograd(*case))
