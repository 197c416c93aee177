"""Residual networks for small images: every block adds to its input."""

import torch
from torch import Tensor, nn

from hornlib.models.layer_cost import Normalisation
from hornlib.models.layers import ACTIVATIONS, he_normal_network_, normalisation_2d
from hornlib.models.readout import Readout
from hornlib.models.resnet.parameters import BlockShape, ResnetParameters
from hornlib.parameters import Task

__all__ = ["BasicBlock", "PreactivationBlock", "Resnet"]


class BasicBlock(nn.Module):
    """f(norm(W2 * f(norm(W1 * u))) + shortcut(u)); He et al. 2016, figure 2.

    Args:
        shape: channels and stride.
        parameters: the model's parameters.
    """

    def __init__(self, shape: BlockShape, parameters: ResnetParameters) -> None:
        super().__init__()
        norm, inner_norm = parameters.normalisation, parameters.inner_normalisation()
        bias = norm == "none"
        self.first = _layer(shape.num_inputs, shape.num_inner, 3, shape.stride, bias, inner_norm)
        self.second = _layer(shape.num_inner, shape.num_outputs, 3, 1, bias, norm)
        self.shortcut: nn.Module = nn.Identity()
        if shape.is_projected:
            self.shortcut = _layer(shape.num_inputs, shape.num_outputs, 1, shape.stride, bias, norm)
        self.activation = ACTIVATIONS[parameters.activation]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return maps (batch, num_outputs, height / stride, width / stride), rounded up."""
        residual = self.second(self.activation(self.first(inputs)))
        return self.activation(residual + self.shortcut(inputs))


class PreactivationBlock(nn.Module):
    """W2 * f(norm(W1 * a)) + u, where a = f(norm(u)); across a change of shape the second term is W3 * a.

    The code of GradMax has W3 * u there.

    Args:
        shape: channels and stride.
        parameters: the model's parameters.

    Reference:
        Zagoruyko and Komodakis 2016, Wide residual networks, section 2 and published code.
    """

    def __init__(self, shape: BlockShape, parameters: ResnetParameters) -> None:
        super().__init__()
        norm, inner_norm = parameters.normalisation, parameters.inner_normalisation()
        bias = norm == "none"
        self.norm = normalisation_2d(norm, shape.num_inputs)
        self.first = _layer(shape.num_inputs, shape.num_inner, 3, shape.stride, bias, inner_norm)
        self.second = _layer(shape.num_inner, shape.num_outputs, 3, 1, bias, "none")
        self.shortcut: nn.Module | None = None
        if shape.is_projected:
            self.shortcut = _layer(shape.num_inputs, shape.num_outputs, 1, shape.stride, bias, "none")
        self.activation = ACTIVATIONS[parameters.activation]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return maps (batch, num_outputs, height / stride, width / stride), rounded up."""
        activated = self.activation(self.norm(inputs))
        residual: Tensor = self.second(self.activation(self.first(activated)))
        return residual + (inputs if self.shortcut is None else self.shortcut(activated))


BLOCKS: dict[str, type[BasicBlock] | type[PreactivationBlock]] = {
    "basic": BasicBlock,
    "preactivation": PreactivationBlock,
}


class Resnet(nn.Module):
    """Stem, residual blocks, global mean, read-out.

    Basic blocks leave activated maps. Behind pre-activation blocks a last norm and activation follow.

    Args:
        parameters: channels, blocks, widening, activation, normalisation, first weights, read-out.
        task: image shape (channels, height, width) and number of outputs.
        generator: not used, since nothing but the weights is drawn.
    """

    def __init__(self, parameters: ResnetParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__()
        shapes = parameters.blocks()
        self.activates_first = parameters.block == "preactivation"
        norm, last = parameters.normalisation, shapes[-1].num_outputs
        stem_norm: Normalisation = "none" if self.activates_first else norm
        last_norm: Normalisation = norm if self.activates_first else "none"
        self.stem = _layer(task.input_shape[0], parameters.channels[0], 3, 1, norm == "none", stem_norm)
        self.blocks = nn.Sequential(*(BLOCKS[parameters.block](shape, parameters) for shape in shapes))
        self.norm = normalisation_2d(last_norm, last)
        self.readout = Readout(last, task.num_outputs, parameters.readout_norm)
        self.activation = ACTIVATIONS[parameters.activation]
        if parameters.initialisation == "he_normal":
            he_normal_network_(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of images (batch, channels, height, width)."""
        if self.activates_first:
            maps = self.activation(self.norm(self.blocks(self.stem(inputs))))
        else:
            maps = self.blocks(self.activation(self.stem(inputs)))
        return self.readout(maps.mean((2, 3)))


def _layer(
    num_inputs: int, num_outputs: int, kernel: int, stride: int, bias: bool, norm: Normalisation
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_inputs, num_outputs, kernel, stride, padding=kernel // 2, bias=bias),
        normalisation_2d(norm, num_outputs),
    )
