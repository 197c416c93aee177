"""Parameters of the feed-forward convolutional rival, with its counts in closed form; free of torch."""

import math
from itertools import pairwise
from typing import ClassVar, Literal, Self

from pydantic import Field

from hornlib.models import layer_cost
from hornlib.models.layer_cost import ReadoutNorm
from hornlib.models.layer_weights import convolution_weight, readout_weight
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.models.unit_axes import bias_axes, norm_axes, norms_in_use, with_number
from hornlib.parameters import Cost, Task, UnitAxis, Weight, Widths

__all__ = ["CnnParameters"]


class CnnParameters(LayeredParameters):
    """Stages of convolution, normalisation and activation, with pooling between them.

    This is the graph of the oscillator field without time steps. With `activation: tanh` and `activation_gain` c_T it
    computes what a field without recurrence computes.
    """

    network: ClassVar[str] = "hornlib.models.cnn.network:Cnn"
    presentations: ClassVar[tuple[str, ...]] = ("image",)

    name: Literal["cnn"] = "cnn"
    channels: Widths = Field(default=(32, 64, 128), min_length=1)
    """Channels of each stage; images are halved between stages."""
    convolutions: Widths | None = None
    """Number of convolutions of each stage, written 1-2-1; null: one each."""
    activation: layer_cost.Activation = "relu"
    """The nonlinearity after each normalised convolution. relu_one is relu with slope 1 at 0."""
    activation_gain: float = Field(default=1.0, gt=0)
    """Factor on the activation. With tanh, c_T is the gain of an oscillator field of T steps."""
    normalisation: layer_cost.Normalisation = "batch"
    """Affine normalisation between convolution and activation; "none" gives the convolution a bias."""
    readout_norm: ReadoutNorm = "batch"
    """Normalisation of the features before the last layer."""

    def width(self) -> int:
        """Channels of the last stage."""
        return self.channels[-1]

    def with_width(self, width: int) -> Self:
        """Return the same stages in the same proportions, the last one `width` channels wide."""
        return self.model_copy(update={"channels": layer_cost.scaled_widths(self.channels, width)})

    def problems(self, task: Task) -> list[str]:
        """Return why the stages do not fit: too many for the image, or not one number of convolutions each."""
        smallest, num_stages = min(task.input_shape[1:]), len(self.channels)
        if self.convolutions is not None and len(self.convolutions) != num_stages:
            return [
                f"convolutions: {len(self.convolutions)} numbers for {num_stages} stages; give one for each of channels"
            ]
        if smallest >> (num_stages - 1) == 0:
            return [
                f"{num_stages} stages halve an image of {smallest} pixels to nothing: give fewer channels"
            ]
        return []

    def stages(self) -> list[int]:
        """Return the stage of every convolution."""
        counts = self.convolutions or (1,) * len(self.channels)
        return [stage for stage, count in enumerate(counts) for _ in range(count)]

    def layer_widths(self) -> list[int]:
        """Return the channels of every convolution."""
        return [self.channels[stage] for stage in self.stages()]

    def with_layer(self, position: int) -> Self:
        """Return the network with one more convolution in the stage of convolution `position`."""
        stages = self.stages()
        counts = [stages.count(stage) + (stage == stages[position]) for stage in range(len(self.channels))]
        return self.model_copy(update={"convolutions": tuple(counts)})

    def units(self) -> tuple[int, ...]:
        """Return the channels of every convolution; none where convolutions of a stage share one width."""
        return self.channels if len(self.stages()) == len(self.channels) else ()

    def with_units(self, layer: int, number: int) -> Self:
        """Return the network with another number of channels in one stage.

        Args:
            layer: position of the stage's convolution.
            number: of its channels.
        """
        return self.model_copy(update={"channels": with_number(self.units(), layer, number)})

    def unit_axes(self, layer: int, task: Task) -> list[UnitAxis]:
        """Return the axes of a layer's channels: its own tensors, and the weights of the next layer or the read-out.

        Args:
            layer: position of the convolution.
            task: shapes of inputs and outputs.
        """
        is_last = layer == len(self.channels) - 1
        reader = "readout.linear" if is_last else f"convolutions.{layer + 1}"
        return [
            UnitAxis(f"convolutions.{layer}.weight", 0, "incoming"),
            *bias_axes(f"convolutions.{layer}", self.normalisation == "none"),
            *norm_axes(f"norms.{layer}", self.normalisation),
            *(norm_axes("readout.norm", self.readout_norm, affine=False) if is_last else []),
            UnitAxis(f"{reader}.weight", 1, "outgoing"),
        ]

    def unit_norms(self, layer: int) -> dict[str, str]:
        """Return the norm behind the convolution and, of the last one, that of the read-out.

        Args:
            layer: position of the convolution.
        """
        is_last = layer == len(self.channels) - 1
        return norms_in_use(
            normalisation=self.normalisation, readout_norm=self.readout_norm if is_last else "none"
        )

    def insertion_problems(self) -> list[str]:
        """Return why no convolution can copy its input: that needs a relu before it, and no normalisation."""
        problems = []
        if self.activation not in ("relu", "relu_one") or self.activation_gain != 1:
            problems.append(
                "an activation other than relu or relu_one with gain 1 changes what an inserted convolution passes on"
            )
        if self.normalisation != "none":
            problems.append(
                f"normalisation: {self.normalisation} changes what an inserted layer passes on; give none"
            )
        return problems

    def map_size(self, layer: int, task: Task) -> tuple[int, int]:
        """Return height and width of a convolution's maps, pixels.

        Args:
            layer: number of the convolution, from 0.
            task: shape of the image.
        """
        _, height, width = task.input_shape
        stage = self.stages()[layer]
        return height >> stage, width >> stage

    def cost(self, task: Task) -> Cost:
        """Return the cost of convolutions, normalisations, activations, pools and read-out."""
        num_inputs, height, width = task.input_shape
        total, stages = Cost(), self.stages()
        for layer, stage in enumerate(stages):
            channels = self.channels[stage]
            if layer > 0 and stages[layer - 1] < stage:
                total += layer_cost.elementwise(num_inputs * height * width)
                height, width = height // 2, width // 2
            positions = height * width
            total += layer_cost.convolution(
                num_inputs, channels, 3, positions, bias=self.normalisation == "none"
            )
            total += layer_cost.normalisation(self.normalisation, channels, positions)
            total += layer_cost.activation(self.activation, channels * positions)
            total += layer_cost.elementwise(channels * positions * (self.activation_gain != 1))
            num_inputs = channels
        total += layer_cost.elementwise(num_inputs * height * width)
        return total + layer_cost.readout(num_inputs, task.num_outputs, self.readout_norm)

    def weights(self, task: Task) -> list[Weight]:
        """Return the kernels of the convolutions and the matrix of the read-out."""
        channels = (task.input_shape[0], *self.layer_widths())
        kernels = [
            convolution_weight(
                f"convolutions.{layer}.weight", before, after, 3, math.prod(self.map_size(layer, task)), layer
            )
            for layer, (before, after) in enumerate(pairwise(channels))
        ]
        return [*kernels, readout_weight(channels[-1], task.num_outputs, len(kernels))]
