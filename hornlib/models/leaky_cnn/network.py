"""The leaky-tanh CNN: HORN-CNN's graph with first-order units in place of oscillators."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from hornlib.kernels.field import FieldConstants, FieldOptions
from hornlib.models.leaky_cnn.parameters import LeakyCnnParameters
from hornlib.models.recurrent_cnn import RecurrentCnn, RecurrentStage, half_tanh
from hornlib.models.recurrent_cnn_parameters import StageShape
from hornlib.parameters import Task

__all__ = ["LeakyCnn", "LeakyStage"]


class LeakyStage(RecurrentStage):
    """T steps of x <- (1 - r) x + r G tanh(u + kappa K * x), computed for q = x / (2 r G).

    The readable step is `hornlib.dynamics.probes.units.FirstOrder`; tests/models/test_tracing.py holds them equal.

    Args:
        shape: the stage's shape.
        parameters: the model's parameters.
    """

    leak_rate: Tensor
    dc_gain: Tensor
    recurrence_gain: Tensor

    def __init__(self, shape: StageShape, parameters: LeakyCnnParameters) -> None:
        super().__init__(shape, parameters)
        # Buffers, not floats: lanes that are trained side by side may differ in them.
        self.register_buffer("leak_rate", torch.tensor(parameters.resolved_leak_rate()))
        self.register_buffer("dc_gain", torch.tensor(parameters.resolved_dc_gain()))
        self.register_buffer("recurrence_gain", torch.tensor(parameters.recurrence_gain))

    def states(self, doubled: Sequence[Tensor]) -> tuple[Iterator[Tensor], Tensor]:
        """Return q_1, q_2, ... = x_t / (2 r G), (batch, C, H, W) each, and the factor 2 r G.

        Args:
            doubled: the drives 2 u of every step, (batch, C, H, W) each.
        """
        scale = 2 * self.leak_rate * self.dc_gain
        return self._scaled_states(doubled, scale), scale

    def as_field(self, channels: int) -> tuple[FieldConstants, FieldOptions]:
        """Return the constants and options with which `hornlib.kernels.field` computes the same output.

        Its state v is x / (r G); without a spring, p is the sum of v over the steps.

        Args:
            channels: C, of the drive.
        """
        scale, is_mean = self.leak_rate * self.dc_gain, self.output == "mean"
        kernel = None if self.kernel is None else self.kernel * (self.recurrence_gain * scale)
        numbers = (1 - self.leak_rate, torch.zeros_like(scale), scale / self.timesteps if is_mean else scale)
        constants = FieldConstants(kernel, *torch.stack(numbers).unsqueeze(1).repeat(1, channels))
        return constants, FieldOptions(
            self.timesteps, "position" if is_mean else "velocity", "velocity", False
        )

    def _scaled_states(self, doubled: Sequence[Tensor], scale: Tensor) -> Iterator[Tensor]:
        kernel = None if self.kernel is None else self.kernel * (2 * self.recurrence_gain * scale)
        carry = 1 - self.leak_rate
        state = torch.zeros_like(doubled[0])
        for drive in doubled:
            state = torch.addcmul(half_tanh(self.recur(drive, kernel, state)), carry, state)
            yield state


class LeakyCnn(RecurrentCnn):
    """The leaky-tanh CNN; see `LeakyCnnParameters` for the equations.

    Args:
        parameters: the model's parameters.
        task: shapes of inputs and outputs.
        generator: not used, since nothing but the weights is drawn.
    """

    def __init__(self, parameters: LeakyCnnParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__(
            [LeakyStage(shape, parameters) for shape in parameters.stages(task)], parameters, task
        )
