"""Summary statistics of the states of a layer at each time step."""

import torch
from torch import Tensor

from hornlib.dynamics.oscillator import OscillatorState, step
from hornlib.dynamics.probes.units import Oscillators

__all__ = [
    "SATURATED",
    "bound_share",
    "energy",
    "gradient_norm",
    "largest_displacement",
    "magnitude",
    "participation_ratio",
    "root_mean_square",
    "saturation",
]

SATURATED = 2.0
"""A unit is saturated if its |pre-activation| is larger: tanh' is then below 0.07."""


def root_mean_square(states: Tensor) -> Tensor:
    """Return the root mean square over examples and units, (T,), of (T, batch, *units)."""
    return states.square().mean(_all_but_time(states)).sqrt()


def magnitude(activations: Tensor) -> Tensor:
    """Return the mean absolute value over examples and units, (T,), of (T, batch, *units)."""
    return activations.abs().mean(_all_but_time(activations))


def saturation(arguments: Tensor) -> Tensor:
    """Return the share of pre-activations beyond +-2, (T,), of (T, batch, *units)."""
    beyond = (arguments.abs() > SATURATED).to(arguments.dtype)
    return beyond.mean(_all_but_time(arguments))


def energy(position: Tensor, velocity: Tensor, omega: Tensor) -> Tensor:
    """Return (y^2 + omega^2 x^2) / 2 of an oscillator, the mean over examples and units, (T,).

    Args:
        position: x, (T, batch, *units).
        velocity: y, of the same shape.
        omega: natural angular frequency, broadcast to (*units,).
    """
    twice = velocity.square() + (omega * position).square()
    return twice.mean(_all_but_time(twice)) / 2


def bound_share(position: Tensor, bound: Tensor) -> Tensor:
    """Return max |x| / bound over examples and units, (T,).

    Args:
        position: x, (T, batch, *units).
        bound: of |x|, such as `largest_displacement`; broadcast to (*units,).
    """
    return (position.abs() / bound).amax(_all_but_time(position))


def largest_displacement(unit: Oscillators, timesteps: int) -> Tensor:
    """Return the largest |x_t|, t <= T, that any force within [-1, 1] reaches from rest.

    It is the sum of |r_t|, where r is the response to a force of 1 in the first step and 0 later. This holds for any
    damping, integrator and stability. `hornlib.dynamics.gain.largest_displacement` is the same for numbers.

    Args:
        unit: the oscillators; their recurrence is not used.
        timesteps: T, the number of steps.

    Returns:
        Of the shape of the constants, (nodes,) or (channels, 1, 1).
    """
    force = torch.ones_like(unit.coefficients.force)
    state = OscillatorState(torch.zeros_like(force), torch.zeros_like(force))
    total = torch.zeros_like(force)
    for _ in range(timesteps):
        state = step(state, force, unit.coefficients, unit.integration_step, unit.integrator)
        total = total + state.x.abs()
        force = torch.zeros_like(force)
    return total


def participation_ratio(states: Tensor) -> Tensor:
    """Return (sum of l)^2 / sum of l^2, l the eigenvalues of the covariance of the states, (T,).

    This is the number of directions that the states use: 1 if they lie on a line, n if they spread equally over all n
    units. It is computed as (trace C)^2 / |C|_F^2, without eigenvalues. For maps the channels are the units, and every
    pixel of every example is a sample. NaN where nothing varies.

    Args:
        states: (T, batch, nodes) or (T, batch, channels, height, width).

    Reference:
        Gao and Ganguli, On simplicity and complexity in the brave new world of large-scale neuroscience, 2015.
    """
    samples = states.movedim(2, -1).flatten(1, -2)
    centred = samples - samples.mean(1, keepdim=True)
    covariance = centred.mT @ centred
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    return trace.square() / covariance.square().sum((-2, -1))


def gradient_norm(gradients: Tensor) -> Tensor:
    """Return the mean over examples of the length of the gradient, (...,), of gradients (..., batch, units)."""
    return torch.linalg.vector_norm(gradients, dim=-1).mean(-1)


def _all_but_time(states: Tensor) -> tuple[int, ...]:
    """Return the axes of examples and units. Flattening them would copy maps that are stored channels last."""
    return tuple(range(1, states.dim()))
