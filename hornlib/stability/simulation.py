"""Simulation of many free oscillators: their growth, and its agreement with predictions."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hornlib.dynamics.oscillator import Constants, OscillatorState, coefficients, step
from hornlib.dynamics.parameters import Integrator
from hornlib.randomness import generator

__all__ = ["Agreement", "agreement", "growth_rate", "random_cells"]

NUM_STEPS = 4096
"""Steps of a simulation; growth is measured over the second half, after transients."""

RENORMALISED_EVERY = 16
"""Steps between two divisions by the norm of the state; so few that no float64 overflows."""

DECISIVE = math.log(100.0)
"""Least change of ln norm over the second half with which a simulation decides."""


class Agreement(NamedTuple):
    """Numbers of oscillators by the agreement of simulation and prediction.

    Attributes:
        num_decided: the norm changed by a factor of at least 100 in the second half.
        num_undecided: the oscillator is too near the border for a simulation of this length.
        num_mismatches: decided ones that grew although the prediction was decay, or the reverse.
    """

    num_decided: int
    num_undecided: int
    num_mismatches: int


def growth_rate(
    omega_h: np.ndarray, damping_h: np.ndarray, integrator: Integrator, num_steps: int = NUM_STEPS
) -> np.ndarray:
    """Return the growth rate of the free oscillator's state, per step: the mean change of ln sqrt(x^2 + y^2).

    The update rule of the networks is applied `num_steps` times to a random state in float64, without a drive. The rate
    is measured over the second half of the steps.

    Args:
        omega_h: omega times the integration step, of any shape, such as (damping_h, omega_h).
        damping_h: damping times the integration step, of the same shape.
        integrator: the update rule.
        num_steps: number of steps, an even multiple of 16.

    Returns:
        float64, of the shape of the inputs.
    """
    omega, damping = (torch.from_numpy(np.asarray(values, float)) for values in (omega_h, damping_h))
    factors = coefficients(Constants(omega, damping, torch.zeros_like(omega)), 1.0, integrator)
    draws = generator("free oscillators")
    state = OscillatorState(
        *(torch.randn(omega.shape, generator=draws, dtype=torch.float64) for _ in range(2))
    )
    still = torch.zeros_like(omega)
    log_norm = torch.zeros_like(omega)
    at_half = log_norm
    for done in range(1, num_steps + 1):
        state = step(state, still, factors, 1.0, integrator)
        if done % RENORMALISED_EVERY == 0:
            state, grown = _normalised(state)
            log_norm = log_norm + grown
        if done == num_steps // 2:
            at_half = log_norm
    return ((log_norm - at_half) / (num_steps - num_steps // 2)).numpy()


def _normalised(state: OscillatorState) -> tuple[OscillatorState, Tensor]:
    """Return the state divided by its norm, and ln of the norm; a state of zeros stays zero."""
    norm = torch.hypot(state.x, state.y).clamp_min(1e-300)
    return OscillatorState(state.x / norm, state.y / norm), norm.log()


def agreement(stable: np.ndarray, rate: np.ndarray, num_steps: int = NUM_STEPS) -> Agreement:
    """Compare predictions with measured growth.

    Args:
        stable: bool, the prediction, of any shape, such as (damping_h, omega_h).
        rate: from `growth_rate`, per step, of the same shape.
        num_steps: as given to `growth_rate`.
    """
    decided = np.abs(rate) * (num_steps - num_steps // 2) >= DECISIVE
    wrong = decided & (stable != (rate < 0))
    return Agreement(int(decided.sum()), int((~decided).sum()), int(wrong.sum()))


def random_cells(number: int, part: str = "random cells") -> tuple[np.ndarray, np.ndarray]:
    """Return omega h, uniform on (0, 3), and damping h, uniform on (0, 1.5), each (number,).

    Args:
        number: number of random oscillators.
        part: name of the random draw; the same name gives the same values.
    """
    draws = generator(part)
    uniform = [torch.rand(number, generator=draws, dtype=torch.float64).numpy() for _ in range(2)]
    return 3 * uniform[0], 1.5 * uniform[1]
