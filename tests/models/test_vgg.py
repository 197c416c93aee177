"""All-convolutional VGG networks: the published work, their equation, first weights, shapes of maps."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from hornlib.models.build import build_network
from hornlib.models.operations import forward_work
from hornlib.models.vgg.parameters import VggParameters
from hornlib.parameters import Task

CIFAR, DIGITS = Task((3, 32, 32), 10), Task((1, 8, 8), 10)


def test_the_default_is_the_vgg11_that_gradmax_grows():
    parameters = VggParameters()
    widths = [3, *parameters.channels, 10]
    assert parameters.num_parameters(CIFAR) == sum(9 * before * after for before, after in pairwise(widths))
    assert [shape.height for shape in parameters.shapes(CIFAR)] == [32, 16, 8, 8, 4, 4, 2, 2, 1]
    assert parameters.forward_flops(CIFAR).products / 1e9 == pytest.approx(0.305, abs=0.001)
    assert parameters.with_width(128).channels == (16, 32, 64, 64, 128, 128, 128, 128)


def test_a_network_with_a_convolution_as_last_layer_is_its_equation():
    network = build_network(VggParameters(channels=(3, 5), strides=(1, 2), activation="tanh"), DIGITS, 0)
    inputs = torch.randn(4, 1, 8, 8)
    first, second = network.convolutions
    maps = torch.tanh(F.conv2d(inputs, first.weight, padding=1))
    maps = torch.tanh(F.conv2d(maps, second.weight, stride=2, padding=1))
    maps = F.conv2d(maps, network.output_layer.weight, stride=2, padding=1)
    assert maps.shape == (4, 10, 2, 2)
    torch.testing.assert_close(network(inputs), maps.mean((2, 3)))


def test_a_flattened_network_reads_the_positions_of_a_channel_side_by_side():
    parameters = VggParameters(channels=(3, 5), strides=(2, 2), output_layer="flatten", activation="tanh")
    network = build_network(parameters, DIGITS, 0)
    inputs = torch.randn(4, 1, 8, 8)
    maps = inputs
    for convolution in network.convolutions:
        maps = torch.tanh(F.conv2d(maps, convolution.weight, stride=2, padding=1))
    weight = network.readout.linear.weight.view(10, 5, 2, 2)
    logits = torch.einsum("bchw,ochw->bo", maps, weight) + network.readout.linear.bias
    torch.testing.assert_close(network(inputs), logits)


def test_first_weights_are_those_of_he_et_al_unless_the_default_of_torch_is_asked_for():
    for initialisation, variance in (("he_normal", 2 / (9 * 64)), ("uniform", 1 / (3 * 9 * 64))):
        parameters = VggParameters(channels=(64, 64), strides=(1, 1), initialisation=initialisation)
        weight = build_network(parameters, DIGITS, 0).convolutions[1].weight
        assert weight.var().item() == pytest.approx(variance, rel=0.05)
    flattened = VggParameters(channels=(4,), strides=(1,), output_layer="flatten")
    assert not build_network(flattened, DIGITS, 0).readout.linear.bias.any()


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("output_layer", ["convolution", "flatten"])
def test_strides_leave_at_least_a_pixel_of_any_image(size, output_layer):
    task = Task((1, size, size + 1), 4)
    parameters = VggParameters(
        channels=(2, 3, 4), strides=(2, 3, 2), output_layer=output_layer, normalisation="group"
    )
    network = build_network(parameters, task, 0)
    assert network(torch.randn(3, *task.input_shape)).shape == (3, 4)
    assert forward_work(network, task).example == parameters.forward_flops(task)


def test_a_wrong_number_of_strides_is_refused():
    with pytest.raises(ValueError, match="strides: 8 numbers for 2 convolutions"):
        VggParameters(channels=(4, 4))
