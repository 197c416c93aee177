"""Numbers that sum up the states of a layer at each time step."""

import math

import torch
from torch import Tensor

from hornlib.dynamics.oscillator import Constants

__all__ = [
    "SATURATED",
    "bound_share",
    "energy",
    "gradient_norm",
    "magnitude",
    "participation_ratio",
    "root_mean_square",
    "saturation",
]

SATURATED = 2.0
"""A unit whose |pre-activation| is larger is saturated: there tanh' is below 0.07."""


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


def bound_share(position: Tensor, constants: Constants) -> Tensor:
    """Return max |x| / ((4 / pi) alpha / (2 damping omega)) over examples and units, (T,).

    The divisor is near the largest displacement that any force within [-1, 1] reaches at light damping.

    Args:
        position: x, (T, batch, *units).
        constants: broadcast to (*units,).
    """
    bound = 4 / math.pi * constants.alpha / (2 * constants.damping * constants.omega)
    return (position.abs() / bound).amax(_all_but_time(position))


def participation_ratio(states: Tensor) -> Tensor:
    """Return (sum of l)^2 / sum of l^2, l the eigenvalues of the covariance of the states, (T,).

    The number of directions that the states use: 1 where they lie on a line, n where they spread equally over
    all n units. It is (trace C)^2 / |C|_F^2, so that no eigenvalue is computed. Of maps the channels are the
    units, and every pixel of every example is a sample. NaN where nothing varies.

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
    """Return the length over units of each example's gradient, the mean over examples, of (..., batch, units)."""
    return torch.linalg.vector_norm(gradients, dim=-1).mean(-1)


def _all_but_time(states: Tensor) -> tuple[int, ...]:
    """Return the axes of examples and units; flattening them would copy maps that lie channels innermost."""
    return tuple(range(1, states.dim()))
