"""The feed-forward convolutional rival: the graph of an oscillator field without time steps."""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from hornlib.models.cnn.parameters import CnnParameters
from hornlib.models.layered import NeutralLayer
from hornlib.models.layers import ACTIVATIONS, normalisation_2d
from hornlib.models.layout import channels_last, channelwise
from hornlib.models.readout import Readout
from hornlib.parameters import Task

__all__ = ["Cnn"]


class Cnn(nn.Module):
    """u <- gain f(norm(W * u)) for every convolution; 2x2 average pooling between stages, global mean, read-out.

    Args:
        parameters: channels, activation, gain, normalisation, read-out.
        task: image shape (channels, height, width) and number of outputs.
        generator: not used, since nothing but the weights is drawn.
    """

    layer_lists: ClassVar[tuple[str, ...]] = ("convolutions", "norms")
    layer_vectors: ClassVar[dict[str, int]] = {}

    def __init__(self, parameters: CnnParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__()
        self.widths = widths = (task.input_shape[0], *parameters.layer_widths())
        self.stages = parameters.stages()
        bias = parameters.normalisation == "none"
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1, bias=bias) for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(normalisation_2d(parameters.normalisation, width) for width in widths[1:])
        self.readout = Readout(widths[-1], task.num_outputs, parameters.readout_norm)
        self.activation = ACTIVATIONS[parameters.activation]
        self.gain = parameters.activation_gain
        self.pool = nn.AvgPool2d(2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of images (batch, channels, height, width)."""
        maps = channels_last(inputs)
        for layer, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            maps = self.passed_on(layer, self.activation(norm(convolution(maps))))
        return self.readout(maps)

    def passed_on(self, layer: int, maps: Tensor) -> Tensor:
        """Return what the next weights read of a layer's activations: maps times the gain, pooled, or their mean.

        Args:
            layer: position of the convolution.
            maps: (batch, channels, height, width), of any number of channels.
        """
        if self.gain != 1:
            maps = self.gain * maps
        if layer == len(self.convolutions) - 1:
            return maps.mean((2, 3))
        return channelwise(self.pool, maps) if self.opens_stage(layer + 1) else maps

    def opens_stage(self, layer: int) -> bool:
        """Return whether maps are halved before convolution `layer`."""
        return layer > 0 and self.stages[layer - 1] < self.stages[layer]

    def neutral_layer(self, position: int, scale: float) -> NeutralLayer:
        """Return the Dirac kernel with b = 0: behind a relu it copies its input.

        Args:
            position: of the convolution before the new one.
            scale: not used.
        """
        channels = self.widths[position + 1]
        kernel = nn.init.dirac_(torch.empty(channels, channels, 3, 3))
        name = f"convolutions.{position + 1}"
        return NeutralLayer(
            {f"{name}.weight": kernel, f"{name}.bias": torch.zeros(channels)}, f"{name}.weight"
        )
