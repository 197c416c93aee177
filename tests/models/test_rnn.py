"""The recurrent rivals against torch.nn's layers with the same weights, and their published counts."""

import pytest
import torch

from hornlib.kernels.route import taking
from hornlib.models.build import build_network
from hornlib.models.rnn.adjoint import recurrence
from hornlib.models.rnn.network import RecurrentLayer
from hornlib.models.rnn.parameters import NUM_GATES, RnnParameters
from hornlib.parameters import Task

TWINS = {"tanh": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
PIXELS = Task((784, 1), 10)


@pytest.fixture(params=["auto", "loop"], autouse=True)
def _route(request):
    with taking(request.param):
        yield


def twin_of(unit, layers, dtype):
    num_inputs, nodes = layers[0].weight_ih.shape[1], layers[0].weight_hh.shape[1]
    twin = TWINS[unit](num_inputs, nodes, len(layers), batch_first=True, dtype=dtype)
    weights = {f"{name}_l{k}": p for k, layer in enumerate(layers) for name, p in layer.named_parameters()}
    assert list(weights) == [name for name, _ in twin.named_parameters()]
    twin.load_state_dict(weights)
    return twin


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("unit", TWINS)
def test_every_step_and_gradient_is_that_of_torch_nn(unit, dtype, tolerance):
    torch.manual_seed(0)
    layers = [RecurrentLayer(unit, 3, 5).to(dtype), RecurrentLayer(unit, 5, 5).to(dtype)]
    twin = twin_of(unit, layers, dtype)
    inputs, weights = torch.randn(4, 9, 3, dtype=dtype), torch.randn(4, 9, 5, dtype=dtype)
    ours = layers[1](layers[0](inputs.transpose(0, 1))).transpose(0, 1)
    theirs = twin(inputs)[0]
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)
    mine = torch.autograd.grad((ours * weights).sum(), [p for layer in layers for p in layer.parameters()])
    its = torch.autograd.grad((theirs * weights).sum(), list(twin.parameters()))
    torch.testing.assert_close(mine, its, atol=20 * tolerance, rtol=20 * tolerance)


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_the_readout_sees_the_last_output_or_their_mean(readout):
    parameters = RnnParameters(unit="gru", num_nodes=5, num_layers=2, readout=readout, readout_norm="none")
    network = build_network(parameters, Task((9, 3), 2), 0)
    inputs = torch.randn(4, 9, 3)
    outputs = twin_of("gru", list(network.layers), torch.float32)(inputs)[0]
    features = outputs[:, -1] if readout == "last" else outputs.mean(1)
    torch.testing.assert_close(network(inputs), network.readout.linear(features))


@pytest.mark.parametrize(
    ("unit", "nodes", "count"), [("tanh", 32, 1450), ("gru", 19, 1454), ("lstm", 16, 1386)]
)
def test_the_rivals_of_horn_at_32_nodes_have_the_published_sizes(unit, nodes, count):
    parameters = RnnParameters(unit=unit, num_nodes=nodes)
    assert parameters.num_parameters(PIXELS) == count
    assert sum(p.numel() for p in build_network(parameters, PIXELS, 0).parameters()) == count


def test_a_sequence_of_one_step_recurs_not_at_all():
    parameters = RnnParameters(num_nodes=8)
    assert parameters.forward_flops(Task((1, 3), 2)).products == 2 * (3 * 8 + 8 * 2)
    assert parameters.forward_flops(Task((2, 3), 2)).products == 2 * (2 * 3 * 8 + 8 * 8 + 8 * 2)


@pytest.mark.parametrize("unit", TWINS)
def test_gradients_hold_against_finite_differences(unit):
    torch.manual_seed(0)
    gates = NUM_GATES[unit] * 3
    drives = torch.randn(4, 2, gates, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(gates, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3 if unit == "gru" else 0, dtype=torch.float64, requires_grad=unit == "gru")
    assert torch.autograd.gradcheck(lambda *tensors: recurrence(unit, *tensors), (drives, weight, bias))


@pytest.mark.parametrize("unit", TWINS)
def test_drives_in_half_precision_recur_in_that_of_the_weights(unit):
    network = build_network(RnnParameters(unit=unit, num_nodes=4, readout_norm="none"), Task((5, 3), 2), 0)
    inputs = torch.randn(6, 5, 3)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(inputs)
    logits.float().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())
    torch.testing.assert_close(logits.float(), network(inputs), atol=0.05, rtol=0.05)
