"""The matrix G of GradMax, which says how new units of a layer would receive gradients; by two routes.

For a layer of units h = f(W x) that the weights V read as z = V h, G is the mean over examples, and the sum over
positions of maps, of

    G[i, j] = dL / dz[i] * x[j],

where i counts the outgoing numbers of a unit and j its incoming numbers. A new unit with incoming weights 0 and
outgoing weights v has the gradient f'(0) G^T v in its incoming weights.

`Junction.matrix` computes G from x and dL/dz, which one pass leaves behind; it is what looks run, since it takes fewer
FLOPs. `hornlib.structures.growth.trial.virtual_matrix` lets G come out of a widened network;
tests/structures/growth/test_gradient_matrix.py holds the two equal.

Reference:
    Evci et al. 2022, GradMax: Growing Neural Networks using Gradient Information, section 3, equation 6.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hornlib.models.layout import is_in_lanes
from hornlib.parameters import UnitAxis
from hornlib.structures.growth.unit_vectors import incoming, outgoing

__all__ = ["Junction", "watched"]


class Junction:
    """The two weights around a layer's units, and what the last pass of the lanes left there.

    Args:
        network: module of the lanes' shape.
        layer: position of the layer in `units()`.
        axes: of the layer's units.
    """

    def __init__(self, network: nn.Module, layer: int, axes: Sequence[UnitAxis]) -> None:
        self.network, self.layer = network, layer
        self.writer = network.get_submodule(incoming(axes).name.removesuffix(".weight"))
        self.reader = network.get_submodule(outgoing(axes).name.removesuffix(".weight"))
        self._inputs: tuple[Tensor, int] | None = None
        self._outputs: tuple[Tensor, int] | None = None

    @property
    def inputs(self) -> Tensor:
        """x, which the incoming weights read, (lanes, batch, ...)."""
        assert self._inputs is not None, "no pass of the lanes yet"
        return _lanes_first(*self._inputs).detach()

    @property
    def outputs(self) -> Tensor:
        """z, which the outgoing weights return, as the loss depends on it: the axis of lanes stands anywhere."""
        assert self._outputs is not None, "no pass of the lanes yet"
        return self._outputs[0]

    def gradients(self, gradient: Tensor) -> Tensor:
        """Return the gradient of `outputs` as (lanes, batch, ...)."""
        assert self._outputs is not None, "no pass of the lanes yet"
        return _lanes_first(gradient, self._outputs[1])

    def matrix(self, inputs: Tensor, gradients: Tensor) -> Tensor:
        """Return the sum of dL/dz x^T over the examples of one lane, (outgoing numbers, incoming numbers) of a unit.

        For each incoming number, a map says what a unit reads there. It passes through the network as the map of a unit
        does, without the activation. G is the gradient of weights that read these maps.

        Args:
            inputs: x of the lane, (batch, features) or (batch, channels, height, width).
            gradients: dL/dz of the lane, (batch, ...).
        """
        maps = _read(self.writer, inputs)
        num_incoming = maps.shape[1]
        if hasattr(self.network, "passed_on"):
            maps = self.network.passed_on(self.layer, maps)
        if isinstance(self.reader, nn.Conv2d):
            shape = (self.reader.out_channels, num_incoming, *self.reader.kernel_size)
            weight = torch.nn.grad.conv2d_weight(
                maps, shape, gradients, self.reader.stride, self.reader.padding, self.reader.dilation
            )
            return weight.movedim(1, -1).flatten(0, -2)
        products = gradients.T @ maps.flatten(1)  # behind a flattening, each map has a block of columns
        return products.unflatten(1, (num_incoming, -1)).movedim(1, -1).flatten(0, 1)

    def matrix_flops(self, rows: int, columns: int) -> int:
        """Return the FLOPs of `matrix` over the batch of the last pass.

        Args:
            rows: outgoing numbers of a unit.
            columns: incoming numbers of a unit.
        """
        shape = self.gradients(self.outputs).shape  # (lanes, batch, numbers or channels, ...)
        positions = shape[3:].numel() if isinstance(self.reader, nn.Conv2d) else 1
        return 2 * rows * columns * positions * shape[1]


@contextmanager
def watched(junctions: Iterable[Junction]) -> Iterator[None]:
    """Let the passes of lanes within the context leave their numbers at the junctions."""
    handles = []
    for junction in junctions:
        handles.append(junction.writer.register_forward_pre_hook(_note_inputs(junction)))
        handles.append(junction.reader.register_forward_hook(_note_outputs(junction)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _note_inputs(junction: Junction) -> Any:
    def note(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        junction._inputs = _stored(arguments[0])

    return note


def _note_outputs(junction: Junction) -> Any:
    def note(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        junction._outputs = _stored(output)

    return note


def _stored(tensor: Tensor) -> tuple[Tensor, int]:
    """Return the tensor of all lanes that `torch.vmap` hides behind that of one, and its axis of lanes; -1: none.

    Autograd knows the stored tensor. A copy with the lanes first would be no part of its graph.
    """
    if not is_in_lanes(tensor):
        return tensor, -1
    return torch._C._functorch.get_unwrapped(tensor), torch._C._functorch.maybe_get_bdim(tensor)


def _lanes_first(tensor: Tensor, axis: int) -> Tensor:
    return tensor.unsqueeze(0) if axis < 0 else tensor.movedim(axis, 0)


def _read(writer: nn.Module, inputs: Tensor) -> Tensor:
    """Return what each incoming number of a unit reads, (batch, incoming numbers), or their maps (..., height, width).

    Args:
        writer: convolution or fully connected layer.
        inputs: of one lane, (batch, channels, height, width) or (batch, features).
    """
    if not isinstance(writer, nn.Conv2d):
        return inputs
    options = (writer.kernel_size, writer.dilation, writer.padding, writer.stride)
    pixels = [
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, dilation, padding, stride in zip(inputs.shape[2:], *options, strict=True)
    ]
    return functional.unfold(inputs, *options).unflatten(2, pixels)
