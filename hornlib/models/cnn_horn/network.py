"""A CNN stem; its last feature map is the input sequence of a HORN or an RNN, or its mean the input of an MLP."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from hornlib.models.cnn_horn.parameters import CnnHornParameters
from hornlib.models.horn.network import HORN
from hornlib.models.layers import ACTIVATIONS, normalisation_2d
from hornlib.models.mlp.network import Mlp
from hornlib.models.rnn.network import Rnn
from hornlib.parameters import Task

__all__ = ["CnnHorn", "patches", "rows"]


class CnnHorn(nn.Module):
    """Stem, sequence, unit; see `CnnHornParameters`.

    Args:
        parameters: the model's parameters.
        task: shapes of inputs and outputs.
        generator: draws the oscillators' constants.
    """

    def __init__(self, parameters: CnnHornParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__()
        widths = (task.input_shape[0], *parameters.channels)
        bias = parameters.normalisation == "none"
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1, bias=bias) for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(normalisation_2d(parameters.normalisation, width) for width in widths[1:])
        self.activation = ACTIVATIONS[parameters.activation]
        self.order = "mean" if parameters.unit == "gap_mlp" else parameters.order
        self.patch_size = parameters.patch_size
        self.unit = UNITS[parameters.unit](*parameters.head(task), generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of images (batch, channels, height, width)."""
        maps = inputs
        for stage, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            if stage > 0:
                maps = nn.functional.avg_pool2d(maps, 2)
            maps = self.activation(norm(convolution(maps)))
        return self.unit(self.read(maps))

    def read(self, maps: Tensor) -> Tensor:
        """Return the unit's input from maps (batch, channels, height, width).

        It is a sequence (batch, timesteps, features), or the mean over pixels (batch, channels).
        """
        if self.order == "mean":
            return maps.mean((-2, -1))
        return rows(maps) if self.order == "rows" else patches(maps, self.patch_size)


def rows(maps: Tensor) -> Tensor:
    """Return maps (batch, channels, height, width) as (batch, height, channels width), top row first."""
    return maps.transpose(1, 2).flatten(2)


def patches(maps: Tensor, side: int) -> Tensor:
    """Return the patches of maps in reading order.

    Args:
        maps: (batch, channels, height, width). Pixels at the right and at the bottom that fill no patch are omitted.
        side: of a square patch, pixels.

    Returns:
        (batch, patches, channels side^2).
    """
    height, width = (length - length % side for length in maps.shape[-2:])
    whole = maps[..., :height, :width].unflatten(-1, (-1, side)).unflatten(-3, (-1, side))
    return whole.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


UNITS: dict[str, type[nn.Module]] = {"horn": HORN, "tanh_rnn": Rnn, "gru": Rnn, "gap_mlp": Mlp}
