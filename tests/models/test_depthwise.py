"""The depthwise convolution against torch's own, gradients and lanes included."""

import pytest
import torch
from torch.nn import functional as F

from hornlib.models.depthwise import LARGEST_MAP, depthwise_convolution

SHAPES = [(1, 1), (2, 2), (1, 4), (3, 1), (2, 3), (7, 7)]


def reference(inputs, kernel):
    return F.conv2d(inputs, kernel, padding=1, groups=kernel.shape[0])


def tensors(height, width, *lead, channels=3):
    draw = torch.Generator().manual_seed(height * width)
    inputs = torch.randn(*lead, 4, channels, height, width, generator=draw, dtype=torch.float64)
    kernel = torch.randn(*lead, channels, 1, 3, 3, generator=draw, dtype=torch.float64)
    return inputs.requires_grad_(), kernel.requires_grad_()


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_values_and_gradients_are_the_convolutions(height, width):
    inputs, kernel = tensors(height, width)
    actual, expected = depthwise_convolution(inputs, kernel), reference(inputs, kernel)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)
    weight = torch.randn_like(expected)
    for one, other in zip(
        torch.autograd.grad((actual * weight).sum(), (inputs, kernel)),
        torch.autograd.grad((expected * weight).sum(), (inputs, kernel)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_the_shapes_tested_lie_on_both_sides_of_the_bound():
    assert {height * width > LARGEST_MAP for height, width in SHAPES} == {True, False}


@pytest.mark.parametrize(("height", "width"), [(2, 2), (7, 7)])
def test_lanes_are_the_same_convolutions_alone(height, width):
    inputs, kernel = tensors(height, width, 3)
    together = torch.vmap(depthwise_convolution)(inputs, kernel)
    gradients = torch.autograd.grad(together.square().sum(), (inputs, kernel))
    alone = torch.stack([reference(x, k) for x, k in zip(inputs, kernel, strict=True)])
    expected = torch.autograd.grad(alone.square().sum(), (inputs, kernel))
    torch.testing.assert_close(together, alone)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("lanes", [1, 2])
def test_under_autocast_gradients_are_the_convolutions_to_half_precision_in_their_tensors_dtypes(lanes):
    inputs, kernel = (tensor.detach().float().requires_grad_() for tensor in tensors(2, 2, lanes))
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(inputs.shape, generator=draw)

    def run(each):
        if lanes == 1:
            return each(inputs[0], kernel[0]).unsqueeze(0)
        return torch.vmap(each)(inputs, kernel)

    with torch.autocast("cpu", torch.bfloat16):
        actual = run(depthwise_convolution)
    assert actual.dtype == torch.bfloat16
    expected = torch.autograd.grad((run(reference) * weight).sum(), (inputs, kernel))
    for one, other in zip(
        torch.autograd.grad((actual * weight).sum(), (inputs, kernel)), expected, strict=True
    ):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.01 * other.norm()
