"""Free oscillators run step by step, many at once: what growth is seen, and how exactly they are integrated."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hornlib.dynamics.oscillator import Constants, State, coefficients, step
from hornlib.dynamics.parameters import Integrator
from hornlib.randomness import generator

__all__ = ["Agreement", "agreement", "growth_rate", "random_cells"]

NUM_STEPS = 4096
"""Steps of a simulation; growth is seen over the second half, so that transients have passed."""

RENORMALISED_EVERY = 16
"""Steps between two divisions by the state's norm: few enough that no float64 leaves its range."""

DECISIVE = math.log(100.0)
"""Change of ln norm over the second half below which a simulation decides nothing."""


class Agreement(NamedTuple):
    """How simulation and prediction compare over some oscillators.

    Attributes:
        num_decided: those whose norm changed by a factor of at least 100 in the second half.
        num_undecided: those too near the border for a simulation of this length.
        num_mismatches: those of the decided that grew and were predicted to die out, or the reverse.
    """

    num_decided: int
    num_undecided: int
    num_mismatches: int


def growth_rate(
    omega_h: np.ndarray, damping_h: np.ndarray, integrator: Integrator, num_steps: int = NUM_STEPS
) -> np.ndarray:
    """Return ln of the factor a step by which the free oscillator's state grows, measured in float64.

    From a random state the update rule of the networks is applied `num_steps` times without a drive; the rate
    is the change of ln sqrt(x^2 + y^2) over the second half, divided by its steps.

    Args:
        omega_h: omega times the integration step, any shape.
        damping_h: damping times the integration step, of the same shape.
        integrator: the update rule.
        num_steps: steps, an even multiple of 16.
    """
    omega, damping = (torch.from_numpy(np.asarray(values, float)) for values in (omega_h, damping_h))
    factors = coefficients(Constants(omega, damping, torch.zeros_like(omega)), 1.0, integrator)
    draws = generator("free oscillators")
    state = State(*(torch.randn(omega.shape, generator=draws, dtype=torch.float64) for _ in range(2)))
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


def _normalised(state: State) -> tuple[State, Tensor]:
    """Return the state divided by its norm, and ln of the norm; a state of zeros stays as it is."""
    norm = torch.hypot(state.x, state.y).clamp_min(1e-300)
    return State(state.x / norm, state.y / norm), norm.log()


def agreement(stable: np.ndarray, rate: np.ndarray, num_steps: int = NUM_STEPS) -> Agreement:
    """Compare predictions with measured growth.

    Args:
        stable: bool, what was predicted.
        rate: from `growth_rate`, of the same shape.
        num_steps: as given to `growth_rate`.
    """
    decided = np.abs(rate) * (num_steps - num_steps // 2) >= DECISIVE
    wrong = decided & (stable != (rate < 0))
    return Agreement(int(decided.sum()), int((~decided).sum()), int(wrong.sum()))


def random_cells(number: int, part: str = "random cells") -> tuple[np.ndarray, np.ndarray]:
    """Return omega h uniform on (0, 3) and damping h uniform on (0, 1.5), `number` of each.

    Args:
        number: how many.
        part: names the draw; the same name gives the same cells.
    """
    draws = generator(part)
    uniform = [torch.rand(number, generator=draws, dtype=torch.float64).numpy() for _ in range(2)]
    return 3 * uniform[0], 1.5 * uniform[1]
