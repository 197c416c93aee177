"""Predictions of an oscillator's behaviour before training, from the eigenvalues of its step; free of torch."""

import math
from itertools import product
from typing import NamedTuple

from hornlib.dynamics.gain import largest_displacement
from hornlib.dynamics.parameters import Integrator, Oscillator, OscillatorParameters

__all__ = [
    "Prediction",
    "is_oscillatory",
    "is_sign_flipping",
    "is_stable",
    "predict",
    "spectral_radius",
    "warnings",
]


class Prediction(NamedTuple):
    """Predictions from an oscillator's constants, its integrator and the number of steps.

    Attributes:
        stable: whether the free oscillator decays; False in the marginal, undamped case.
        oscillatory: whether it rings (a complex pair of eigenvalues).
        sign_flipping: whether it changes sign at every step, an artefact of a large integration step.
        spectral_radius: rho, the factor of its slowest mode in one step.
        time_constant: -1 / ln rho, steps; infinite if it does not decay.
        num_cycles: cycles within the horizon, omega h T / (2 pi).
        damping_ratio: damping / omega.
        dc_gain: alpha / omega^2, displacement under a constant unit force.
        resonance_gain: alpha / (2 damping omega), amplitude under a unit sine at resonance; inf if undamped.
        bound: the largest displacement that any force within [-1, 1] reaches from rest within the horizon.
        gradient_proxy: factor by which a gradient shrinks over the horizon: (1 - 2 damping h)^(T / 2) where
            the symplectic step oscillates, else rho^T.
    """

    stable: bool
    oscillatory: bool
    sign_flipping: bool
    spectral_radius: float
    time_constant: float
    num_cycles: float
    damping_ratio: float
    dc_gain: float
    resonance_gain: float
    bound: float
    gradient_proxy: float


def is_stable(omega: float, damping: float, integration_step: float, integrator: Integrator) -> bool:
    """Return whether the free oscillator decays: both eigenvalues of its step lie within the unit circle.

    With w = omega, g = damping, h the step: symplectic_euler 0 < g h < 1 and (w h)^2 < 4 (1 - g h);
    implicit_damping 0 < g and (w h)^2 < 4 (1 + g h); explicit_euler 0 < g and, if g < w, h < 2 g / w^2,
    else h < 2 / (g + sqrt(g^2 - w^2)).

    Args:
        omega: natural angular frequency, radians / unit of time.
        damping: HORN's gamma, 1 / unit of time.
        integration_step: h, units of time.
        integrator: the update rule.
    """
    square, damped = (omega * integration_step) ** 2, damping * integration_step
    if damping <= 0:
        return False
    if integrator == "symplectic_euler":
        return damped < 1 and square < 4 * (1 - damped)
    if integrator == "implicit_damping":
        return square < 4 * (1 + damped)
    if damping < omega:
        return integration_step < 2 * damping / omega**2
    return integration_step < 2 / (damping + math.sqrt(damping**2 - omega**2))


def is_oscillatory(omega: float, damping: float, integration_step: float, integrator: Integrator) -> bool:
    """Return whether the free oscillator rings: its step has a complex pair of eigenvalues.

    This holds if 0 < c and |1 - sqrt(c)| < s < 1 + sqrt(c), where c is the factor of the velocity in one step. With
    w = omega, g = damping: symplectic_euler has c = 1 - 2 g h and s = w h; implicit_damping has c = 1 / (1 + 2 g h) and
    s = w h sqrt(c). For explicit_euler the condition is g < w.

    Args:
        omega: natural angular frequency, radians / unit of time.
        damping: HORN's gamma, 1 / unit of time.
        integration_step: h, units of time.
        integrator: the update rule.
    """
    if integrator == "explicit_euler":
        return damping < omega
    carry, stiffness = _carry_and_stiffness(omega, damping, integration_step, integrator)
    return carry > 0 and abs(1 - math.sqrt(carry)) < math.sqrt(stiffness) < 1 + math.sqrt(carry)


def spectral_radius(omega: float, damping: float, integration_step: float, integrator: Integrator) -> float:
    """Return rho, the larger modulus of the roots of l^2 - trace l + determinant of the step.

    Args:
        omega: natural angular frequency, radians / unit of time.
        damping: HORN's gamma, 1 / unit of time.
        integration_step: h, units of time.
        integrator: the update rule.
    """
    trace, determinant = _invariants(omega, damping, integration_step, integrator)
    if is_oscillatory(omega, damping, integration_step, integrator):
        return math.sqrt(determinant)
    return abs(trace) / 2 + math.sqrt(max(trace**2 / 4 - determinant, 0.0))


def is_sign_flipping(omega: float, damping: float, integration_step: float, integrator: Integrator) -> bool:
    """Return whether the free oscillator finally changes sign at every step: its slowest mode is negative.

    Args:
        omega: natural angular frequency, radians / unit of time.
        damping: HORN's gamma, 1 / unit of time.
        integration_step: h, units of time.
        integrator: the update rule.
    """
    trace, _ = _invariants(omega, damping, integration_step, integrator)
    return trace < 0 and not is_oscillatory(omega, damping, integration_step, integrator)


def predict(oscillator: Oscillator, integrator: Integrator, timesteps: int) -> Prediction:
    """Return the predictions for a homogeneous network.

    Args:
        oscillator: its constants.
        integrator: the update rule.
        timesteps: T, steps of the horizon.
    """
    omega, damping, alpha, h = oscillator
    rho = spectral_radius(omega, damping, h, integrator)
    oscillatory = is_oscillatory(omega, damping, h, integrator)
    resonance_gain = alpha / (2 * damping * omega) if damping else math.inf
    symplectic_band = oscillatory and integrator == "symplectic_euler"
    return Prediction(
        stable=is_stable(omega, damping, h, integrator),
        oscillatory=oscillatory,
        sign_flipping=is_sign_flipping(omega, damping, h, integrator),
        spectral_radius=rho,
        time_constant=_time_constant(rho),
        num_cycles=oscillator.num_cycles(timesteps),
        damping_ratio=oscillator.damping_ratio,
        dc_gain=oscillator.dc_gain,
        resonance_gain=resonance_gain,
        bound=largest_displacement(oscillator, integrator, timesteps),
        gradient_proxy=_power(1 - 2 * damping * h, timesteps / 2)
        if symplectic_band
        else _power(rho, timesteps),
    )


def warnings(parameters: OscillatorParameters, timesteps: int) -> list[str]:
    """Return predictions of trouble, each one sentence with its numbers and the remedy; empty if none.

    For a heterogeneous draw the corners of the range of the draw are examined, and the worst one is reported. That is
    enough, since the stability conditions are monotonic along every edge.

    Args:
        parameters: the oscillators, as they are at the start of training.
        timesteps: T, steps of the horizon.
    """
    integrator = parameters.integrator
    corners = _corners(parameters, timesteps)
    radii = [spectral_radius(*corner, integrator) for corner in corners]
    worst = corners[radii.index(max(radii))]
    sentences = []
    if worst.damping == 0 and integrator != "explicit_euler" and worst.omega * worst.integration_step < 2:
        sentences.append("undamped: spectral radius 1, so that no state decays; give a damping above 0")
    elif not is_stable(*worst, integrator):
        sentences.append(_unstable(worst, integrator, timesteps))
    flipping = next((corner for corner in corners if is_sign_flipping(*corner, integrator)), None)
    if flipping is not None and is_stable(*flipping, integrator):
        sentences.append(
            f"sign-flipping: {_numbers(flipping)} changes sign at every step, an artefact of the integration "
            "step; lower integration_step or omega"
        )
    return sentences


class _Corner(NamedTuple):
    """An oscillator that a heterogeneous draw may make."""

    omega: float
    damping: float
    integration_step: float


def _corners(parameters: OscillatorParameters, timesteps: int) -> list[_Corner]:
    omega, damping, _, h = parameters.oscillator(timesteps)
    extremes = (2.0**-parameters.heterogeneity, 2.0**parameters.heterogeneity)
    together = parameters.heterogeneity_draw == "log_uniform"
    factors = zip(extremes, extremes, strict=True) if together else product(extremes, repeat=2)
    return [_Corner(omega * first, damping * second, h) for first, second in factors]


def _unstable(corner: _Corner, integrator: Integrator, timesteps: int) -> str:
    rho = spectral_radius(*corner, integrator)
    limit, remedy = "(omega h)^2 < 4 (1 - damping h)", "lower omega or integration_step"
    if integrator == "implicit_damping":
        limit = "(omega h)^2 < 4 (1 + damping h)"
    elif integrator == "explicit_euler":
        underdamped = corner.damping < corner.omega
        limit = "h < 2 damping / omega^2" if underdamped else "h < 2 / (damping + sqrt(damping^2 - omega^2))"
        remedy = "take integrator: symplectic_euler, or lower integration_step"
    elif corner.damping * corner.integration_step >= 1:
        limit, remedy = "damping h < 1", "lower damping or integration_step"
    growth = _power(rho, timesteps)
    over_horizon = f", a factor {growth:.2g} over {timesteps} steps" if math.isfinite(growth) else ""
    return f"unstable: {_numbers(corner)} violates {limit}; spectral radius {rho:.4g}{over_horizon}; {remedy}"


def _numbers(corner: _Corner) -> str:
    omega, damping, h = corner
    return f"omega h = {omega * h:.4g} with damping h = {damping * h:.4g}"


def _carry_and_stiffness(
    omega: float, damping: float, h: float, integrator: Integrator
) -> tuple[float, float]:
    """Return c and h k of the step y' = c y - k x."""
    if integrator == "implicit_damping":
        divisor = 1 + 2 * h * damping
        return 1 / divisor, (h * omega) ** 2 / divisor
    return 1 - 2 * h * damping, (h * omega) ** 2


def _invariants(omega: float, damping: float, h: float, integrator: Integrator) -> tuple[float, float]:
    """Return trace and determinant of the step on (x, y)."""
    carry, stiffness = _carry_and_stiffness(omega, damping, h, integrator)
    if integrator == "explicit_euler":
        return 1 + carry, carry + stiffness
    return 1 + carry - stiffness, carry


def _time_constant(rho: float) -> float:
    if rho == 0:
        return 0.0
    return -1 / math.log(rho) if rho < 1 else math.inf


def _power(base: float, exponent: float) -> float:
    """Return base^exponent, infinite where a float cannot hold it."""
    try:
        return base**exponent
    except OverflowError:
        return math.inf
