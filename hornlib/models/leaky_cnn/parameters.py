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
    """The graph of horn_cnn with a leaky-tanh unit in the oscillator's place: recurrence without oscillation.

    u = norm(conv3x3(input));  x <- (1 - r) x + r G tanh(u + kappa K * x);  the stage's output is mean_t x.

    Matched gain: c_T, what is read of T steps under a constant drive over tanh(u), is the arm's gain at the
    start of training, and a larger gain alone looks like a larger learning rate. So r and G follow, unless
    given, from the oscillator to be compared with (`num_cycles`, `damping_ratio`, unit DC gain, symplectic
    Euler): r gives both the same time scale, G the same c_T at the same T and read-out. An entry that repeats
    horn_cnn's `timesteps`, `readout` and `num_cycles` is therefore its matched twin; of an oscillator with
    other constants, repeat its derived `constant_drive_gain`. At equal num_nodes the trained numbers are as
    many as horn_cnn's.
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
    """r, the share of the state that is replaced in a step; default 1 - exp(-2 pi num_cycles / T), the time
    constant 1 / omega of the oscillator to be compared with."""
    num_cycles: float = Field(default=1.0, ge=SMALLEST, le=LARGEST)
    """Cycles within T steps of the oscillator to be compared with."""
    damping_ratio: float = Field(default=0.1, ge=0, le=LARGEST)
    """damping / omega of the oscillator to be compared with."""
    constant_drive_gain: float | None = Field(default=None, ge=SMALLEST, le=LARGEST)
    """c_T, wanted as a number; default that of the oscillator to be compared with."""
    dc_gain: float | None = Field(default=None, ge=SMALLEST, le=LARGEST)
    """G, the steady state under a constant unit force, given directly; instead of constant_drive_gain."""

    @model_validator(mode="after")
    def _one_gain(self) -> "LeakyCnnParameters":
        refuse_tiny(damping_ratio=self.damping_ratio)
        if self.constant_drive_gain is not None and self.dc_gain is not None:
            raise ValueError("give constant_drive_gain or dc_gain, not both")
        return self

    def resolved_leak_rate(self) -> float:
        """Return r, given or from the oscillator's time scale."""
        if self.leak_rate is not None:
            return self.leak_rate
        return 1 - math.exp(-2 * math.pi * self.num_cycles / self.timesteps)

    def resolved_dc_gain(self) -> float:
        """Return G, given or such that c_T is the wanted one."""
        if self.dc_gain is not None:
            return self.dc_gain
        wanted = self.constant_drive_gain
        if wanted is None:
            wanted = reference_gain(self.timesteps, self.readout, self.num_cycles, self.damping_ratio)
        return wanted / self._unit_gain()

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
        """Say when no pixel is left for the last stage, or there is no gain to be matched."""
        found = super().problems(task)
        if not 0 < self.resolved_dc_gain() < math.inf:
            found.append(
                f"num_cycles: {self.num_cycles:g} within {self.timesteps} timesteps: the oscillator to be compared "
                "with does not follow a constant drive; give fewer num_cycles, or constant_drive_gain"
            )
        return found

    def _unit_gain(self) -> float:
        return read_out(leaky_step_response(self.resolved_leak_rate(), self.timesteps), self.readout)

    def _unit_elementwise(self) -> int:
        """Count tanh (2, as a shifted sigmoid) and the leak (2)."""
        return 4
