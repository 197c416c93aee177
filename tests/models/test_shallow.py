"""Shallow networks: each connectivity can compute what the one with more restrictions computes."""

import pytest
import torch

from hornlib.models.build import build_network
from hornlib.models.lanes import make_lanes
from hornlib.models.shallow.parameters import ShallowParameters
from hornlib.parameters import Task

IMAGE, CIFAR = Task((3, 7, 10), 4), Task((3, 32, 32), 10)


def network_of(connectivity, task=IMAGE, **values):
    """Return a network whose norms have statistics, scales and shifts of their own."""
    kernel = {} if connectivity == "full" else {"kernel_size": 5}
    model = ShallowParameters(connectivity=connectivity, num_channels=2, **kernel, **values)
    network = build_network(model, task, 0).double()
    draw = torch.Generator().manual_seed(1)
    for name, tensor in network.state_dict().items():
        if "norm" in name and tensor.is_floating_point():
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=draw, dtype=torch.float64))
    return network.eval()


def images(number=4, task=IMAGE):
    draw = torch.Generator().manual_seed(2)
    return torch.randn(number, *task.input_shape, generator=draw, dtype=torch.float64)


def with_units_of(network, convolutional):
    """Give a network the norms and upper layers of S-CONV: every unit has the values of its channel."""
    tensors = convolutional.state_dict()
    positions = network.first.weight.shape[0] // 2
    per_unit = {
        name: tensor.repeat_interleave(positions)
        for name, tensor in tensors.items()
        if name.startswith("first_norm.") and tensor.dim()
    }
    tensors = {**tensors, **per_unit, "first.weight": network.state_dict()["first.weight"]}
    if "first.bias" in tensors:
        tensors["first.bias"] = tensors["first.bias"].repeat_interleave(positions)
    network.load_state_dict(tensors)


@pytest.mark.parametrize("normalisation", ["batch", "none"])
def test_s_local_with_copied_kernels_is_s_conv(normalisation):
    convolutional = network_of("conv", normalisation=normalisation)
    local = network_of("local", normalisation=normalisation)
    with_units_of(local, convolutional)
    with torch.no_grad():
        kernels = convolutional.first.weight
        local.first.weight.copy_(kernels.repeat_interleave(len(local.first.weight) // 2, 0))
    torch.testing.assert_close(local(images()), convolutional(images()), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("normalisation", ["batch", "none"])
def test_s_fc_with_the_embedded_kernels_of_s_conv_is_s_conv(normalisation):
    """The matrix of a linear map is its image of every unit vector."""
    convolutional = network_of("conv", normalisation=normalisation)
    full = network_of("full", normalisation=normalisation)
    with_units_of(full, convolutional)
    pixels = 3 * 7 * 10
    unit_vectors = torch.eye(pixels, dtype=torch.float64).view(pixels, 3, 7, 10)
    with torch.no_grad():
        maps = torch.nn.functional.conv2d(unit_vectors, convolutional.first.weight, stride=2, padding=2)
        full.first.weight.copy_(maps.flatten(1).T)
    torch.testing.assert_close(full(images()), convolutional(images()), atol=1e-12, rtol=1e-12)
    connected = (full.first.weight != 0).sum(1)
    assert connected.max() == 3 * 25 and connected.min() < 3 * 25  # units at the border read less


def test_weights_of_s_local_that_meet_padding_are_0_and_have_no_gradient():
    network = network_of("local")
    network.train()(images()).square().sum().backward()
    weight = network.first.weight
    assert torch.equal(weight == 0, weight.grad == 0)
    corner = weight.detach().view(2, 4, 5, 3, 5, 5)[0, 0, 0, 0]  # its centre is the pixel at the top left
    assert torch.equal(corner != 0, torch.arange(5).view(5, 1).ge(2) & torch.arange(5).ge(2))
    inner = weight.detach().view(2, 4, 5, 3, 5, 5)[:, 1:3, 1:4]
    assert (inner != 0).all()


def test_lanes_of_s_local_begin_with_zeros_at_the_border():
    lanes = make_lanes([ShallowParameters(connectivity="local", num_channels=1)] * 2, IMAGE, [0, 1], "cpu")
    zeros = lanes.parameters["first.weight"] == 0
    assert torch.equal(zeros[0], zeros[1]) and 0 < zeros[0].sum() < zeros[0].numel()


def test_the_sizes_are_those_of_the_published_networks():
    """S-FC with 150 channels has 256 million parameters; 3072 inputs meet 150 x 16 x 16 units, 3600 hidden nodes."""
    full = ShallowParameters(connectivity="full", num_channels=150)
    assert sum(weight.size for weight in full.weights(CIFAR)) == 3072 * 38_400 + 38_400 * 3600 + 36_000
    assert full.num_parameters(CIFAR) / 1e6 == pytest.approx(256, abs=0.5)
    sizes = [
        ShallowParameters(connectivity=connectivity).num_parameters(CIFAR)
        for connectivity in ("conv", "local", "full")
    ]
    assert sizes == sorted(sizes)
    assert ShallowParameters().weights(CIFAR)[0].size == 16 * 3 * 81


def test_a_kernel_without_a_centre_and_one_without_a_use_are_refused():
    with pytest.raises(ValueError, match="a kernel of 4 pixels has no centre; give an odd number"):
        ShallowParameters(kernel_size=4)
    with pytest.raises(ValueError, match="kernel_size means nothing to connectivity: full; leave it out"):
        ShallowParameters(connectivity="full", kernel_size=5)
