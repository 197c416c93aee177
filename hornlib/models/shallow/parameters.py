"""Parameters of the shallow networks S-CONV, S-LOCAL and S-FC, with their counts in closed form; free of torch."""

import math
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from hornlib.models import layer_cost
from hornlib.models.layer_weights import convolution_weight, linear_weight, readout_weight
from hornlib.parameters import Cost, ModelParameters, Task, Weight

__all__ = ["HIDDEN_PER_CHANNEL", "STRIDE", "ShallowParameters"]

STRIDE = 2
"""Step between the positions of the first layer, pixels (Neyshabur 2020)."""

HIDDEN_PER_CHANNEL = 24
"""Nodes of the hidden layer for each channel of the first one (Neyshabur 2020)."""


class ShallowParameters(ModelParameters):
    """One convolution, one hidden layer and the read-out, or the same units with fewer restrictions.

    Every position of the image, two pixels apart, has one unit of the first layer in each channel. The three networks
    differ in the weights of these units alone. S-LOCAL frees S-CONV of shared weights, and S-FC frees S-LOCAL of local
    connections, so that each can compute what the one before computes. A batch norm and an activation follow each layer
    but the read-out. With 150 channels, S-FC has 256 million weights on images of 32x32 pixels.

    Source: Neyshabur (2020), Towards learning convolutions from scratch, arXiv 2007.13657, figure 1.
    """

    network: ClassVar[str] = "hornlib.models.shallow.network:Shallow"
    presentations: ClassVar[tuple[str, ...]] = ("image",)

    name: Literal["shallow"] = "shallow"
    connectivity: Literal["conv", "local", "full"] = "conv"
    """Weights of the first layer. conv: a channel has one kernel, which all positions share (S-CONV). local: every
    position has a kernel of its own (S-LOCAL). full: every unit reads the whole image (S-FC)."""
    num_channels: int = Field(default=16, ge=1)
    """Channels of the first layer, alpha. The hidden layer has 24 alpha nodes."""
    kernel_size: int = Field(default=9, ge=1)
    """Side of the square that a unit of conv or local reads, pixels; an odd number. The image is padded with zeros by
    half of it, rounded down."""
    activation: layer_cost.Activation = "relu"
    """The nonlinearity of both hidden layers."""
    normalisation: Literal["batch", "none"] = "batch"
    """Affine normalisation before each activation; "none" gives both layers biases. conv normalises every channel.
    local and full normalise every unit, since they share nothing between positions."""

    @field_validator("kernel_size")
    @classmethod
    def _has_a_centre(cls, kernel_size: int) -> int:
        if kernel_size % 2 == 0:
            raise ValueError(f"a kernel of {kernel_size} pixels has no centre; give an odd number")
        return kernel_size

    @model_validator(mode="after")
    def _kernel_has_a_use(self) -> Self:
        if self.connectivity == "full" and self.kernel_size != type(self).model_fields["kernel_size"].default:
            raise ValueError("kernel_size means nothing to connectivity: full; leave it out")
        return self

    def positions(self, task: Task) -> tuple[int, int]:
        """Return rows and columns of the positions of the first layer.

        Args:
            task: shape of the image.
        """
        _, height, width = task.input_shape
        return -(-height // STRIDE), -(-width // STRIDE)

    def num_units(self, task: Task) -> int:
        """Return the number of units of the first layer: positions times channels.

        Args:
            task: shape of the image.
        """
        return self.num_channels * math.prod(self.positions(task))

    @property
    def num_hidden(self) -> int:
        """Nodes of the hidden layer."""
        return HIDDEN_PER_CHANNEL * self.num_channels

    def width(self) -> int:
        """Channels of the first layer."""
        return self.num_channels

    def with_width(self, width: int) -> Self:
        """Return the same network with `width` channels in the first layer."""
        return self.model_copy(update={"num_channels": width})

    def cost(self, task: Task) -> Cost:
        """Return the cost of both layers, with norms and activations, and of the read-out."""
        num_units, bias = self.num_units(task), self.normalisation == "none"
        num_norms = self.num_channels if self.connectivity == "conv" else num_units
        total = self._first_cost(task, bias)
        total += layer_cost.normalisation(self.normalisation, num_norms, num_units // num_norms)
        total += layer_cost.activation(self.activation, num_units)
        total += layer_cost.linear(num_units, self.num_hidden, bias=bias)
        total += layer_cost.normalisation(self.normalisation, self.num_hidden, 1)
        total += layer_cost.activation(self.activation, self.num_hidden)
        return total + layer_cost.readout(self.num_hidden, task.num_outputs, "none")

    def _first_cost(self, task: Task, bias: bool) -> Cost:
        num_inputs, num_units = task.input_shape[0], self.num_units(task)
        if self.connectivity == "full":
            return layer_cost.linear(math.prod(task.input_shape), num_units, bias=bias)
        if self.connectivity == "local":
            return layer_cost.linear(num_inputs * self.kernel_size**2, num_units, bias=bias)
        positions = math.prod(self.positions(task))
        return layer_cost.convolution(num_inputs, self.num_channels, self.kernel_size, positions, bias=bias)

    def weights(self, task: Task) -> list[Weight]:
        """Return the weights of the first layer, of the hidden layer, and of the read-out."""
        num_inputs, num_units, kernel = task.input_shape[0], self.num_units(task), self.kernel_size
        positions = math.prod(self.positions(task))
        first = {
            "conv": convolution_weight("first.weight", num_inputs, self.num_channels, kernel, positions, 0),
            "local": Weight("first.weight", (num_units, num_inputs, kernel, kernel), 0, "input", 1, 0),
            "full": linear_weight("first.weight", math.prod(task.input_shape), num_units, 0, "input"),
        }[self.connectivity]
        hidden = linear_weight("hidden.weight", num_units, self.num_hidden, 1, "hidden")
        return [first, hidden, readout_weight(self.num_hidden, task.num_outputs, 2)]
