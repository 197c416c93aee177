"""Parameters of HORN-CNN, a CNN whose stages are fields of driven harmonic oscillators; free of torch."""

import math
from typing import ClassVar, Literal

from pydantic import model_validator

from hornlib.dynamics import stability
from hornlib.dynamics.gain import constant_drive_gain, reference_gain
from hornlib.dynamics.parameters import OSCILLATOR_CONSTANTS, Oscillator, OscillatorParameters
from hornlib.models.recurrent_cnn_parameters import RecurrentCnnParameters, StageShape
from hornlib.parameters import Task, Value

__all__ = ["HornCnnParameters"]


class HornCnnParameters(RecurrentCnnParameters, OscillatorParameters):
    """HORN-CNN: in every stage, T steps of an oscillator a channel and pixel, from rest.

    u = norm(conv3x3(input));  a = u + kappa K * (y / omega);
    y <- y + h (alpha tanh(a) - 2 damping y - omega^2 x);  x <- x + h y;  the stage's output is mean_t x.

    y / omega has the size of x, so that kappa means the same with `recurrence_on: position`, whose recurrence
    is kappa K * x. No published definition of a convolutional HORN was found: this one is ours. The preset
    `unit_gain` runs one cycle within T steps at unit DC gain; with `public`, 8 steps cover 0.29 of a cycle.
    With `recurrence: none` a stage is c_T tanh(u), c_T = `constant_drive_gain`, and heterogeneous constants
    are a vector of gains.
    """

    network: ClassVar[str] = "hornlib.models.horn_cnn.network:HornCnn"
    per_lane: ClassVar[tuple[str, ...]] = (*OSCILLATOR_CONSTANTS, "recurrence_gain")

    name: Literal["horn_cnn"] = "horn_cnn"
    constants_per: Literal["channel", "unit"] = "channel"
    """Whether heterogeneous (and learned) constants differ by channel, or by channel and pixel."""
    gain: Literal["own", "reference"] = "own"
    """own: alpha (or dc_gain) as given or preset. reference: alpha such that c_T is that of the default
    oscillator (one cycle, damping ratio 0.1, unit DC gain) at the same timesteps and readout, for an arm that
    is to differ in its dynamics but not in its gain, such as an overdamped one."""

    @model_validator(mode="after")
    def _one_gain(self) -> "HornCnnParameters":
        given = [key for key in ("alpha", "dc_gain") if getattr(self, key) is not None]
        if self.gain == "reference" and given:
            raise ValueError(f"gain: reference sets alpha; leave out {given[0]}")
        return self

    def oscillator(self, timesteps: int) -> Oscillator:
        """Return the homogeneous constants for a horizon of `timesteps` steps."""
        oscillator = super().oscillator(timesteps)
        if self.gain == "own":
            return oscillator
        own = constant_drive_gain(oscillator, self.integrator, timesteps, self.readout)
        if not 0 < own < math.inf:  # far from stable: `problems` says so
            return oscillator
        return oscillator._replace(alpha=oscillator.alpha * reference_gain(timesteps, self.readout) / own)

    def derived(self, task: Task) -> dict[str, Value]:
        """Return the timesteps, the oscillator's constants and c_T, all of the homogeneous oscillator."""
        derived = self.oscillator_derived(self.timesteps)
        return {"timesteps": self.timesteps, **derived, "constant_drive_gain": self._constant_drive_gain()}

    def problems(self, task: Task) -> list[str]:
        """Say when no pixel is left for the last stage, nothing could move, or no gain be matched."""
        found = super().problems(task)
        if self.integrator == "explicit_euler" and self.timesteps == 1:
            found.append("timesteps: after 1 step of explicit_euler every displacement is 0; give at least 2")
        elif self.gain == "reference" and not 0 < self._constant_drive_gain() < math.inf:
            found.append("gain: reference needs an oscillator that follows a constant drive: stabilise it")
        return found

    def warnings(self, task: Task) -> list[str]:
        """Say what is known of the oscillator's stability before any training."""
        return stability.warnings(self, self.timesteps)

    def _constant_drive_gain(self) -> float:
        oscillator = self.oscillator(self.timesteps)
        return constant_drive_gain(oscillator, self.integrator, self.timesteps, self.readout)

    def _unit_elementwise(self) -> int:
        """Count tanh (2: a sigmoid, shifted), carry and spring (2 each), position (1), scale per unit (1)."""
        return 7 + (self.recurrence != "none" and self.constants_per == "unit")

    def _unit_num_parameters(self, stage: StageShape) -> int:
        if self.oscillator_training == "fixed":
            return 0
        return 3 * (stage.num_units if self.constants_per == "unit" else stage.channels)
