"""The matrix G of GradMax, which says how new units of a layer would receive gradients; by two routes.

For a layer of units h = f(W x) that the weights V read as z = V h, G is the mean over examples, and the sum over
positions of maps, of

    G[i, j] = dL / dz[i] * x[j],

where i counts the outgoing numbers of a unit and j its incoming numbers. A new unit with incoming weights 0 and
outgoing weights v has the gradient f'(0) G^T v in its incoming weights.

`Junction` computes G from x and dL/dz, which one pass leaves behind; it is what looks run, since it takes fewer
FLOPs. `hornlib.structures.growth.trial.virtual_matrix` lets G come out of a widened network;
tests/structures/growth/test_gradient_matrix.py holds the two equal.

Reference:
    Evci et al. 2022, GradMax: Growing Neural Networks using Gradient Information, section 3, equation 6.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from hornlib.models.layout import is_in_lanes
from hornlib.parameters import UnitAxis
from hornlib.structures.growth.unit_vectors import incoming, outgoing

__all__ = ["Junction", "PassesUnitsOn", "read_by", "watched"]


@runtime_checkable
class PassesUnitsOn(Protocol):
    """A network that changes linearly what units compute before the next weights read it, such as by pooling.

    Networks that hand on activations as they are do without the method.
    """

    def passed_on(self, layer: int, maps: Tensor) -> Tensor:
        """Return what the next weights read of a layer's activations.

        Args:
            layer: position in `units()`.
            maps: (batch, channels, height, width), of any number of channels.
        """


class Junction:
    """The two weights around a layer's units, and what the last pass of the lanes left there.

    Args:
        network: module of the lanes' shape.
        layer: position of the layer in `units()`.
        axes: of the layer's units.

    Attributes:
        writer: the convolution or fully connected layer that computes the units.
        reader: that which reads them.
        inputs: x, what the writer read, (lanes, batch, ...).
        readings: h as the reader read it, (lanes, batch, ...).
        outputs: z, what the reader returned, as the loss depends on it: the axis of lanes stands anywhere.
        gradients: dL/dz, (lanes, batch, ...).
    """

    inputs: Tensor
    readings: Tensor
    outputs: Tensor
    gradients: Tensor

    def __init__(self, network: nn.Module, layer: int, axes: Sequence[UnitAxis]) -> None:
        self.network, self.layer = network, layer
        self.writer = network.get_submodule(incoming(axes).name.removesuffix(".weight"))
        self.reader = network.get_submodule(outgoing(axes).name.removesuffix(".weight"))
        self._lane_axis = -1

    def hooks(self) -> list[Any]:
        """Let each pass of the lanes leave its numbers; return the handles that end it."""

        def note_inputs(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            self.inputs = _lanes_first(*_stored(arguments[0])).detach()

        def note_outputs(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
            self.readings = _lanes_first(*_stored(arguments[0])).detach()
            self.outputs, self._lane_axis = _stored(output)

        return [
            self.writer.register_forward_pre_hook(note_inputs),
            self.reader.register_forward_hook(note_outputs),
        ]

    def note_gradient(self, gradient: Tensor) -> None:
        """Note the gradient of `outputs`, of its shape."""
        self.gradients = _lanes_first(gradient, self._lane_axis)

    def maps(self, inputs: Tensor) -> Tensor:
        """Return, for each incoming number, what the reader would read of a unit that reads nothing but this number.

        The numbers pass through the network as a unit does, but without norm and activation.

        Args:
            inputs: x of one lane, (batch, features) or (batch, channels, height, width).

        Returns:
            (batch, incoming numbers) or (batch, incoming numbers, height, width).
        """
        maps = read_by(self.writer, inputs)
        return self.network.passed_on(self.layer, maps) if isinstance(self.network, PassesUnitsOn) else maps

    def matrix(self, maps: Tensor, gradients: Tensor) -> Tensor:
        """Return the sum of dL/dz x^T over the examples of one lane, (outgoing numbers, incoming numbers) of a unit.

        It is the gradient of weights that read the maps.

        Args:
            maps: of the lane; see `maps`.
            gradients: dL/dz of the lane, (batch, ...).
        """
        if isinstance(self.reader, nn.Conv2d):
            shape = (self.reader.out_channels, maps.shape[1], *self.reader.kernel_size)
            weight = conv2d_weight(
                maps, shape, gradients, self.reader.stride, self.reader.padding, self.reader.dilation
            )
            return weight.movedim(1, -1).flatten(0, -2)
        products = gradients.T @ maps.flatten(1)  # behind a flattening, each map has a block of columns
        return products.unflatten(1, (maps.shape[1], -1)).movedim(1, -1).flatten(0, 1)

    @property
    def num_places(self) -> int:
        """Positions of all examples of a batch at which the reader multiplies."""
        shape = self.gradients.shape[1:]  # (batch, channels, height, width) or (batch, numbers)
        return shape[0] * shape[2:].numel()


@contextmanager
def watched(junctions: Iterable[Junction]) -> Iterator[None]:
    """Let the passes of lanes within the context leave their numbers at the junctions."""
    handles = [handle for junction in junctions for handle in junction.hooks()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _stored(tensor: Tensor) -> tuple[Tensor, int]:
    """Return the tensor of all lanes that `torch.vmap` hides behind that of one, and its axis of lanes; -1: none.

    Autograd knows the stored tensor. A copy with the lanes first would be no part of its graph.
    """
    if not is_in_lanes(tensor):
        return tensor, -1
    return torch._C._functorch.get_unwrapped(tensor), torch._C._functorch.maybe_get_bdim(tensor)


def _lanes_first(tensor: Tensor, axis: int) -> Tensor:
    return tensor.unsqueeze(0) if axis < 0 else tensor.movedim(axis, 0)


def read_by(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Return what each weight of an output reads, (batch, weights), or its maps (batch, weights, height, width).

    Args:
        layer: convolution or fully connected layer.
        inputs: of one lane, (batch, channels, height, width) or (batch, features).
    """
    if not isinstance(layer, nn.Conv2d):
        return inputs
    assert isinstance(layer.padding, tuple), "paddings are numbers of pixels"
    options = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    pixels = [
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, dilation, padding, stride in zip(inputs.shape[2:], *options, strict=True)
    ]
    return functional.unfold(inputs, *options).unflatten(2, pixels)
