"""HORN-CNN: a CNN whose stages are fields of driven harmonic oscillators."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.kernels.field import FieldConstants, FieldOptions
from hornlib.models.horn_cnn.parameters import HornCnnParameters
from hornlib.models.oscillator_constants import OscillatorConstants
from hornlib.models.recurrent_cnn import RecurrentCnn, RecurrentStage, half_tanh
from hornlib.models.recurrent_cnn_parameters import StageShape
from hornlib.parameters import Task

__all__ = ["HornCnn", "OscillatorStage"]


class ScaledStep(NamedTuple):
    """Factors of a step in units of the force: v = y / (2 g), p = x / (2 h g), with g of `Coefficients`.

    v <- carry v - spring p + tanh(a) / 2;  p <- p + v. A step has two products instead of five.

    Attributes:
        carry: c.
        spring: h k.
        source: factor from v (or p) to the state that K reads, times 2 kappa.
        displacement: 2 h g, factor from p to x.
    """

    carry: Tensor
    spring: Tensor
    source: Tensor
    displacement: Tensor


class OscillatorStage(RecurrentStage):
    """T steps of one oscillator for each channel and pixel under alpha tanh(u + kappa K * (y / omega)).

    This is the faster equivalent of a loop over `hornlib.dynamics.oscillator.step`; tests/models/test_horn_cnn.py
    holds them equal.

    Args:
        shape: the stage's shape.
        parameters: the model's parameters.
        generator: draws the oscillators' constants.
    """

    recurrence_gain: Tensor

    def __init__(self, shape: StageShape, parameters: HornCnnParameters, generator: torch.Generator) -> None:
        super().__init__(shape, parameters)
        self.recurrence_on = parameters.recurrence_on
        per_unit = parameters.constants_per == "unit"
        self.scales_state = per_unit and self.kernel is not None
        pixels = (shape.height, shape.width) if per_unit else (1, 1)
        self.oscillators = OscillatorConstants(
            parameters, parameters.timesteps, (shape.channels, *pixels), generator
        )
        # A buffer, not a float: lanes that are trained side by side may differ in it.
        self.register_buffer("recurrence_gain", torch.tensor(parameters.recurrence_gain))

    def states(self, doubled: Sequence[Tensor]) -> tuple[Iterator[Tensor], Tensor]:
        """Return p_1, p_2, ... = x_t / (2 h g), (batch, C, H, W) each, and the factor 2 h g.

        Args:
            doubled: the drives 2 u of every step, (batch, C, H, W) each.
        """
        scaled = self._scaled()
        return self._positions(doubled, scaled), scaled.displacement

    def as_field(self, channels: int) -> tuple[FieldConstants, FieldOptions]:
        """Return the constants and options with which `hornlib.kernels.field` computes the same output.

        Its states have no factor 2: v = y / g and p = x / (h g), under tanh(u + K * r).

        Args:
            channels: C, of the drive.
        """
        omega, h = self.oscillators.constants().omega, self.oscillators.integration_step
        carry, spring, force = self.oscillators.coefficients()
        is_mean, displacement = self.output == "mean", h * force
        source = force / omega if self.recurrence_on == "velocity" else displacement
        scale = displacement / self.timesteps if is_mean else displacement
        constants = FieldConstants(
            self._scaled_kernel(self.recurrence_gain * source),
            *(part.flatten() for part in (carry, h * spring, scale)),
        )
        explicit = self.oscillators.integrator == "explicit_euler"
        return constants, FieldOptions(
            self.timesteps, "sum" if is_mean else "position", self.recurrence_on, explicit
        )

    def _positions(self, doubled: Sequence[Tensor], scaled: ScaledStep) -> Iterator[Tensor]:
        kernel = self._scaled_kernel(scaled.source)
        position = velocity = torch.zeros_like(doubled[0])
        for drive in doubled:
            state = velocity if self.recurrence_on == "velocity" else position
            if self.scales_state:
                state = state * scaled.source
            force = half_tanh(self.recur(drive, kernel, state))
            before = velocity
            velocity = torch.addcmul(force, scaled.carry, velocity)
            velocity = torch.addcmul(velocity, scaled.spring, position, value=-1)
            position = position + (before if self.oscillators.integrator == "explicit_euler" else velocity)
            yield position

    def _scaled(self) -> ScaledStep:
        omega, h = self.oscillators.constants().omega, self.oscillators.integration_step
        carry, spring, force = self.oscillators.coefficients()
        displacement = 2 * h * force
        source = 2 * force / omega if self.recurrence_on == "velocity" else displacement
        return ScaledStep(carry, h * spring, 2 * self.recurrence_gain * source, displacement)

    def _scaled_kernel(self, source: Tensor) -> Tensor | None:
        """Return the kernel with the source's factor in its input channels; a factor per unit is applied elsewhere."""
        if self.kernel is None or self.scales_state:
            return self.kernel
        depthwise = self.kernel.shape[1] == 1
        return self.kernel * (source.unsqueeze(1) if depthwise else source)


class HornCnn(RecurrentCnn):
    """HORN-CNN; see `HornCnnParameters` for the equations.

    Args:
        parameters: the model's parameters.
        task: shapes of inputs and outputs.
        generator: draws the oscillators' constants, stage by stage.
    """

    def __init__(self, parameters: HornCnnParameters, task: Task, generator: torch.Generator) -> None:
        stages = [OscillatorStage(shape, parameters, generator) for shape in parameters.stages(task)]
        super().__init__(stages, parameters, task)
