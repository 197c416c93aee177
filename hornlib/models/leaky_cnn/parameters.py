"""Parameters of the leaky-tanh CNN, HORN-CNN's twin without oscillation; free of torch."""

import math
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from hornlib.dynamics.gain import leaky_step_response, read_out, reference_gain
from hornlib.dynamics.parameters import LARGEST, SMALLEST, refuse_tiny
from hornlib.models.recurrent_cnn_parameters import RecurrentCnnParameters
from hornlib.parameters import Task, Value

__all__ = ["LeakyCnnParameters"]


class LeakyCnnParameters(RecurrentCnnParameters):
    """The graph of horn_cnn with leaky-tanh units instead of oscillators: recurrence without oscillation.

    u = norm(conv3x3(input));  x <- (1 - r) x + r G tanh(u + kappa K * x);  the stage's output is mean_t x.

    Matched gain: under a constant drive u the read-out of T steps is c_T tanh(u). c_T is the arm's gain at the start of
    training, and a larger gain acts like a larger learning rate. Unless they are given, r and G therefore follow from
    the oscillator to compare with (`num_cycles`, `damping_ratio`, unit DC gain, symplectic Euler). r gives both the
    same time scale; G gives both the same c_T at the same T and read-out. An entry with horn_cnn's `timesteps`,
    `readout` and `num_cycles` is therefore its matched twin. For an oscillator with other constants, give its derived
    `constant_drive_gain`. At equal num_nodes leaky_cnn has as many trained numbers as horn_cnn.
    """

    network: ClassVar[str] = "hornlib.models.leaky_cnn.network:LeakyCnn"
    per_lane: ClassVar[tuple[str, ...]] = (
        "leak_rate",
        "num_cycles",
        "damping_ratio",
        "constant_drive_gain",
        "dc_gain",
        "recurrence_gain",
    )

    name: Literal["leaky_cnn"] = "leaky_cnn"
    leak_rate: float | None = Field(default=None, ge=SMALLEST, le=1)
    """r, the share of the state that is replaced in one step; default 1 - exp(-2 pi num_cycles / T), which has the time
    constant 1 / omega of the oscillator to compare with."""
    num_cycles: float = Field(default=1.0, ge=SMALLEST, le=LARGEST)
    """Cycles within T steps of the oscillator to compare with."""
    damping_ratio: float = Field(default=0.1, ge=0, le=LARGEST)
    """damping / omega of the oscillator to compare with."""
    constant_drive_gain: float | None = Field(default=None, ge=SMALLEST, le=LARGEST)
    """c_T; the default is that of the oscillator to compare with."""
    dc_gain: float | None = Field(default=None, ge=SMALLEST, le=LARGEST)
    """G, the steady state under a constant unit force. Give it instead of constant_drive_gain."""

    @model_validator(mode="after")
    def _one_gain(self) -> "LeakyCnnParameters":
        refuse_tiny(damping_ratio=self.damping_ratio)
        if self.constant_drive_gain is not None and self.dc_gain is not None:
            raise ValueError("give constant_drive_gain or dc_gain, not both")
        return self

    def resolved_leak_rate(self) -> float:
        """Return r: the given one, or that of the oscillator's time scale."""
        if self.leak_rate is not None:
            return self.leak_rate
        return 1 - math.exp(-2 * math.pi * self.num_cycles / self.timesteps)

    def resolved_dc_gain(self) -> float:
        """Return G: the given one, or the one that gives the required c_T."""
        if self.dc_gain is not None:
            return self.dc_gain
        gain = self.constant_drive_gain
        if gain is None:
            gain = reference_gain(self.timesteps, self.readout, self.num_cycles, self.damping_ratio)
        return gain / self._unit_gain()

    def derived(self, task: Task) -> dict[str, Value]:
        """Return the timesteps, r, G and c_T."""
        dc_gain = self.resolved_dc_gain()
        return {
            "timesteps": self.timesteps,
            "leak_rate": self.resolved_leak_rate(),
            "dc_gain": dc_gain,
            "constant_drive_gain": dc_gain * self._unit_gain(),
        }

    def problems(self, task: Task) -> list[str]:
        """Return a problem if the last stage has no pixel, or there is no gain to match."""
        problems = super().problems(task)
        if not 0 < self.resolved_dc_gain() < math.inf:
            problems.append(
                f"num_cycles: {self.num_cycles:g} within {self.timesteps} timesteps: the oscillator to compare "
                "with does not follow a constant drive; give fewer num_cycles, or constant_drive_gain"
            )
        return problems

    def _unit_gain(self) -> float:
        return read_out(leaky_step_response(self.resolved_leak_rate(), self.timesteps), self.readout)

    def _unit_elementwise(self) -> int:
        """Return 2 for tanh as a shifted sigmoid, and 2 for the leak."""
        return 4
