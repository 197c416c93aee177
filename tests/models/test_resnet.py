"""Residual networks: published sizes, blocks that are the identity without weights, small images."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from hornlib.models.build import build_network
from hornlib.models.operations import forward_work
from hornlib.models.resnet.network import BasicBlock
from hornlib.models.resnet.parameters import BlockShape, ResnetParameters
from hornlib.parameters import Task

CIFAR = Task((3, 32, 32), 10)


def test_twenty_layers_have_the_published_size():
    # He et al. 2016, table 6: 0.27 M at 20 layers, without projections; those add 16*32 + 32*64 and two norms
    parameters = ResnetParameters(blocks_per_stage=3)
    projections = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert parameters.num_parameters(CIFAR) - projections == 269_722
    assert round(parameters.forward_flops(CIFAR).products / 2e6) == 41


def test_sixteen_layers_widened_eightfold_have_eleven_million_parameters():
    # Zagoruyko and Komodakis 2016, table 4: WRN-16-8 has 11.0 M
    parameters = ResnetParameters(blocks_per_stage=2, widening=8)
    assert parameters.num_parameters(CIFAR) / 1e6 == pytest.approx(11.0, abs=0.1)


@pytest.mark.parametrize(
    ("blocks_per_stage", "widening", "millions"), [(6, 1, 0.6), (6, 4, 8.9), (2, 8, 11.0), (4, 10, 36.5)]
)
def test_wide_networks_with_preactivation_have_the_published_sizes(blocks_per_stage, widening, millions):
    # Zagoruyko and Komodakis 2016, table 4: WRN-40-1, WRN-40-4, WRN-16-8, WRN-28-10
    parameters = ResnetParameters(
        blocks_per_stage=blocks_per_stage, widening=widening, block="preactivation", readout_norm="none"
    )
    assert parameters.num_parameters(CIFAR) / 1e6 == pytest.approx(millions, abs=0.06)


def test_the_network_that_gradmax_grows_has_a_quarter_of_the_inner_channels_at_first():
    # WRN-28-1: one stem, 12 blocks of two 3x3 convolutions, two projections, one fully connected layer
    large = ResnetParameters(
        blocks_per_stage=4, block="preactivation", norms="trunk", activation="relu_one", readout_norm="none"
    )
    outputs = [16] * 4 + [32] * 4 + [64] * 4
    small = large.model_copy(update={"inner_channels": tuple(width // 4 for width in outputs)})
    assert large.units() == tuple(outputs) and small.units() == (4,) * 4 + (8,) * 4 + (16,) * 4
    trunk = 27 * 16 + 16 * 32 + 32 * 64 + 2 * (sum([16, *outputs])) + 65 * 10
    kernels = sum(9 * width * (before + width) for before, width in pairwise([16, *outputs]))
    assert large.num_parameters(CIFAR) == trunk + kernels
    assert small.num_parameters(CIFAR) == trunk + kernels // 4
    grown = small
    for layer, width in enumerate(outputs):
        grown = grown.with_units(layer, width)
    assert grown == large


@pytest.mark.parametrize("norms", ["everywhere", "trunk"])
def test_a_network_of_preactivation_blocks_is_its_equation(norms):
    parameters = ResnetParameters(
        channels=(3, 4), inner_channels=(2, 5), block="preactivation", norms=norms, readout_norm="none"
    )
    network = build_network(parameters, CIFAR, 0).eval()
    for name, tensor in network.state_dict().items():
        if ".norm" in name or ".1." in name or name.startswith("norm"):
            tensor.copy_(torch.rand(tensor.shape) + 0.5)

    def normalised(maps, norm):
        return F.batch_norm(maps, norm.running_mean, norm.running_var, norm.weight, norm.bias)

    inputs = torch.randn(2, 3, 8, 8)
    maps = F.conv2d(inputs, network.stem[0].weight, padding=1)
    for number, block in enumerate(network.blocks):
        activated = torch.relu(normalised(maps, block.norm))
        inner = F.conv2d(activated, block.first[0].weight, stride=1 + number, padding=1)
        if norms == "everywhere":
            inner = normalised(inner, block.first[1])
        residual = F.conv2d(torch.relu(inner), block.second[0].weight, padding=1)
        maps = residual + (F.conv2d(activated, block.shortcut[0].weight, stride=2) if number else maps)
    features = torch.relu(normalised(maps, network.norm)).mean((2, 3))
    logits = features @ network.readout.linear.weight.T + network.readout.linear.bias
    torch.testing.assert_close(network(inputs), logits)


def test_fields_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="inner_channels: 2 numbers for 3 blocks"):
        ResnetParameters(inner_channels=(4, 4))
    with pytest.raises(ValueError, match="norms: trunk means nothing to normalisation: none"):
        ResnetParameters(norms="trunk", normalisation="none")


def test_a_block_whose_residual_is_silent_passes_positive_inputs_on():
    block = BasicBlock(BlockShape(4, 4, 4, 1), ResnetParameters())
    torch.nn.init.zeros_(block.second[1].weight)
    inputs = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(inputs), inputs)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_small_images_do_not_run_out_of_pixels(size):
    task, parameters = Task((1, size, size), 10), ResnetParameters(channels=(2, 3, 4))
    network = build_network(parameters, task, 0)
    assert torch.isfinite(network(torch.randn(4, 1, size, size))).all()
    assert forward_work(network, task).example == parameters.forward_flops(task)


@pytest.mark.parametrize("normalisation", ["batch", "group", "none"])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"blocks_per_stage": 2, "widening": 2, "activation": "gelu"},
        {"inner_channels": (3, 5), "block": "preactivation", "activation": "gelu"},
        {"inner_channels": (3, 5), "block": "basic"},
    ],
)
def test_counts_hold_for_every_normalisation_and_shape_of_blocks(normalisation, values):
    parameters = ResnetParameters(channels=(4, 6), normalisation=normalisation, **values)
    task = Task((3, 7, 10), 4)
    network = build_network(parameters, task, 0)
    assert parameters.num_parameters(task) == sum(p.numel() for p in network.parameters())
    assert parameters.forward_flops(task) == forward_work(network, task).example
