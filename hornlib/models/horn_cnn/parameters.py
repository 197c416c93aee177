"""Parameters of HORN-CNN, a CNN whose stages are fields of driven harmonic oscillators; free of torch."""

import math
from typing import ClassVar, Literal

from pydantic import model_validator

from hornlib.dynamics import stability
from hornlib.dynamics.gain import constant_drive_gain, reference_gain
from hornlib.dynamics.parameters import OSCILLATOR_CONSTANTS, Oscillator, OscillatorParameters
from hornlib.models.recurrent_cnn_parameters import RecurrentCnnParameters, StageShape
from hornlib.parameters import RecurrenceKernel, Task, Value

__all__ = ["HornCnnParameters"]


class HornCnnParameters(RecurrentCnnParameters, OscillatorParameters):
    """HORN-CNN: every stage runs T steps of one oscillator for each channel and pixel, from rest.

    u = norm(conv3x3(input));  a = u + kappa K * (y / omega);
    y <- y + h (alpha tanh(a) - 2 damping y - omega^2 x);  x <- x + h y;  the stage's output is mean_t x.

    y / omega has the size of x, so that kappa means the same with `recurrence_on: position`, where the recurrence is
    kappa K * x. We found no published definition of a convolutional HORN; this one is ours. The preset `unit_gain` has
    one cycle within T steps and unit DC gain; with `public`, 8 steps are 0.29 of a cycle. With `recurrence: none` a
    stage is c_T tanh(u) with c_T = `constant_drive_gain`, and heterogeneous constants are a vector of gains.
    """

    network: ClassVar[str] = "hornlib.models.horn_cnn.network:HornCnn"
    per_lane: ClassVar[tuple[str, ...]] = (*OSCILLATOR_CONSTANTS, "recurrence_gain")

    name: Literal["horn_cnn"] = "horn_cnn"
    constants_per: Literal["channel", "unit"] = "channel"
    """Whether heterogeneous and learned constants differ by channel, or by channel and pixel (unit)."""
    gain: Literal["own", "reference"] = "own"
    """own: alpha (or dc_gain) is given or preset. reference: alpha is chosen such that c_T is that of the default
    oscillator (one cycle, damping ratio 0.1, unit DC gain) at the same timesteps and readout. This is for an arm that
    differs in its dynamics but not in its gain, such as an overdamped one."""

    @model_validator(mode="after")
    def _one_gain(self) -> "HornCnnParameters":
        given = [key for key in ("alpha", "dc_gain") if getattr(self, key) is not None]
        if self.gain == "reference" and given:
            raise ValueError(f"gain: reference sets alpha; leave out {given[0]}")
        return self

    def recurrence_kernel(self) -> RecurrenceKernel:
        """Return the kernel of fields; its constants belong to channels."""
        kernel = super().recurrence_kernel()
        return kernel._replace(lacks="constants_per: unit") if self.constants_per == "unit" else kernel

    def oscillator(self, timesteps: int) -> Oscillator:
        """Return the homogeneous constants for a horizon of `timesteps` steps."""
        oscillator = super().oscillator(timesteps)
        if self.gain == "own":
            return oscillator
        gain = constant_drive_gain(oscillator, self.integrator, timesteps, self.readout)
        if not 0 < gain < math.inf:  # far from stable: `problems` reports it
            return oscillator
        return oscillator._replace(alpha=oscillator.alpha * reference_gain(timesteps, self.readout) / gain)

    def derived(self, task: Task) -> dict[str, Value]:
        """Return the timesteps, and the constants and c_T of the homogeneous oscillator."""
        derived = self.oscillator_derived(self.timesteps)
        return {"timesteps": self.timesteps, **derived, "constant_drive_gain": self._constant_drive_gain()}

    def problems(self, task: Task) -> list[str]:
        """Return a problem if the last stage has no pixel, no state can change, or no gain can be matched."""
        problems = super().problems(task)
        if self.integrator == "explicit_euler" and self.timesteps == 1:
            problems.append(
                "timesteps: after 1 step of explicit_euler every displacement is 0; give at least 2"
            )
        elif self.gain == "reference" and not 0 < self._constant_drive_gain() < math.inf:
            problems.append("gain: reference needs an oscillator that follows a constant drive: stabilise it")
        return problems

    def warnings(self, task: Task) -> list[str]:
        """Return predictions of unstable oscillators."""
        return stability.warnings(self, self.timesteps)

    def _constant_drive_gain(self) -> float:
        oscillator = self.oscillator(self.timesteps)
        return constant_drive_gain(oscillator, self.integrator, self.timesteps, self.readout)

    def _unit_elementwise(self) -> int:
        """Return 2 for tanh as a shifted sigmoid, 2 each for carry and spring, 1 for p, and 1 for a factor per unit."""
        return 7 + (self.recurrence != "none" and self.constants_per == "unit")

    def _unit_num_parameters(self, stage: StageShape) -> int:
        if self.oscillator_training == "fixed":
            return 0
        return 3 * (stage.num_units if self.constants_per == "unit" else stage.channels)
