"""Residual networks: published sizes, blocks that are the identity without weights, small images."""

import pytest
import torch

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


def test_a_block_whose_residual_is_silent_passes_positive_inputs_on():
    block = BasicBlock(BlockShape(4, 4, 1), ResnetParameters())
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
@pytest.mark.parametrize("values", [{}, {"blocks_per_stage": 2, "widening": 2, "activation": "gelu"}])
def test_counts_hold_for_every_normalisation_and_shape_of_blocks(normalisation, values):
    parameters = ResnetParameters(channels=(4, 6), normalisation=normalisation, **values)
    task = Task((3, 7, 10), 4)
    network = build_network(parameters, task, 0)
    assert parameters.num_parameters(task) == sum(p.numel() for p in network.parameters())
    assert parameters.forward_flops(task) == forward_work(network, task).example
