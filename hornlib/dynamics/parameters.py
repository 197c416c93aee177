"""Parameters of a driven harmonic oscillator, shared by all models that are made of oscillators; free of torch."""

import math
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from hornlib.parameters import Parameters

__all__ = [
    "LARGEST",
    "OSCILLATOR_CONSTANTS",
    "SMALLEST",
    "Integrator",
    "Oscillator",
    "OscillatorParameters",
    "refuse_tiny",
]

Integrator = Literal["symplectic_euler", "explicit_euler", "implicit_damping"]

SMALLEST, LARGEST = 1e-6, 1e6
"""Bounds of every constant. Beyond them squares and quotients leave the range of float32."""

OSCILLATOR_CONSTANTS = (
    "omega",
    "num_cycles",
    "damping",
    "damping_ratio",
    "alpha",
    "dc_gain",
    "integration_step",
    "heterogeneity",
)
"""Parameters that set nothing but the values of the oscillators' constants. Lanes may differ in them."""


class Oscillator(NamedTuple):
    """Constants of x'' + 2 damping x' + omega^2 x = alpha tanh(drive), integrated with step h.

    Attributes:
        omega: natural angular frequency, radians / unit of time.
        damping: HORN's gamma, 1 / unit of time.
        alpha: excitability, the largest force.
        integration_step: h, units of time.
    """

    omega: float
    damping: float
    alpha: float
    integration_step: float

    def num_cycles(self, timesteps: int) -> float:
        """Return the cycles within T = `timesteps` steps: omega h T / (2 pi)."""
        return self.omega * self.integration_step * timesteps / (2 * math.pi)

    @property
    def damping_ratio(self) -> float:
        """zeta = damping / omega; below 1 the free oscillator rings."""
        return self.damping / self.omega

    @property
    def dc_gain(self) -> float:
        """Displacement under a constant unit force: alpha / omega^2."""
        return self.alpha / self.omega**2


class OscillatorParameters(Parameters):
    """omega, damping and alpha: each is given directly, relative to the task, or by the preset.

    Give `omega` or `num_cycles` (omega = 2 pi num_cycles / (h T)); `damping` or `damping_ratio`
    (damping = damping_ratio omega); `alpha` or `dc_gain` (alpha = dc_gain omega^2). A constant that is not given comes
    from `preset`. "public" has the constants of the public HORN code: omega = 2 pi/28, damping = 0.01, alpha = 0.04.
    "unit_gain" has num_cycles = 1, damping_ratio = 0.1, dc_gain = 1.
    """

    preset: Literal["public", "unit_gain"] = "unit_gain"
    """Where the constants that are not given come from."""
    omega: float | None = Field(default=None, ge=SMALLEST, le=LARGEST)
    """Natural angular frequency, radians / unit of time."""
    num_cycles: float | None = Field(default=None, ge=SMALLEST, le=LARGEST)
    """Cycles of the oscillator within the horizon h T. Give it instead of omega."""
    damping: float | None = Field(default=None, ge=0, le=LARGEST)
    """HORN's gamma in x'' + 2 damping x' + ..., 1 / unit of time."""
    damping_ratio: float | None = Field(default=None, ge=0, le=LARGEST)
    """damping / omega: below 1 underdamped, above 1 overdamped. Give it instead of damping."""
    alpha: float | None = Field(default=None, ge=SMALLEST, le=LARGEST)
    """Excitability: the largest force on a node."""
    dc_gain: float | None = Field(default=None, ge=SMALLEST, le=LARGEST)
    """alpha / omega^2, the displacement under a constant unit force. Give it instead of alpha."""
    integration_step: float = Field(default=1.0, ge=SMALLEST, le=LARGEST)
    """h, the time step of the integrator, units of time."""
    integrator: Integrator = "symplectic_euler"
    """The update rule; symplectic_euler is HORN's."""
    heterogeneity: float = Field(default=0.0, ge=0, le=4)
    """Spread of the constants over nodes: factors within [2^-heterogeneity, 2^heterogeneity]; 0 is homogeneous."""
    heterogeneity_draw: Literal["log_uniform", "uniform"] = "log_uniform"
    """log_uniform: omega_i is log-uniform, damping_i ~ omega_i, alpha_i ~ omega_i^2, so that damping ratio and DC gain
    are equal. uniform: omega_i and damping_i are uniform, alpha is constant; this is the public code's draw, and it
    shifts the means."""
    recurrence_on: Literal["velocity", "position"] = "velocity"
    """The state that the recurrent weights read."""
    oscillator_training: Literal["fixed", "learned"] = "fixed"
    """Whether omega, damping and alpha are fixed, as in HORN, or learned in log space."""

    @model_validator(mode="after")
    def _one_way_each(self) -> "OscillatorParameters":
        for direct, relative in (("omega", "num_cycles"), ("damping", "damping_ratio"), ("alpha", "dc_gain")):
            if getattr(self, direct) is not None and getattr(self, relative) is not None:
                raise ValueError(f"give {direct} or {relative}, not both")
        refuse_tiny(damping=self.damping, damping_ratio=self.damping_ratio)
        if self.oscillator_training == "learned" and (self.damping == 0 or self.damping_ratio == 0):
            raise ValueError("oscillator_training: learned works in log space and needs a damping above 0")
        return self

    def oscillator(self, timesteps: int) -> Oscillator:
        """Return the homogeneous constants for a horizon of `timesteps` steps."""
        h = self.integration_step
        if self.omega is not None:
            omega = self.omega
        elif self.num_cycles is not None or self.preset == "unit_gain":
            omega = 2 * math.pi * (1.0 if self.num_cycles is None else self.num_cycles) / (h * timesteps)
        else:
            omega = 2 * math.pi / 28
        if self.damping is not None:
            damping = self.damping
        elif self.damping_ratio is not None or self.preset == "unit_gain":
            damping = (0.1 if self.damping_ratio is None else self.damping_ratio) * omega
        else:
            damping = 0.01
        if self.alpha is not None:
            alpha = self.alpha
        elif self.dc_gain is not None or self.preset == "unit_gain":
            alpha = (1.0 if self.dc_gain is None else self.dc_gain) * omega**2
        else:
            alpha = 0.04
        return Oscillator(omega, damping, alpha, h)

    def oscillator_derived(self, timesteps: int) -> dict[str, float]:
        """Return the constants and their dimensionless forms, which readers compare across presets."""
        oscillator = self.oscillator(timesteps)
        return {
            "omega": oscillator.omega,
            "damping": oscillator.damping,
            "alpha": oscillator.alpha,
            "num_cycles": oscillator.num_cycles(timesteps),
            "damping_ratio": oscillator.damping_ratio,
            "dc_gain": oscillator.dc_gain,
        }


def refuse_tiny(**constants: float | None) -> None:
    """Refuse a constant between 0, which is allowed, and `SMALLEST`.

    Raises:
        ValueError: naming the constant.
    """
    for name, value in constants.items():
        if value is not None and 0 < value < SMALLEST:
            raise ValueError(f"{name}: got {value}; give 0, or at least {SMALLEST:g}")
