"""Residual networks for small images: every block adds to its input."""

import torch
from torch import Tensor, nn

from hornlib.models.layers import ACTIVATIONS, normalisation_2d
from hornlib.models.readout import Readout
from hornlib.models.resnet.parameters import BlockShape, ResnetParameters
from hornlib.parameters import Task

__all__ = ["BasicBlock", "Resnet"]


class BasicBlock(nn.Module):
    """f(norm(W2 * f(norm(W1 * u))) + shortcut(u)); He et al. 2016, figure 2.

    Args:
        shape: channels and stride.
        parameters: the model's parameters.
    """

    def __init__(self, shape: BlockShape, parameters: ResnetParameters) -> None:
        super().__init__()
        self.first = _layer(shape.num_inputs, shape.num_outputs, 3, shape.stride, parameters)
        self.second = _layer(shape.num_outputs, shape.num_outputs, 3, 1, parameters)
        self.shortcut: nn.Module = nn.Identity()
        if shape.is_projected:
            self.shortcut = _layer(shape.num_inputs, shape.num_outputs, 1, shape.stride, parameters)
        self.activation = ACTIVATIONS[parameters.activation]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return maps (batch, num_outputs, height / stride, width / stride), rounded up."""
        residual = self.second(self.activation(self.first(inputs)))
        return self.activation(residual + self.shortcut(inputs))


class Resnet(nn.Module):
    """Stem, residual blocks, global mean, read-out.

    Args:
        parameters: channels, blocks, widening, activation, normalisation, read-out.
        task: image shape (channels, height, width) and number of outputs.
        generator: not used, since nothing but the weights is drawn.
    """

    def __init__(self, parameters: ResnetParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__()
        shapes = parameters.blocks()
        self.stem = _layer(task.input_shape[0], parameters.channels[0], 3, 1, parameters)
        self.blocks = nn.Sequential(*(BasicBlock(shape, parameters) for shape in shapes))
        self.readout = Readout(shapes[-1].num_outputs, task.num_outputs, parameters.readout_norm)
        self.activation = ACTIVATIONS[parameters.activation]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of images (batch, channels, height, width)."""
        maps = self.blocks(self.activation(self.stem(inputs)))
        return self.readout(maps.mean((2, 3)))


def _layer(
    num_inputs: int, num_outputs: int, kernel: int, stride: int, parameters: ResnetParameters
) -> nn.Sequential:
    bias = parameters.normalisation == "none"
    return nn.Sequential(
        nn.Conv2d(num_inputs, num_outputs, kernel, stride, padding=kernel // 2, bias=bias),
        normalisation_2d(parameters.normalisation, num_outputs),
    )
