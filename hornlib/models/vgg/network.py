"""All-convolutional VGG networks: convolutions with strides; the last layer is one too, or fully connected."""

import torch
from torch import Tensor, nn

from hornlib.models.layers import ACTIVATIONS, he_normal_network_, normalisation_2d
from hornlib.models.layout import channels_last
from hornlib.models.readout import Readout
from hornlib.models.vgg.parameters import VggParameters
from hornlib.parameters import Task

__all__ = ["Vgg"]


class Vgg(nn.Module):
    """u <- f(norm(W * u)) for every convolution, then the last layer.

    Args:
        parameters: channels, strides, activation, normalisation, head, first weights.
        task: image shape (channels, height, width) and number of outputs.
        generator: not used, since nothing but the weights is drawn.
    """

    def __init__(self, parameters: VggParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__()
        shapes = parameters.shapes(task)
        kernels = [
            nn.Conv2d(shape.num_inputs, shape.num_outputs, 3, shape.stride, padding=1, bias=False)
            for shape in shapes
        ]
        num_hidden = len(parameters.channels)
        self.convolutions = nn.ModuleList(kernels[:num_hidden])
        self.norms = nn.ModuleList(
            normalisation_2d(parameters.normalisation, channels) for channels in parameters.channels
        )
        self.activation = ACTIVATIONS[parameters.activation]
        self.flattens = parameters.output_layer == "flatten"
        if self.flattens:
            num_features = shapes[-1].num_outputs * shapes[-1].positions
            self.readout = Readout(num_features, task.num_outputs, "none")
        else:
            self.output_layer = kernels[-1]
        if parameters.initialisation == "he_normal":
            he_normal_network_(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of images (batch, channels, height, width)."""
        maps = channels_last(inputs)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            maps = self.activation(norm(convolution(maps)))
        return self.read(maps)

    def read(self, maps: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of the last maps (batch, channels, height, width)."""
        logits: Tensor = (
            self.readout(maps.flatten(1)) if self.flattens else self.output_layer(maps).mean((2, 3))
        )
        return logits
