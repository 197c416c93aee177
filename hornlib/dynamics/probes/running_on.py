"""Continuation beyond the last time step under a constant drive: finite-time Lyapunov exponent, phases, spectra."""

from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.dynamics.probes.units import States, Unit

__all__ = ["RunOn", "dominant_frequency", "phase_coherence", "power_spectrum", "run_on"]

_RENORMALISE = 8
"""Steps between two renormalisations; few enough that no offset leaves the range of float32."""

_ALIGNING = 4
"""The first 1 / so many of the steps let the offset turn into the direction that grows fastest."""


class RunOn(NamedTuple):
    """States beyond the last time step, and how fast neighbouring states diverge.

    Attributes:
        states: parts of the state after every step, (steps, batch, *units) each.
        exponent: the largest finite-time Lyapunov exponent, 1 / step, mean over examples.
    """

    states: States
    exponent: Tensor


def run_on(unit: Unit, drive: Tensor, state: States, direction: States, steps: int) -> RunOn:
    """Advance a state under a constant drive, and an infinitesimal offset with it.

    The exponent is (1 / n) ln(d_n / d_0) over the n steps after the first quarter, where d is the length of the offset.
    The offset is rescaled to length 1 every 8 steps. Each part of the state is multiplied by the unit's weight, so that
    the squared length of an oscillator's offset is twice its energy. The exponent is -inf where a step does not depend
    on the state.

    Args:
        unit: the update rule.
        drive: (batch, *), the same at every step.
        state: the initial state, (batch, *units) for each part.
        direction: of the first offset, (batch, *units) for each part; its length does not matter.
        steps: number of steps, 16 or more.

    Reference:
        Benettin, Galgani, Giorgilli and Strelcyn, Meccanica 15 (1980).
    """
    weights, aligned = unit.weights_of_parts(), steps // _ALIGNING
    offset, _ = _normalised(direction, weights)
    states, growths = [], []
    for t in range(1, steps + 1):
        after = unit.advance(drive, state)
        offset = unit.tangent(drive, state, after, offset)
        state = after.state
        states.append(state)
        if t in (aligned, steps) or (t - aligned) % _RENORMALISE == 0:
            offset, length = _normalised(offset, weights)
            if t > aligned:
                growths.append(torch.log(length))
    return RunOn(
        tuple(torch.stack(part) for part in zip(*states, strict=True)),
        (torch.stack(growths).sum(0) / (steps - aligned)).mean(),
    )


def _normalised(offset: States, weights: tuple[Tensor | float, ...]) -> tuple[States, Tensor]:
    """Return the offset scaled to length 1, and its length before, (batch,). An offset of 0 stays 0."""
    squares = [
        (weight * part).flatten(1).square().sum(1) for weight, part in zip(weights, offset, strict=True)
    ]
    length = torch.stack(squares).sum(0).sqrt()
    factor = torch.where(length > 0, 1 / length, torch.zeros_like(length))
    shape = (-1,) + (1,) * (offset[0].dim() - 1)
    return tuple(factor.view(shape) * part for part in offset), length


def phase_coherence(position: Tensor, velocity: Tensor, omega: Tensor) -> Tensor:
    """Return Kuramoto's order parameter over units, r_t = |(1 / N) sum_j exp(i phi_j(t))|, mean over examples, (S,).

    phi_j is the angle of (x_j - its mean over time, y_j / omega_j). r = 1 if all units are in phase; N independent
    phases give about 0.9 / sqrt(N). A unit at rest has no phase and is omitted.

    Args:
        position: x, (S, batch, *units).
        velocity: y, of the same shape.
        omega: natural angular frequency, broadcast to (*units,).

    Reference:
        Kuramoto, Chemical Oscillations, Waves, and Turbulence, Springer 1984, section 5.4.
    """
    across = (position - position.mean(0)).flatten(2)
    along = (velocity / omega).flatten(2)
    amplitude = torch.hypot(across, along)
    moving = amplitude > 0
    divisor = torch.where(moving, amplitude, torch.ones_like(amplitude))
    sums = torch.hypot((across / divisor).sum(2), (along / divisor).sum(2))
    return (sums / moving.sum(2)).mean(1)


def power_spectrum(series: Tensor) -> Tensor:
    """Return the power at k / S cycles per step, k = 0 .. S/2, mean over examples and units, (S // 2 + 1,).

    The one-sided periodogram of x - mean under Hann's window w: 2 |sum_t w_t x_t exp(-2 pi i k t / S)|^2 /
    (sum w)^2, so that a sine of amplitude A has the power A^2 / 2 at its frequency.

    Args:
        series: (S, batch, *units).
    """
    length = series.shape[0]
    window = torch.hann_window(length, dtype=series.dtype, device=series.device)
    flat = series.flatten(1)
    spectrum = torch.fft.rfft(window.unsqueeze(1) * (flat - flat.mean(0)), dim=0)
    power = (spectrum.real.square() + spectrum.imag.square()).mean(1) / window.sum().square()
    twice = torch.full_like(power, 2.0)
    twice[0] = 1.0
    if length % 2 == 0:
        twice[-1] = 1.0
    return twice * power


def dominant_frequency(power: Tensor, length: int) -> Tensor:
    """Return the frequency above 0 with the most power, (), cycles per step; NaN where nothing moves.

    Args:
        power: power at 0, 1, ... cycles per `length` steps, (frequencies,), as of `power_spectrum`.
        length: S, steps of the series.
    """
    frequency = (power[1:].argmax() + 1) / length
    return torch.where(power[1:].amax() > 0, frequency, torch.full_like(frequency, torch.nan))
