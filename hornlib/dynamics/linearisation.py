"""A recurrent layer of oscillators, linearised at rest: how small perturbations grow."""

from typing import Literal

import torch
from torch import Tensor

from hornlib.dynamics.oscillator import Coefficients
from hornlib.dynamics.parameters import Integrator

__all__ = ["jacobian_at_rest"]


def jacobian_at_rest(
    weight: Tensor,
    coefficients: Coefficients,
    h: float,
    integrator: Integrator,
    recurrence_on: Literal["velocity", "position"],
) -> Tensor:
    """Return d(x', y') / d(x, y) at x = y = 0 without drive, (2 nodes, 2 nodes), displacements first.

    There tanh' = 1, so that y' = C y - K x. Where W reads the velocity, C = c + g W and K = k; where it reads the
    position, C = c and K = k - g W. x' = x + h y' (explicit Euler: x' = x + h y).

    Args:
        weight: W, (nodes, nodes), as it multiplies the state (HORN: W_hh / sqrt(nodes)).
        coefficients: c, k and g, each (nodes,).
        h: the integration step, units of time.
        integrator: the update rule that `coefficients` belong to.
        recurrence_on: the state that W reads.
    """
    velocity, position, force = (torch.diag(values) for values in coefficients)
    if recurrence_on == "velocity":
        velocity = velocity + force @ weight
    else:
        position = position - force @ weight
    identity = torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
    if integrator == "explicit_euler":
        upper = [identity, h * identity]
    else:
        upper = [identity - h * position, h * velocity]
    return torch.cat([torch.cat(upper, dim=1), torch.cat([-position, velocity], dim=1)])
