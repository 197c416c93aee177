"""Gains of recurrent units under a constant drive, in closed form; free of torch."""

import cmath
import math
from collections.abc import Sequence
from typing import Literal

from hornlib.dynamics.parameters import Integrator, Oscillator, OscillatorParameters

__all__ = [
    "TimeReadout",
    "constant_drive_gain",
    "leaky_step_response",
    "read_out",
    "reference_gain",
    "step_response",
]

TimeReadout = Literal["mean", "last", "rms"]
"""What is read of the states x_1 .. x_T: their mean, the last one, or their root mean square."""

_DEGENERATE = 1e-6


def step_response(oscillator: Oscillator, integrator: Integrator, timesteps: int) -> list[float]:
    """Return x_1 .. x_T of an oscillator at rest at t = 0 under a constant unit force; inf past any float.

    x_t = (alpha / omega^2) (1 - (M^t)_xx), where M is the unforced step on (x, y) and, by Cayley and
    Hamilton, M^t = q_t M - det(M) q_{t-1} I with q_t = (l1^t - l2^t) / (l1 - l2), l1 and l2 the eigenvalues
    of M. The force enters behind the tanh: under a constant drive u, x_t is this number times tanh(u).

    Args:
        oscillator: the constants; the drive's gain at rest is alpha / omega^2, and h^2 alpha after one step.
        integrator: the update rule.
        timesteps: T, the number of steps.
    """
    h = oscillator.integration_step
    carry, spring = 1 - 2 * h * oscillator.damping, h * oscillator.omega**2
    if integrator == "implicit_damping":
        divisor = 1 + 2 * h * oscillator.damping
        carry, spring = 1 / divisor, spring / divisor
    if integrator == "explicit_euler":
        stay, determinant = 1.0, carry + h * spring
    else:
        stay, determinant = 1 - h * spring, carry
    powers = [_divided_power(stay + carry, determinant, t) for t in range(timesteps + 1)]
    response = [
        oscillator.dc_gain * (1 - powers[t] * stay + determinant * powers[t - 1])
        for t in range(1, timesteps + 1)
    ]
    return [x if math.isfinite(x) else math.inf for x in response]  # far from stable, inf - inf is nan


def leaky_step_response(leak_rate: float, timesteps: int) -> list[float]:
    """Return x_t = 1 - (1 - r)^t, t = 1 .. T: the leaky unit x <- (1 - r) x + r f at f = 1, from rest."""
    return [1 - (1 - leak_rate) ** t for t in range(1, timesteps + 1)]


def read_out(response: Sequence[float], readout: TimeReadout) -> float:
    """Return the mean, the last or the root mean square of x_1 .. x_T."""
    if readout == "last":
        return response[-1]
    if readout == "rms":
        return math.sqrt(_mean([x * x for x in response]))
    return _mean(response)


def constant_drive_gain(
    oscillator: Oscillator, integrator: Integrator, timesteps: int, readout: TimeReadout = "mean"
) -> float:
    """Return c_T: what is read of T steps under a constant drive u is c_T tanh(u) when nothing recurs.

    An oscillator stage without recurrent weights is therefore a tanh layer of this gain. With the public
    constants, the mean and T = 8 it is 0.477.
    """
    return read_out(step_response(oscillator, integrator, timesteps), readout)


def reference_gain(
    timesteps: int, readout: TimeReadout = "mean", num_cycles: float = 1.0, damping_ratio: float = 0.1
) -> float:
    """Return c_T of the oscillator of the preset `unit_gain`: what arms of equal gain are matched to.

    Args:
        timesteps: T, the number of steps.
        readout: what is read of the T states.
        num_cycles: cycles of that oscillator within T steps.
        damping_ratio: its damping / omega.
    """
    reference = OscillatorParameters(preset="unit_gain", num_cycles=num_cycles, damping_ratio=damping_ratio)
    return constant_drive_gain(reference.oscillator(timesteps), reference.integrator, timesteps, readout)


def _mean(values: Sequence[float]) -> float:
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.inf


def _divided_power(trace: float, determinant: float, t: int) -> float:
    """Return (l1^t - l2^t) / (l1 - l2), the roots those of l^2 - trace l + determinant; its limit if they
    meet; infinite where a float cannot hold it."""
    root = cmath.sqrt(trace**2 / 4 - determinant)
    try:
        if abs(root) < _DEGENERATE:
            return t * (trace / 2) ** (t - 1) if t else 0.0
        return (((trace / 2 + root) ** t - (trace / 2 - root) ** t) / (2 * root)).real
    except OverflowError:
        return math.inf
