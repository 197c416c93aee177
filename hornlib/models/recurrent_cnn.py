"""The graph that horn_cnn and leaky_cnn share: stages of recurrent units over feature maps."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hornlib.kernels.field import FieldConstants, FieldOptions, field
from hornlib.kernels.route import is_fused, loops
from hornlib.models.depthwise import depthwise_convolution
from hornlib.models.layers import freeze_, normalisation_2d
from hornlib.models.layout import channels_last
from hornlib.models.readout import Readout
from hornlib.models.recurrent_cnn_parameters import RecurrentCnnParameters, StageShape
from hornlib.parameters import Task

__all__ = ["RecurrentCnn", "RecurrentStage", "half_tanh"]

# Added under the root, so that the gradient is 0 and not NaN where all states are 0.
_RMS_OFFSET = 1e-24


class RecurrentStage(nn.Module, ABC):
    """T steps of one kind of unit over a feature map, driven by u = norm(conv3x3(input)).

    A sequence of T feature maps is stored as one batch of T times the batch size, time first, so that convolution,
    normalisation and pooling treat it like images.

    Where `hornlib.kernels.field` can compute the steps, it does; tests/models/test_recurrent_cnn.py holds both equal.

    Args:
        shape: the stage's shape.
        parameters: the model's parameters.
    """

    def __init__(self, shape: StageShape, parameters: RecurrentCnnParameters) -> None:
        super().__init__()
        bias = parameters.normalisation == "none"
        self.convolution = nn.Conv2d(shape.in_channels, shape.channels, 3, padding=1, bias=bias)
        self.norm = normalisation_2d(parameters.normalisation, shape.channels)
        self.kernel = _kernel(shape.channels, parameters.recurrence)
        if parameters.recurrence_training == "frozen":
            freeze_(self)  # the kernel is the only parameter of the module itself
        self.timesteps = parameters.timesteps
        self.driven_by_sequence = shape.drives > 1
        self.output = shape.output
        self.read = READ[shape.output]
        self.has_fused_kernel = parameters.recurrence_kernel().lacks == ""

    @abstractmethod
    def states(self, doubled: Sequence[Tensor]) -> tuple[Iterator[Tensor], Tensor]:
        """Return x_1 / scale, x_2 / scale, ..., (batch, C, H, W) each, and the scale.

        Args:
            doubled: the drives 2 u of every step, (batch, C, H, W) each.
        """

    @abstractmethod
    def as_field(self, channels: int) -> tuple[FieldConstants, FieldOptions]:
        """Return the constants and options with which `hornlib.kernels.field` computes the same output.

        Args:
            channels: C, of the drive.
        """

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the output, (batch, C, H, W), of inputs (batch, in_channels, H, W); T times batch for a sequence."""
        if self.has_fused_kernel and is_fused("field", inputs):
            drive = self.norm(self.convolution(inputs))
            return field(drive, *self.as_field(drive.shape[1]))
        doubled = channels_last(2 * self.norm(self.convolution(channels_last(inputs))))
        drives = doubled.chunk(self.timesteps) if self.driven_by_sequence else [doubled] * self.timesteps
        states, scale = self.states(drives)
        return channels_last(self.read(states, scale, self.timesteps))

    def recur(self, doubled: Tensor, kernel: Tensor | None, state: Tensor) -> Tensor:
        """Return 2 u + kernel * state, (batch, C, H, W), the argument of `half_tanh`.

        Args:
            doubled: 2 u, (batch, C, H, W).
            kernel: K with all its factors, (C, 1, 3, 3) or (C, C, 3, 3); None without recurrence.
            state: (batch, C, H, W).
        """
        if kernel is None:
            return doubled
        if kernel.shape[1] == 1:
            return doubled + depthwise_convolution(state, kernel)
        return doubled + F.conv2d(state, kernel, padding=1)


class RecurrentCnn(nn.Module):
    """Stages with 2x2 pooling between them, a global average over pixels, the shared read-out.

    Args:
        stages: the stages, first to last.
        parameters: the model's parameters.
        task: shapes of inputs and outputs.
    """

    def __init__(
        self, stages: Sequence[RecurrentStage], parameters: RecurrentCnnParameters, task: Task
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.has_fused_kernel = stages[0].has_fused_kernel
        self.pool = nn.AvgPool2d(2) if parameters.pooling == "average" else nn.MaxPool2d(2)
        num_features = parameters.stages(task)[-1].channels
        self.readout = Readout(num_features, task.num_outputs, parameters.readout_norm)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of images (batch, channels, height, width)."""
        first, *others = self.stages
        # All stages take the route of the first, whose maps are the largest.
        with nullcontext() if self.has_fused_kernel and is_fused("field", inputs) else loops():
            features = first(inputs)
            for stage in others:
                features = stage(self.pool(features))
        return self.readout(features.mean((-2, -1)))


def half_tanh(doubled: Tensor) -> Tensor:
    """Return tanh(a) / 2 for `doubled` = 2 a, as sigma(2 a) - 1/2, in a third of the time of `torch.tanh` on a CPU.

    In float32 the absolute error is up to 8e-8, and the relative error about 1e-7 / |a| where |a| is small.
    """
    return torch.sigmoid(doubled) - 0.5


def _kernel(channels: int, recurrence: str) -> nn.Parameter | None:
    """Return a random K ~ U[-sqrt(3 / fan-in), sqrt(3 / fan-in)], whose variance is 1 / fan-in."""
    if recurrence == "none":
        return None
    num_inputs = channels if recurrence == "full" else 1
    bound = math.sqrt(3 / (9 * num_inputs))
    return nn.Parameter(torch.empty(channels, num_inputs, 3, 3).uniform_(-bound, bound))


def _read_mean(states: Iterator[Tensor], scale: Tensor, timesteps: int) -> Tensor:
    return reduce(torch.add, states) * (scale / timesteps)


def _read_last(states: Iterator[Tensor], scale: Tensor, timesteps: int) -> Tensor:
    return deque(states, maxlen=1)[0] * scale


def _read_rms(states: Iterator[Tensor], scale: Tensor, timesteps: int) -> Tensor:
    squares = reduce(torch.add, (state * state for state in states))
    return torch.sqrt(squares + _RMS_OFFSET) * (scale / math.sqrt(timesteps))


def _read_sequence(states: Iterator[Tensor], scale: Tensor, timesteps: int) -> Tensor:
    return torch.cat([state * scale for state in states])


READ: dict[str, Callable[[Iterator[Tensor], Tensor, int], Tensor]] = {
    "mean": _read_mean,
    "last": _read_last,
    "rms": _read_rms,
    "sequence": _read_sequence,
}
