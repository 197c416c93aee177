"""The feed-forward CNN: its published counts, its equation, its widths."""

import pytest
import torch
from torch.nn import functional as F

from hornlib.models.build import build_network
from hornlib.models.cnn.parameters import CnnParameters
from hornlib.parameters import Task

CIFAR = Task((3, 32, 32), 10)
DIGITS = Task((1, 8, 8), 10)


def test_the_rival_of_the_field_at_three_stages_has_94762_parameters_and_10_3_million_products():
    parameters = CnnParameters()
    assert parameters.num_parameters(CIFAR) == 94_762
    assert parameters.forward_flops(CIFAR).products == 2 * 10_323_200
    assert sum(p.numel() for p in build_network(parameters, CIFAR, 0).parameters()) == 94_762


def test_a_network_without_normalisation_is_its_equation():
    parameters = CnnParameters(channels=(3, 5), normalisation="none", readout_norm="none", activation="tanh")
    network = build_network(parameters, DIGITS, 0)
    inputs = torch.randn(4, 1, 8, 8)
    first, second = network.convolutions
    maps = torch.tanh(F.conv2d(inputs, first.weight, first.bias, padding=1))
    maps = maps.unfold(2, 2, 2).unfold(3, 2, 2).mean((-2, -1))
    maps = torch.tanh(F.conv2d(maps, second.weight, second.bias, padding=1))
    logits = maps.flatten(2).mean(2) @ network.readout.linear.weight.T + network.readout.linear.bias
    torch.testing.assert_close(network(inputs), logits)


def test_the_gain_scales_the_features_of_one_stage():
    weights = build_network(CnnParameters(channels=(4,), activation="tanh"), DIGITS, 0).state_dict()
    inputs, features = torch.randn(6, 1, 8, 8), []
    for gain in (1.0, 0.25):
        network = build_network(
            CnnParameters(channels=(4,), activation="tanh", activation_gain=gain), DIGITS, 1
        )
        network.load_state_dict(weights)
        network.readout.register_forward_pre_hook(lambda module, args: features.append(args[0]))
        network(inputs)
    torch.testing.assert_close(0.25 * features[0], features[1])


def test_widths_keep_their_proportions():
    assert CnnParameters(channels=(32, 64, 128)).with_width(64).channels == (16, 32, 64)
    assert CnnParameters(channels=(32, 64, 128)).with_width(1).channels == (1, 1, 1)
    assert CnnParameters(channels=(8, 16)).with_width(16) == CnnParameters(channels=(8, 16))


def test_images_that_pooling_would_empty_are_refused():
    assert not CnnParameters(channels=(4, 4, 4, 4)).problems(DIGITS)
    [problem] = CnnParameters(channels=(4, 4, 4, 4, 4)).problems(DIGITS)
    assert "5 stages" in problem and "8 pixels" in problem


@pytest.mark.parametrize("channels", [6, 7, 12, 16])
def test_group_norm_finds_whole_groups_at_any_width(channels):
    network = build_network(CnnParameters(channels=(channels,), normalisation="group"), DIGITS, 0)
    assert channels % network.norms[0].num_groups == 0
    assert torch.isfinite(network(torch.randn(2, 1, 8, 8))).all()
