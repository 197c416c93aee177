"""The leaky-tanh CNN: HORN-CNN's graph with first-order units in place of oscillators."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from hornlib.models.leaky_cnn.parameters import LeakyCnnParameters
from hornlib.models.recurrent_cnn import RecurrentCnn, RecurrentStage
from hornlib.models.recurrent_cnn_parameters import StageShape
from hornlib.parameters import Task

__all__ = ["LeakyCnn", "LeakyStage"]


class LeakyStage(RecurrentStage):
    """T steps of x <- (1 - r) x + r G tanh(u + kappa K * x), run on q = x / (r G).

    Args:
        shape: the stage's shape.
        parameters: the model's parameters.
    """

    def __init__(self, shape: StageShape, parameters: LeakyCnnParameters) -> None:
        super().__init__(shape, parameters)
        # Buffers, not floats: lanes that are trained side by side may differ in them.
        self.register_buffer("leak_rate", torch.tensor(parameters.resolved_leak_rate()))
        self.register_buffer("dc_gain", torch.tensor(parameters.resolved_dc_gain()))
        self.register_buffer("recurrence_gain", torch.tensor(parameters.recurrence_gain))

    def states(self, drives: Sequence[Tensor]) -> tuple[Iterator[Tensor], Tensor]:
        """Return q_1, q_2, ... = x_t / (r G), one a step, and r G."""
        scale = self.leak_rate * self.dc_gain
        return self._scaled_states(drives, scale), scale

    def _scaled_states(self, drives: Sequence[Tensor], scale: Tensor) -> Iterator[Tensor]:
        kernel = None if self.kernel is None else self.kernel * (self.recurrence_gain * scale)
        keep = 1 - self.leak_rate
        state = torch.zeros_like(drives[0])
        for drive in drives:
            state = torch.addcmul(torch.tanh(self.recur(drive, kernel, state)), keep, state)
            yield state


class LeakyCnn(RecurrentCnn):
    """The leaky-tanh CNN; see `LeakyCnnParameters` for the equations.

    Args:
        parameters: the model's parameters.
        task: shapes of inputs and outputs.
        generator: not used: nothing is drawn but the weights.
    """

    def __init__(self, parameters: LeakyCnnParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__(
            [LeakyStage(shape, parameters) for shape in parameters.stages(task)], parameters, task
        )
