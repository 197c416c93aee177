"""The feed-forward convolutional rival: what an oscillator field is without its time."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from hornlib.models.cnn.parameters import CnnParameters
from hornlib.models.layers import ACTIVATIONS, normalisation_2d
from hornlib.models.readout import Readout
from hornlib.parameters import Task

__all__ = ["Cnn"]


class Cnn(nn.Module):
    """u = gain f(norm(W * u)) stage by stage, 2x2 average pooling between stages, global mean, read-out.

    Args:
        parameters: channels, activation, gain, normalisation, read-out.
        task: image shape (channels, height, width) and number of outputs.
        generator: unused; no fixed draws.
    """

    def __init__(self, parameters: CnnParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__()
        widths = (task.input_shape[0], *parameters.channels)
        bias = parameters.normalisation == "none"
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1, bias=bias) for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(normalisation_2d(parameters.normalisation, width) for width in widths[1:])
        self.readout = Readout(widths[-1], task.num_outputs, parameters.readout_norm)
        self.activation = ACTIVATIONS[parameters.activation]
        self.gain = parameters.activation_gain

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of images (batch, channels, height, width)."""
        maps = inputs
        for stage, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            if stage > 0:
                maps = nn.functional.avg_pool2d(maps, 2)
            maps = self.activation(norm(convolution(maps)))
            if self.gain != 1:
                maps = self.gain * maps
        return self.readout(maps.mean((2, 3)))
