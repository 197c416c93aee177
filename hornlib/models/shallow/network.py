"""Shallow networks: units over an image with shared, local or full weights, a hidden layer, and the read-out."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hornlib.models.layers import ACTIVATIONS, normalisation_2d
from hornlib.models.layout import channels_last
from hornlib.models.readout import Readout
from hornlib.models.shallow.parameters import STRIDE, ShallowParameters
from hornlib.parameters import Task

__all__ = ["FullConnections", "LocalConnections", "Shallow", "SharedKernel"]


class SharedKernel(nn.Conv2d):
    """Units that share one kernel in each channel: a convolution.

    Args:
        parameters: channels, kernel, norm.
        task: shape of the image.
    """

    def __init__(self, parameters: ShallowParameters, task: Task) -> None:
        kernel, bias = parameters.kernel_size, parameters.normalisation == "none"
        super().__init__(
            task.input_shape[0], parameters.num_channels, kernel, STRIDE, padding=kernel // 2, bias=bias
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return maps (batch, channels, rows, columns) of images (batch, inputs, height, width)."""
        return super().forward(channels_last(images))


class LocalConnections(nn.Module):
    """Units with a kernel each: what a convolution connects, without its shared weights.

    Weights that reach beyond the image meet nothing but padding. They are 0 from the start, and have no gradient.

    Args:
        parameters: channels, kernel, norm.
        task: shape of the image.

    Attributes:
        weight: (units, inputs, kernel, kernel). A unit is one position of one channel, all positions of a channel side
            by side, row by row.
        bias: (units,), or None.
    """

    def __init__(self, parameters: ShallowParameters, task: Task) -> None:
        super().__init__()
        self.num_channels, self.kernel_size = parameters.num_channels, parameters.kernel_size
        num_inputs, num_units = task.input_shape[0], parameters.num_units(task)
        weight = torch.empty(num_units, num_inputs, self.kernel_size, self.kernel_size)
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5))  # torch's first weights of a convolution
        inside = self.patches(torch.ones(1, *task.input_shape)).flatten(1).repeat(self.num_channels, 1)
        self.weight = nn.Parameter(weight * inside.view_as(weight))
        bound = 1 / math.sqrt(weight[0].numel())
        has_bias = parameters.normalisation == "none"
        self.bias = nn.Parameter(torch.empty(num_units).uniform_(-bound, bound)) if has_bias else None

    def patches(self, images: Tensor) -> Tensor:
        """Return what the units of every position read, (positions, batch, inputs x kernel x kernel).

        Args:
            images: (batch, inputs, height, width).
        """
        kernel = self.kernel_size
        padded = F.pad(images, [kernel // 2] * 4)
        windows = padded.unfold(2, kernel, STRIDE).unfold(3, kernel, STRIDE)
        return windows.permute(2, 3, 0, 1, 4, 5).flatten(3).flatten(0, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the sums of all units, (batch, units), of images (batch, inputs, height, width)."""
        kernels = self.weight.flatten(1).unflatten(0, (self.num_channels, -1))
        sums = torch.bmm(self.patches(images), kernels.permute(1, 2, 0))  # (positions, batch, channels)
        features = sums.permute(1, 2, 0).flatten(1)
        return features if self.bias is None else features + self.bias


class FullConnections(nn.Linear):
    """Units that read the whole image, without any idea of places.

    Args:
        parameters: channels, norm.
        task: shape of the image.
    """

    def __init__(self, parameters: ShallowParameters, task: Task) -> None:
        bias = parameters.normalisation == "none"
        super().__init__(math.prod(task.input_shape), parameters.num_units(task), bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the sums of all units, (batch, units), of images (batch, inputs, height, width)."""
        return super().forward(images.flatten(1))


FIRST_LAYERS: dict[str, type[SharedKernel] | type[LocalConnections] | type[FullConnections]] = {
    "conv": SharedKernel,
    "local": LocalConnections,
    "full": FullConnections,
}
"""Connectivity -> first layer, built from parameters and task."""

FEATURE_NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "none": nn.Identity}
"""Normalisation -> module for so many features."""


class Shallow(nn.Module):
    """u <- f(norm(W u)) for the first and for the hidden layer, then the read-out.

    Args:
        parameters: connectivity, channels, kernel, activation, norm.
        task: image shape (channels, height, width) and number of outputs.
        generator: not used, since nothing but the weights is drawn.
    """

    def __init__(self, parameters: ShallowParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__()
        num_units, num_hidden = parameters.num_units(task), parameters.num_hidden
        self.first = FIRST_LAYERS[parameters.connectivity](parameters, task)
        if parameters.connectivity == "conv":
            self.first_norm = normalisation_2d(parameters.normalisation, parameters.num_channels)
        else:
            self.first_norm = FEATURE_NORMS[parameters.normalisation](num_units)
        self.hidden = nn.Linear(num_units, num_hidden, bias=parameters.normalisation == "none")
        self.hidden_norm = FEATURE_NORMS[parameters.normalisation](num_hidden)
        self.readout = Readout(num_hidden, task.num_outputs, "none")
        self.activation = ACTIVATIONS[parameters.activation]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of images (batch, channels, height, width)."""
        features = self.activation(self.first_norm(self.first(inputs))).flatten(1)
        logits: Tensor = self.readout(self.activation(self.hidden_norm(self.hidden(features))))
        return logits
