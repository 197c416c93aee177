"""Parameters of residual networks for small images, with their counts in closed form; free of torch."""

from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field

from hornlib.models import layer_cost
from hornlib.models.layer_cost import ReadoutNorm
from hornlib.models.layer_weights import convolution_weight, readout_weight
from hornlib.parameters import Cost, ModelParameters, Task, Weight, Widths

__all__ = ["BlockShape", "ResnetParameters"]


class BlockShape(NamedTuple):
    """Shape of one residual block.

    Attributes:
        num_inputs: channels of its input.
        num_outputs: channels of its output.
        stride: of its first convolution.
    """

    num_inputs: int
    num_outputs: int
    stride: int

    @property
    def is_projected(self) -> bool:
        """Whether the shortcut needs a 1x1 convolution because the shape changes."""
        return self.stride > 1 or self.num_inputs != self.num_outputs


class ResnetParameters(ModelParameters):
    """Residual network for small images: a stem at full resolution, stages of basic blocks, global mean.

    These are the networks for CIFAR-10 of He et al. 2016 (Deep residual learning for image recognition, section 4.2):
    20 layers with `blocks_per_stage: 3`. `widening` makes them wide (Zagoruyko and Komodakis 2016). A shortcut across a
    change of shape is a 1x1 convolution (option B of He et al.).
    """

    network: ClassVar[str] = "hornlib.models.resnet.network:Resnet"
    presentations: ClassVar[tuple[str, ...]] = ("image",)

    name: Literal["resnet"] = "resnet"
    channels: Widths = Field(default=(16, 32, 64), min_length=1)
    """Channels of each stage before widening; images are halved between stages. The stem has those of the first."""
    blocks_per_stage: int = Field(default=1, ge=1)
    """Residual blocks of each stage; a block has two convolutions."""
    widening: int = Field(default=1, ge=1)
    """Factor on the channels of every stage."""
    activation: layer_cost.Activation = "relu"
    """The nonlinearity."""
    normalisation: layer_cost.Normalisation = "batch"
    """Affine normalisation after each convolution; "none" gives the convolutions a bias instead."""
    readout_norm: ReadoutNorm = "batch"
    """Normalisation of the features before the last layer."""

    def blocks(self) -> list[BlockShape]:
        """Return the shapes of the blocks, first to last."""
        shapes, num_inputs = [], self.channels[0]
        for stage, channels in enumerate(self.channels):
            for block in range(self.blocks_per_stage):
                stride = 2 if stage > 0 and block == 0 else 1
                shapes.append(BlockShape(num_inputs, channels * self.widening, stride))
                num_inputs = channels * self.widening
        return shapes

    def width(self) -> int:
        """Channels of the last stage before widening."""
        return self.channels[-1]

    def with_width(self, width: int) -> Self:
        """Return the same stages in the same proportions, the last one `width` channels wide."""
        return self.model_copy(update={"channels": layer_cost.scaled_widths(self.channels, width)})

    def cost(self, task: Task) -> Cost:
        """Return the cost of stem, blocks, global mean and read-out."""
        num_inputs, height, width = task.input_shape
        stem = self.channels[0]
        total = self._layer_cost(num_inputs, stem, 3, height * width)
        total += layer_cost.activation(self.activation, stem * height * width)
        for block in self.blocks():
            height, width = -(-height // block.stride), -(-width // block.stride)
            positions, channels = height * width, block.num_outputs
            total += self._layer_cost(block.num_inputs, channels, 3, positions)
            total += self._layer_cost(channels, channels, 3, positions)
            if block.is_projected:
                total += self._layer_cost(block.num_inputs, channels, 1, positions)
            total += layer_cost.elementwise(channels * positions)
            total += layer_cost.activation(self.activation, 2 * channels * positions)
        total += layer_cost.elementwise(channels * positions)
        return total + layer_cost.readout(channels, task.num_outputs, self.readout_norm)

    def weights(self, task: Task) -> list[Weight]:
        """Return the kernels of stem and blocks and the matrix of the read-out.

        The kernel of a shortcut is in the layer of the block's second convolution, whose units it feeds too.
        """
        num_inputs, height, width = task.input_shape
        kernels = [convolution_weight("stem.0.weight", num_inputs, self.channels[0], 3, height * width, 0)]
        for number, block in enumerate(self.blocks()):
            height, width = -(-height // block.stride), -(-width // block.stride)
            name, positions, layer = f"blocks.{number}", height * width, 2 * number + 1
            before, after = block.num_inputs, block.num_outputs
            kernels += [
                convolution_weight(f"{name}.first.0.weight", before, after, 3, positions, layer),
                convolution_weight(f"{name}.second.0.weight", after, after, 3, positions, layer + 1),
            ]
            if block.is_projected:
                shortcut = f"{name}.shortcut.0.weight"
                kernels.append(convolution_weight(shortcut, before, after, 1, positions, layer + 1))
        return [*kernels, readout_weight(after, task.num_outputs, layer + 2)]

    def _layer_cost(self, num_inputs: int, num_outputs: int, kernel: int, positions: int) -> Cost:
        bias = self.normalisation == "none"
        layer = layer_cost.convolution(num_inputs, num_outputs, kernel, positions, bias=bias)
        return layer + layer_cost.normalisation(self.normalisation, num_outputs, positions)
