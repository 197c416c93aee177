"""Response of recurrent units to a constant drive, and their largest response to any drive; free of torch."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from hornlib.dynamics.parameters import Integrator, Oscillator, OscillatorParameters

__all__ = [
    "TimeReadout",
    "constant_drive_gain",
    "largest_displacement",
    "leaky_step_response",
    "read_out",
    "reference_gain",
    "step_response",
]

TimeReadout = Literal["mean", "last", "rms"]
"""What is read of the states x_1 .. x_T: their mean, the last one, or their root mean square."""


def step_response(oscillator: Oscillator, integrator: Integrator, timesteps: int) -> list[float]:
    """Return x_1 .. x_T of an oscillator that starts at rest under a constant unit force; inf beyond a float's range.

    The update rule itself is iterated: y <- c y - k x + g, x <- x + h y (explicit Euler uses the previous y), with c, k
    and g of `hornlib.dynamics.oscillator.coefficients`. The closed form (alpha / omega^2) (1 - (M^t)_xx), where M is
    the unforced step, loses all digits of a slow oscillator, since (M^t)_xx is nearly 1. The force is applied after the
    tanh: under a constant drive u, x_t is this number times tanh(u).

    Args:
        oscillator: the constants; the drive's gain at rest is alpha / omega^2, and h^2 alpha after one step.
        integrator: the update rule.
        timesteps: T, the number of steps.
    """
    omega, damping, alpha, h = oscillator
    divisor = 1 + 2 * h * damping if integrator == "implicit_damping" else 1.0
    carry = 1 / divisor if integrator == "implicit_damping" else 1 - 2 * h * damping
    spring, force = h * omega**2 / divisor, h * alpha / divisor
    x = y = 0.0
    response = []
    for _ in range(timesteps):
        velocity_before = y
        y = carry * y - spring * x + force
        x += h * (velocity_before if integrator == "explicit_euler" else y)
        response.append(x)
    return [
        x if math.isfinite(x) else math.inf for x in response
    ]  # an unstable oscillator reaches inf - inf = nan


def largest_displacement(oscillator: Oscillator, integrator: Integrator, timesteps: int) -> float:
    """Return the largest |x_t|, t <= T, to which any force within [-1, 1] drives an oscillator at rest.

    It is the sum of |x_t - x_{t-1}| over the step response. These differences are the impulse response r. A force f
    moves x_T to the sum of r_t f_{T+1-t}, and f_{T+1-t} = sign r_t moves it furthest. For small h and long horizons the
    sum approaches (alpha / omega^2) coth(pi zeta / (2 sqrt(1 - zeta^2))) for a damping ratio zeta below 1, and
    alpha / omega^2 for zeta >= 1; at light damping the former is (4 / pi) alpha / (2 damping omega).

    Args:
        oscillator: the constants.
        integrator: the update rule.
        timesteps: T, the number of steps.
    """
    response = [0.0, *step_response(oscillator, integrator, timesteps)]
    if not math.isfinite(sum(response)):
        return math.inf
    return math.fsum(abs(after - before) for before, after in pairwise(response))


def leaky_step_response(leak_rate: float, timesteps: int) -> list[float]:
    """Return x_1 .. x_T of the leaky unit x <- (1 - r) x + r f at f = 1, from rest: 1 - (1 - r)^t.

    Args:
        leak_rate: r, share of the state that is replaced in a step.
        timesteps: T, the number of steps.
    """
    x, response = 0.0, []
    for _ in range(timesteps):
        x += leak_rate * (1 - x)
        response.append(x)
    return response


def read_out(response: Sequence[float], readout: TimeReadout) -> float:
    """Return what is read of a response.

    Args:
        response: x_1 .. x_T.
        readout: their mean, the last one, or their root mean square.
    """
    if readout == "last":
        return response[-1]
    if readout == "rms":
        return math.sqrt(_mean([x * x for x in response]))
    return _mean(response)


def constant_drive_gain(
    oscillator: Oscillator, integrator: Integrator, timesteps: int, readout: TimeReadout = "mean"
) -> float:
    """Return c_T: without recurrence, what is read of T steps under a constant drive u is c_T tanh(u).

    An oscillator stage without recurrent weights is therefore a tanh layer of this gain. With the public constants,
    the mean and T = 8 it is 0.477.

    Args:
        oscillator: the constants.
        integrator: the update rule.
        timesteps: T, the number of steps.
        readout: what is read of the T states.
    """
    return read_out(step_response(oscillator, integrator, timesteps), readout)


def reference_gain(
    timesteps: int, readout: TimeReadout = "mean", num_cycles: float = 1.0, damping_ratio: float = 0.1
) -> float:
    """Return c_T of the oscillator of the preset `unit_gain`. Arms of equal gain are matched to it.

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
