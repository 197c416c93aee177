"""Batch norm side by side in lanes: torch's numbers, with the affine map in the same pass."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from hornlib.models.build import build_network
from hornlib.models.cnn.parameters import CnnParameters
from hornlib.models.lanes import make_lanes
from hornlib.models.layers import BatchNorm
from hornlib.models.layout import channelwise
from hornlib.parameters import Task

LANES, CHANNELS = 3, 5
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def stacked(norm_class):
    """Tensors of some norms, stacked, with values that differ between lanes, and a norm that lends its code."""
    norms = [norm_class(CHANNELS).double() for _ in range(LANES)]
    draw = torch.Generator().manual_seed(0)
    for norm in norms:
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data = torch.rand(CHANNELS, generator=draw, dtype=torch.float64) + 0.5
    parameters, buffers = torch.func.stack_module_state(norms)
    return norms[0], parameters, buffers


def run(norm_class, training):
    """Outputs, gradients of maps, weight and bias, and the buffers afterwards, of one call in lanes."""
    norm, parameters, buffers = stacked(norm_class)
    norm.train(training)
    norm.momentum = 0.3
    maps = torch.randn(LANES, 4, CHANNELS, 2, 3, generator=torch.Generator().manual_seed(1)).double()
    inputs = {
        "maps": maps.requires_grad_(),
        **{k: v.detach().requires_grad_() for k, v in parameters.items()},
    }

    def call(maps, weight, bias, buffers):
        return torch.func.functional_call(norm, {"weight": weight, "bias": bias, **buffers}, (maps,))

    out = torch.vmap(call)(*inputs.values(), buffers)
    gradients = torch.autograd.grad(out.sin().sum(), list(inputs.values()))
    return [out, *gradients, *buffers.values()]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_in_lanes_everything_is_what_torchs_norm_gives(training):
    for actual, expected in zip(run(BatchNorm, training), run(nn.BatchNorm2d, training), strict=True):
        torch.testing.assert_close(actual, expected, **EXACT)


def test_the_affine_map_costs_no_further_operation_in_lanes():
    class Calls(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            names.append(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

        @classmethod
        def _should_skip_dynamo(cls):
            return False

    names = []
    with Calls():
        run(BatchNorm, True)
    assert "native_batch_norm" in names
    assert not {"mul", "addcmul"} & set(names[: names.index("sin")])


def test_without_lanes_it_is_torchs_norm():
    maps = torch.randn(4, CHANNELS, 2, 3)
    assert torch.equal(BatchNorm(CHANNELS)(maps), nn.BatchNorm2d(CHANNELS)(maps))


def test_gradients_of_a_function_with_lanes_within_are_right():
    """The order of the transformations does not matter: a gradient of lanes, or lanes of a gradient."""
    norm, parameters, buffers = stacked(BatchNorm)
    norm.eval()  # a gradient of what changes its captured buffers is refused by torch
    maps = torch.randn(LANES, 4, CHANNELS, 2, 3, dtype=torch.float64)

    def loss(parameters, buffers, maps):
        return torch.func.functional_call(norm, {**parameters, **buffers}, (maps,)).sin().sum()

    by_lane = torch.vmap(torch.func.grad(loss))(parameters, buffers, maps)
    joint = torch.func.grad(lambda p: torch.vmap(loss)(p, buffers, maps).sum())(parameters)
    for name in parameters:
        torch.testing.assert_close(by_lane[name], joint[name], **EXACT)


@pytest.mark.parametrize("axis", [0, 1, 3, None])
def test_channelwise_folds_lanes_wherever_their_axis_is(axis):
    maps = torch.randn(LANES, 4, CHANNELS, 6, 3)
    factors = torch.randn(LANES, CHANNELS) if axis is not None else torch.randn(CHANNELS)
    function = lambda x, factor: F.avg_pool2d(x, 2) * factor[:, None, None]  # noqa: E731
    of_factors = None if axis is None else 0
    of_maps = axis or 0
    out = torch.vmap(lambda x, factor: channelwise(function, x, factor), (of_maps, of_factors))(
        maps.movedim(0, of_maps), factors
    )
    expected = torch.vmap(function, (0, of_factors))(maps, factors)
    torch.testing.assert_close(out, expected)


def written_out(network, inputs):
    """The CNN's logits and the gradients of their sum of sines, by plain calls in channels-first memory."""
    maps = inputs
    for layer, (convolution, norm) in enumerate(zip(network.convolutions, network.norms, strict=True)):
        maps = F.avg_pool2d(maps.contiguous(), 2) if layer else maps
        maps = F.conv2d(maps.contiguous(), convolution.weight, padding=1)
        maps = torch.relu(F.batch_norm(maps, None, None, norm.weight, norm.bias, training=True))
    logits = network.readout(maps.mean((2, 3)))
    return logits, torch.autograd.grad(logits.sin().sum(), list(network.parameters()))


@pytest.mark.parametrize("num_lanes", [1, 3])
def test_a_cnns_lanes_are_their_equation_to_rounding(num_lanes):
    model, task = CnnParameters(channels=(8, 17, 33)), Task((1, 8, 8), 10)
    lanes = make_lanes([model] * num_lanes, task, range(num_lanes), torch.device("cpu"))
    lanes.parameters = {name: t.detach().double().requires_grad_() for name, t in lanes.parameters.items()}
    lanes.buffers = {name: t.double() for name, t in lanes.buffers.items()}
    inputs = torch.randn(num_lanes, 16, 1, 8, 8, dtype=torch.float64)
    logits = lanes.forward(inputs, training=True).logits
    gradients = torch.autograd.grad(logits.sin().sum(), list(lanes.parameters.values()))
    for lane in range(num_lanes):
        network = build_network(model, task, lane).double().train()
        expected, expected_gradients = written_out(network, inputs[lane])
        torch.testing.assert_close(logits[lane], expected, **EXACT)
        for actual, gradient in zip(gradients, expected_gradients, strict=True):
            torch.testing.assert_close(actual[lane], gradient, **EXACT)
