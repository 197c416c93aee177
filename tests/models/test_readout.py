"""The shared read-out against its equation and its closed forms."""

import pytest
import torch

from hornlib.models import layer_cost
from hornlib.models.readout import Readout


@pytest.mark.parametrize("readout_norm", ["batch", "none"])
def test_parameters_are_those_of_one_linear_layer(readout_norm):
    readout = Readout(7, 3, readout_norm)
    assert (
        sum(p.numel() for p in readout.parameters()) == layer_cost.readout(7, 3, "none").num_parameters == 24
    )


def test_normalised_logits_do_not_depend_on_the_scale_of_the_features():
    torch.manual_seed(0)
    readout = Readout(5, 3, "batch").double()
    features = torch.randn(64, 5, dtype=torch.float64)
    scale = torch.tensor([20.0, 1.0, 300.0, 4.0, 50.0], dtype=torch.float64)
    torch.testing.assert_close(readout(features), readout(features * scale + 3), rtol=1e-4, atol=1e-4)


def test_normalised_features_have_zero_mean_and_unit_variance_in_training():
    torch.manual_seed(0)
    readout = Readout(5, 5, "batch")
    readout.linear.weight.data, readout.linear.bias.data = torch.eye(5), torch.zeros(5)
    normalised = readout(3 + 2 * torch.randn(500, 5))
    torch.testing.assert_close(normalised.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised.var(0, unbiased=False), torch.ones(5), atol=1e-4, rtol=0)


def test_raw_readout_is_the_linear_layer_alone():
    readout = Readout(5, 3, "none")
    features = torch.randn(4, 5)
    torch.testing.assert_close(readout(features), features @ readout.linear.weight.T + readout.linear.bias)


def test_flops_follow_the_convention():
    assert layer_cost.readout(7, 3, "batch").flops == (42, 14 + 3)
    assert layer_cost.readout(7, 3, "none").flops == (42, 3)


@pytest.mark.parametrize("readout_norm", ["batch", "none"])
def test_without_a_bias_the_counts_are_less_by_one_an_output(readout_norm):
    readout = Readout(7, 3, readout_norm, "without")
    assert readout.linear.bias is None
    with_bias, without = (layer_cost.readout(7, 3, readout_norm, bias) for bias in ("with", "without"))
    assert sum(p.numel() for p in readout.parameters()) == without.num_parameters == 21
    assert with_bias.elementwise - without.elementwise == 3
