"""Parameters of HORN-CNN, a CNN whose stages are fields of driven harmonic oscillators; free of torch."""

from typing import ClassVar, Literal

from hornlib.dynamics import stability
from hornlib.dynamics.gain import constant_drive_gain
from hornlib.dynamics.parameters import OscillatorParameters
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

    name: Literal["horn_cnn"] = "horn_cnn"
    constants_per: Literal["channel", "unit"] = "channel"
    """Whether heterogeneous (and learned) constants differ by channel, or by channel and pixel."""

    def derived(self, task: Task) -> dict[str, Value]:
        """Return the timesteps, the oscillator's constants and c_T, all of the homogeneous oscillator."""
        oscillator = self.oscillator(self.timesteps)
        gain = constant_drive_gain(oscillator, self.integrator, self.timesteps, self.readout)
        derived = self.oscillator_derived(self.timesteps)
        return {"timesteps": self.timesteps, **derived, "constant_drive_gain": gain}

    def problems(self, task: Task) -> list[str]:
        """Say when no pixel is left for the last stage, or no step in which an oscillator could move."""
        found = super().problems(task)
        if self.integrator == "explicit_euler" and self.timesteps == 1:
            found.append("timesteps: after 1 step of explicit_euler every displacement is 0; give at least 2")
        return found

    def warnings(self, task: Task) -> list[str]:
        """Say what is known of the oscillator's stability before any training."""
        return stability.warnings(self, self.timesteps)

    def _unit_elementwise(self) -> int:
        """Count tanh (2: a sigmoid, shifted), carry and spring (2 each), position (1), scale per unit (1)."""
        return 7 + (self.recurrence != "none" and self.constants_per == "unit")

    def _unit_num_parameters(self, stage: StageShape) -> int:
        if self.oscillator_training == "fixed":
            return 0
        return 3 * (stage.num_units if self.constants_per == "unit" else stage.channels)
