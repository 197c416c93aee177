"""Parameters of all-convolutional VGG networks, with their counts in closed form; free of torch."""

from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from hornlib.models import layer_cost
from hornlib.models.layer_weights import convolution_weight, readout_weight
from hornlib.models.unit_axes import norm_axes, norms_in_use, with_number
from hornlib.parameters import Cost, ModelParameters, Task, UnitAxis, Weight, Widths

__all__ = ["ConvolutionShape", "VggParameters"]


class ConvolutionShape(NamedTuple):
    """Shape of one convolution.

    Attributes:
        num_inputs, num_outputs: channels.
        stride: step between positions, pixels.
        height, width: of its output, pixels.
    """

    num_inputs: int
    num_outputs: int
    stride: int
    height: int
    width: int

    @property
    def positions(self) -> int:
        """Pixels of its output."""
        return self.height * self.width


class VggParameters(ModelParameters):
    """Convolutions of 3x3 pixels with a width each; strides halve the maps, and nothing pools them.

    The defaults are the VGG11 that GradMax grows (Evci et al. 2022, published code): no bias in the convolutions, no
    norm, weights of He et al., and a last convolution of stride 2 to the classes. It has .305 GFLOP forward on an image
    of 32x32 pixels.
    """

    network: ClassVar[str] = "hornlib.models.vgg.network:Vgg"
    presentations: ClassVar[tuple[str, ...]] = ("image",)

    name: Literal["vgg"] = "vgg"
    channels: Widths = Field(default=(64, 128, 256, 256, 512, 512, 512, 512), min_length=1)
    """Channels of each convolution."""
    strides: Widths = Field(default=(1, 2, 2, 1, 2, 1, 2, 1), min_length=1)
    """Stride of each convolution, pixels; 2 halves height and width, rounded up."""
    activation: layer_cost.Activation = "relu_one"
    """The nonlinearity after each convolution. relu_one is relu with slope 1 at 0."""
    normalisation: layer_cost.Normalisation = "none"
    """Affine normalisation between convolution and activation."""
    output_layer: Literal["convolution", "flatten"] = "convolution"
    """From the last maps to the outputs. convolution: a convolution of 3x3 pixels, stride 2, without bias, and the mean
    over the positions that are left. flatten: a fully connected layer with biases over all channels and positions."""
    initialisation: layer_cost.Initialisation = "he_normal"
    """First weights and biases of a layer of n inputs. he_normal: weights of variance 2 / n, biases 0. uniform: both
    within 1 / sqrt(n), the default of torch."""

    @model_validator(mode="after")
    def _each_convolution_has_a_stride(self) -> Self:
        if len(self.strides) != len(self.channels):
            raise ValueError(
                f"strides: {len(self.strides)} numbers for {len(self.channels)} convolutions; give one for each of "
                "channels"
            )
        return self

    def shapes(self, task: Task) -> list[ConvolutionShape]:
        """Return the shapes of all convolutions; with `output_layer: convolution` that layer is the last one."""
        num_inputs, height, width = task.input_shape
        channels, strides = self.channels, self.strides
        if self.output_layer == "convolution":
            channels, strides = (*channels, task.num_outputs), (*strides, 2)
        shapes = []
        for num_outputs, stride in zip(channels, strides, strict=True):
            height, width = -(-height // stride), -(-width // stride)
            shapes.append(ConvolutionShape(num_inputs, num_outputs, stride, height, width))
            num_inputs = num_outputs
        return shapes

    def width(self) -> int:
        """Channels of the last convolution before the last layer."""
        return self.channels[-1]

    def with_width(self, width: int) -> Self:
        """Return the same convolutions in the same proportions, the last one `width` channels wide."""
        return self.model_copy(update={"channels": layer_cost.scaled_widths(self.channels, width)})

    def units(self) -> tuple[int, ...]:
        """Return the channels of every convolution before the last layer."""
        return self.channels

    def with_units(self, layer: int, number: int) -> Self:
        """Return the network with another number of channels in one convolution.

        Args:
            layer: position of the convolution.
            number: of its channels.
        """
        return self.model_copy(update={"channels": with_number(self.units(), layer, number)})

    def unit_axes(self, layer: int, task: Task) -> list[UnitAxis]:
        """Return the axes of a layer's channels: its own tensors, and the weights of the next layer.

        Behind a flattening each channel owns as many columns of the matrix as it has positions.

        Args:
            layer: position of the convolution.
            task: shapes of inputs and outputs.
        """
        reader = UnitAxis(f"convolutions.{layer + 1}.weight", 1, "outgoing")
        if layer == len(self.channels) - 1 and self.output_layer == "flatten":
            reader = UnitAxis("readout.linear.weight", 1, "outgoing", self.shapes(task)[layer].positions)
        elif layer == len(self.channels) - 1:
            reader = UnitAxis("output_layer.weight", 1, "outgoing")
        return [
            UnitAxis(f"convolutions.{layer}.weight", 0, "incoming"),
            *norm_axes(f"norms.{layer}", self.normalisation),
            reader,
        ]

    def unit_norms(self, layer: int) -> dict[str, str]:
        """Return the norm behind the convolution.

        Args:
            layer: position of the convolution.
        """
        return norms_in_use(normalisation=self.normalisation)

    def cost(self, task: Task) -> Cost:
        """Return the cost of convolutions, normalisations, activations and last layer."""
        total = Cost()
        for layer, shape in enumerate(self.shapes(task)):
            total += layer_cost.convolution(
                shape.num_inputs, shape.num_outputs, 3, shape.positions, bias=False
            )
            if layer < len(self.channels):
                total += layer_cost.normalisation(self.normalisation, shape.num_outputs, shape.positions)
                total += layer_cost.activation(self.activation, shape.num_outputs * shape.positions)
        num_outputs = shape.num_outputs * shape.positions
        if self.output_layer == "convolution":
            return total + layer_cost.elementwise(num_outputs)
        return total + layer_cost.readout(num_outputs, task.num_outputs, "none")

    def weights(self, task: Task) -> list[Weight]:
        """Return the kernels of the convolutions, and the kernel or matrix of the last layer."""
        shapes, num_hidden = self.shapes(task), len(self.channels)
        kernels = [
            convolution_weight(
                f"convolutions.{layer}.weight", shape.num_inputs, shape.num_outputs, 3, shape.positions, layer
            )
            for layer, shape in enumerate(shapes)
        ]
        if self.output_layer == "convolution":
            return [*kernels[:-1], kernels[-1]._replace(name="output_layer.weight", role="output")]
        num_features = shapes[-1].num_outputs * shapes[-1].positions
        return [*kernels, readout_weight(num_features, task.num_outputs, num_hidden)]
