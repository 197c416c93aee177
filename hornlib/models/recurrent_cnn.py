"""The graph that horn_cnn and leaky_cnn share: stages of recurrent units over feature maps."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hornlib.models.depthwise import depthwise_convolution
from hornlib.models.layers import freeze_, normalisation_2d
from hornlib.models.layout import channels_last
from hornlib.models.readout import Readout
from hornlib.models.recurrent_cnn_parameters import RecurrentCnnParameters, StageShape
from hornlib.parameters import Task

__all__ = ["RecurrentCnn", "RecurrentStage", "half_tanh"]

# Added under the root, so that its gradient is 0, not NaN, where every state is 0.
_RMS_OFFSET = 1e-24


class RecurrentStage(nn.Module, ABC):
    """T steps of one kind of unit over a feature map, driven by u = norm(conv3x3(input)).

    A sequence of T feature maps travels as one batch of T times the batch, time first, so that convolution,
    normalisation and pooling see it as they see images.

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
            freeze_(self)  # the kernel is all that it has of its own so far
        self.timesteps = parameters.timesteps
        self.driven_by_sequence = shape.drives > 1
        self.read = READ[shape.output]

    @abstractmethod
    def states(self, doubled: Sequence[Tensor]) -> tuple[Iterator[Tensor], Tensor]:
        """Return x_1 / scale, x_2 / scale, ... under the doubled drives 2 u, one a step, and the scale."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the stage hands on, (batch, C, H, W), of inputs (batch, in, H, W)."""
        doubled = channels_last(2 * self.norm(self.convolution(channels_last(inputs))))
        each = doubled.chunk(self.timesteps) if self.driven_by_sequence else [doubled] * self.timesteps
        states, scale = self.states(each)
        return channels_last(self.read(states, scale, self.timesteps))

    def recur(self, doubled: Tensor, kernel: Tensor | None, state: Tensor) -> Tensor:
        """Return 2 u + kernel * state, the argument of `half_tanh`; the kernel holds every factor of K."""
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
        self.pool = nn.AvgPool2d(2) if parameters.pooling == "average" else nn.MaxPool2d(2)
        num_features = parameters.stages(task)[-1].channels
        self.readout = Readout(num_features, task.num_outputs, parameters.readout_norm)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of images (batch, channels, height, width)."""
        first, *others = self.stages
        features = first(inputs)
        for stage in others:
            features = stage(self.pool(features))
        return self.readout(features.mean((-2, -1)))


def half_tanh(doubled: Tensor) -> Tensor:
    """Return tanh(a) / 2 of 2 a, as sigma(2 a) - 1/2: on a CPU a third of the time of `torch.tanh`.

    In float32 its absolute error is up to 8e-8, and its relative error about 1e-7 / |a| where |a| is small.
    """
    return torch.sigmoid(doubled) - 0.5


def _kernel(channels: int, recurrence: str) -> nn.Parameter | None:
    """Draw K ~ U[-sqrt(3 / fan-in), sqrt(3 / fan-in)], of variance 1 / fan-in."""
    if recurrence == "none":
        return None
    inputs_each = channels if recurrence == "full" else 1
    bound = math.sqrt(3 / (9 * inputs_each))
    return nn.Parameter(torch.empty(channels, inputs_each, 3, 3).uniform_(-bound, bound))


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
