"""Activations: their values, gradients and counts against torch.nn, finite differences and formulas by hand."""

import math

import pytest
import torch
from torch import nn

from hornlib.models import layer_cost
from hornlib.models.build import build_network
from hornlib.models.layers import ACTIVATIONS, LAYER_ACTIVATIONS, SRelu, layer_activation
from hornlib.models.mlp.parameters import MlpParameters
from hornlib.models.operations import forward_work, training_work
from hornlib.parameters import Task

TASK = Task((4,), 3)
TWINS = {
    "relu": nn.ReLU,
    "relu_one": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "selu": nn.SELU,
}


def numbers(*shape):
    """Random numbers on both sides of 0, in double precision."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_every_pure_function_has_a_twin_here():
    assert TWINS.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize("kind", TWINS)
def test_a_pure_function_and_its_gradient_are_those_of_torch_nn(kind):
    inputs = numbers(50).requires_grad_()
    outputs, expected = ACTIVATIONS[kind](inputs), TWINS[kind]()(inputs)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(
        torch.autograd.grad(outputs.sum(), inputs), torch.autograd.grad(expected.sum(), inputs)
    )


@pytest.mark.parametrize("kind", layer_cost.LayerActivation.__args__)
def test_counts_in_closed_form_are_those_of_a_network_with_this_activation(kind):
    model = MlpParameters(hidden_nodes=(6, 5), activation=kind)
    network = build_network(model, TASK, 0)
    work = forward_work(network, TASK)
    assert model.num_parameters(TASK) == sum(parameter.numel() for parameter in network.parameters())
    assert model.forward_flops(TASK) == work.example
    assert not work.unknown and not training_work(network, TASK).unknown


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("map_over", [lambda f: f, torch.vmap], ids=["alone", "in lanes"])
def test_relu_one_differs_from_relu_in_its_slope_at_zero_alone(dtype, map_over):
    small = torch.finfo(dtype).tiny
    inputs = torch.tensor([0.0, -0.0, small, -small, -1.0, 3.0, math.nan], dtype=dtype, requires_grad=True)
    outputs = map_over(ACTIVATIONS["relu_one"])(inputs)
    assert torch.equal(outputs[:-1], torch.relu(inputs)[:-1])
    assert outputs[-1].isnan(), "a network that diverges must show it"
    (slopes,) = torch.autograd.grad(outputs.sum(), inputs)
    assert slopes[:-1].tolist() == [1, 1, 1, 0, 0, 1]


def drawn_srelu(num_units):
    """An SReLU whose four numbers differ from unit to unit and are away from their initial values."""
    unit = SRelu(num_units, 0, 0.0).double()
    draw = torch.Generator().manual_seed(1)
    for parameter in unit.parameters():
        parameter.data = torch.rand(num_units, generator=draw, dtype=torch.float64) * 2 - 1
    return unit


def test_srelu_is_linear_in_three_parts():
    unit, inputs = drawn_srelu(7), 2 * numbers(40, 7)
    left, gap = unit.left.tolist(), unit.distance.abs().tolist()
    regions = set()
    for row, outputs in zip(inputs.tolist(), unit(inputs).tolist(), strict=True):
        for number, (value, output) in enumerate(zip(row, outputs, strict=True)):
            t_l, t_r = left[number], left[number] + gap[number]
            if value > t_r:
                expected = t_r + unit.right_slope[number].item() * (value - t_r)
            elif value < t_l:
                expected = t_l + unit.left_slope[number].item() * (value - t_l)
            else:
                expected = value
            regions.add((value > t_r) - (value < t_l))
            assert output == pytest.approx(expected)
    assert regions == {-1, 0, 1}


def test_gradients_of_srelu_are_finite_differences():
    unit = drawn_srelu(4)
    tensors = [numbers(9, 4).requires_grad_(), *unit.parameters()]
    names = [name for name, _ in unit.named_parameters()]

    def outputs(inputs, *parameters):
        return torch.func.functional_call(unit, dict(zip(names, parameters, strict=True)), (inputs,))

    assert torch.autograd.gradcheck(outputs, tensors)


def test_a_new_srelu_is_the_identity_above_0_and_leaky_below():
    unit = SRelu(400, 0, 0.0)
    bound = math.sqrt(3 / 20)
    above, below = torch.rand(5, 400), -torch.rand(5, 400)
    torch.testing.assert_close(unit(above), above)
    slopes = unit(below) / below
    assert slopes.abs().max() <= bound and slopes.abs().max() > 0.9 * bound
    torch.testing.assert_close(slopes, unit.left_slope.expand(5, 400))


def test_all_relu_alternates_its_slope_from_the_first_hidden_layer_on():
    inputs = torch.tensor([-2.0, 3.0])
    outputs = [layer_activation("all_relu", 2, layer, 0.25)(inputs).tolist() for layer in range(4)]
    assert outputs == [[-0.5, 3], [0.5, 3], [-0.5, 3], [0.5, 3]]


def test_a_network_of_all_relus_counts_its_layers():
    model = MlpParameters(hidden_nodes=(6, 5), activation="all_relu", all_relu_slope=0.3)
    slopes = [activation.slope for activation in build_network(model, TASK, 0).activations]
    assert slopes == [0.3, -0.3]


def test_a_slope_without_all_relu_is_refused():
    with pytest.raises(ValueError, match="all_relu_slope means nothing to activation: relu"):
        MlpParameters(all_relu_slope=0.3)


def test_layer_norm_normalises_each_example_alone():
    model = MlpParameters(hidden_nodes=(6,), normalisation="layer", readout_norm="none")
    network = build_network(model, TASK, 0).double()
    inputs = numbers(5, 4)
    together = network(inputs)
    for number in range(5):
        torch.testing.assert_close(network(inputs[number : number + 1])[0], together[number])
    argument = nn.functional.layer_norm(network.linears[0](inputs), (6,))
    torch.testing.assert_close(together, network.readout(argument.relu()))


def test_every_layer_activation_is_a_module_without_effect_on_its_inputs():
    for kind in LAYER_ACTIVATIONS:
        inputs = numbers(3, 4).float()
        before = inputs.clone()
        layer_activation(kind, 4, 1, 0.6)(inputs)
        assert torch.equal(inputs, before)
