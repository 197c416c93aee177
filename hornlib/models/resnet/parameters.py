"""Parameters of residual networks for small images, with their counts in closed form; free of torch."""

from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from hornlib.models import layer_cost
from hornlib.models.layer_cost import ReadoutNorm
from hornlib.models.layer_weights import convolution_weight, readout_weight
from hornlib.models.unit_axes import bias_axes, norm_axes, norms_in_use, with_number
from hornlib.parameters import Cost, ModelParameters, Task, UnitAxis, Weight, Widths

__all__ = ["BlockShape", "ResnetParameters"]


class BlockShape(NamedTuple):
    """Shape of one residual block.

    Attributes:
        num_inputs: channels of its input.
        num_inner: channels between its two convolutions.
        num_outputs: channels of its output.
        stride: of its first convolution.
    """

    num_inputs: int
    num_inner: int
    num_outputs: int
    stride: int

    @property
    def is_projected(self) -> bool:
        """Whether the shortcut needs a 1x1 convolution because the shape changes."""
        return self.stride > 1 or self.num_inputs != self.num_outputs


class ResnetParameters(ModelParameters):
    """Residual network for small images: a stem at full resolution, stages of residual blocks, global mean.

    These are the networks for CIFAR-10 of He et al. 2016 (Deep residual learning for image recognition, section 4.2):
    20 layers with `blocks_per_stage: 3`. `widening` makes them wide (Zagoruyko and Komodakis 2016). A shortcut across a
    change of shape is a 1x1 convolution (option B of He et al.). With `block: preactivation`, WRN-28-1 has
    `blocks_per_stage: 4`, and WRN-22-2 has 3 and `widening: 2`.

    The units that can change in number are the channels between the two convolutions of each block. Those of the trunk,
    to which all blocks add, cannot.
    """

    network: ClassVar[str] = "hornlib.models.resnet.network:Resnet"
    presentations: ClassVar[tuple[str, ...]] = ("image",)

    name: Literal["resnet"] = "resnet"
    channels: Widths = Field(default=(16, 32, 64), min_length=1)
    """Channels of each stage before widening; images are halved between stages. The stem has those of the first."""
    blocks_per_stage: int = Field(default=1, ge=1)
    """Residual blocks of each stage; a block has two convolutions."""
    block: Literal["basic", "preactivation"] = "basic"
    """Order of the operations. basic: convolution, norm, activation; the activation of the second convolution follows
    the sum with the shortcut (He et al. 2016). preactivation: norm, activation, convolution; a last norm and activation
    precede the mean (Zagoruyko and Komodakis 2016)."""
    inner_channels: Widths | None = None
    """Channels between the two convolutions of each block, one number for each block; widening does not multiply them.
    null: as many as the block's outputs."""
    widening: int = Field(default=1, ge=1)
    """Factor on the channels of every stage."""
    activation: layer_cost.Activation = "relu"
    """The nonlinearity. relu_one is relu with slope 1 at 0."""
    normalisation: layer_cost.Normalisation = "batch"
    """Affine normalisation of maps, where `block` says; "none" gives the convolutions a bias instead."""
    norms: Literal["everywhere", "trunk"] = "everywhere"
    """Where maps are normalised. trunk: not between the two convolutions of a block, so that its inner channels can
    grow from zero."""
    initialisation: layer_cost.Initialisation = "uniform"
    """First weights and biases of a layer of n inputs. uniform: both within 1 / sqrt(n), the default of torch.
    he_normal: weights of variance 2 / n, biases 0."""
    readout_norm: ReadoutNorm = "batch"
    """Normalisation of the features before the last layer."""

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        num_blocks = len(self._block_outputs())
        if self.inner_channels is not None and len(self.inner_channels) != num_blocks:
            raise ValueError(
                f"inner_channels: {len(self.inner_channels)} numbers for {num_blocks} blocks; give one for each block"
            )
        if self.norms == "trunk" and self.normalisation == "none":
            raise ValueError("norms: trunk means nothing to normalisation: none; leave it out")
        return self

    def blocks(self) -> list[BlockShape]:
        """Return the shapes of the blocks, first to last."""
        shapes, num_inputs = [], self.channels[0]
        for inner, (number, num_outputs) in zip(self.units(), enumerate(self._block_outputs()), strict=True):
            stride = 2 if number > 0 and number % self.blocks_per_stage == 0 else 1
            shapes.append(BlockShape(num_inputs, inner, num_outputs, stride))
            num_inputs = num_outputs
        return shapes

    def inner_normalisation(self) -> layer_cost.Normalisation:
        """Return the norm between the two convolutions of a block."""
        return self.normalisation if self.norms == "everywhere" else "none"

    def units(self) -> tuple[int, ...]:
        """Return the inner channels of every block."""
        return self.inner_channels or self._block_outputs()

    def with_units(self, layer: int, number: int) -> Self:
        """Return the network with another number of inner channels in one block.

        Args:
            layer: position of the block.
            number: of its inner channels.
        """
        inner = with_number(self.units(), layer, number)
        return self.model_copy(update={"inner_channels": None if inner == self._block_outputs() else inner})

    def unit_axes(self, layer: int, task: Task) -> list[UnitAxis]:
        """Return the axes of a block's inner channels.

        Args:
            layer: position of the block.
            task: shapes of inputs and outputs.
        """
        block = f"blocks.{layer}"
        return [
            UnitAxis(f"{block}.first.0.weight", 0, "incoming"),
            *bias_axes(f"{block}.first.0", self.normalisation == "none"),
            *norm_axes(f"{block}.first.1", self.inner_normalisation()),
            UnitAxis(f"{block}.second.0.weight", 1, "outgoing"),
        ]

    def unit_norms(self, layer: int) -> dict[str, str]:
        """Return the norm between the convolutions of the block; `norms: trunk` leaves it out.

        Args:
            layer: position of the block.
        """
        return norms_in_use(normalisation=self.inner_normalisation())

    def width(self) -> int:
        """Channels of the last stage before widening."""
        return self.channels[-1]

    def with_width(self, width: int) -> Self:
        """Return the same stages in the same proportions, the last one `width` channels wide."""
        inner = self.inner_channels
        if inner is not None:
            inner = layer_cost.scaled_widths((*inner, self.channels[-1]), width)[:-1]
        channels = layer_cost.scaled_widths(self.channels, width)
        return self.model_copy(update={"channels": channels, "inner_channels": inner})

    def cost(self, task: Task) -> Cost:
        """Return the cost of stem, blocks, global mean and read-out."""
        num_inputs, height, width = task.input_shape
        total = self._convolution_cost(num_inputs, self.channels[0], 3, height * width)
        if self.block == "basic":
            total += self._activation_cost(self.channels[0], height * width)
        for shape in self.blocks():
            positions_before = height * width
            height, width = -(-height // shape.stride), -(-width // shape.stride)
            total += self._block_cost(shape, positions_before, height * width)
        channels, positions = shape.num_outputs, height * width
        if self.block == "preactivation":
            total += self._activation_cost(channels, positions)
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
            before, inner, after = block.num_inputs, block.num_inner, block.num_outputs
            kernels += [
                convolution_weight(f"{name}.first.0.weight", before, inner, 3, positions, layer),
                convolution_weight(f"{name}.second.0.weight", inner, after, 3, positions, layer + 1),
            ]
            if block.is_projected:
                shortcut = f"{name}.shortcut.0.weight"
                kernels.append(convolution_weight(shortcut, before, after, 1, positions, layer + 1))
        return [*kernels, readout_weight(after, task.num_outputs, layer + 2)]

    def _block_outputs(self) -> tuple[int, ...]:
        """Return the channels of every block's output."""
        return tuple(
            channels * self.widening for channels in self.channels for _ in range(self.blocks_per_stage)
        )

    def _block_cost(self, shape: BlockShape, positions_before: int, positions: int) -> Cost:
        """Return the cost of a block; its activation on the trunk precedes it or follows it."""
        before, inner, after = shape.num_inputs, shape.num_inner, shape.num_outputs
        total = self._convolution_cost(before, inner, 3, positions)
        total += layer_cost.normalisation(self.inner_normalisation(), inner, positions)
        total += layer_cost.activation(self.activation, inner * positions)
        total += self._convolution_cost(inner, after, 3, positions) + layer_cost.elementwise(
            after * positions
        )
        if shape.is_projected:
            total += self._convolution_cost(before, after, 1, positions)
        if self.block == "preactivation":
            return total + self._activation_cost(before, positions_before)
        if shape.is_projected:
            total += layer_cost.normalisation(self.normalisation, after, positions)
        return total + self._activation_cost(after, positions)

    def _convolution_cost(self, num_inputs: int, num_outputs: int, kernel: int, positions: int) -> Cost:
        bias = self.normalisation == "none"
        return layer_cost.convolution(num_inputs, num_outputs, kernel, positions, bias=bias)

    def _activation_cost(self, channels: int, positions: int) -> Cost:
        """Return the cost of a norm on the trunk, or before it, and of an activation."""
        norm = layer_cost.normalisation(self.normalisation, channels, positions)
        return norm + layer_cost.activation(self.activation, channels * positions)
