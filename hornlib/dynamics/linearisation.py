"""A recurrent layer of oscillators linearised at rest: does silence last, and how do perturbations grow."""

from typing import Literal

import torch
from torch import Tensor

from hornlib.dynamics.oscillator import Coefficients
from hornlib.dynamics.parameters import Integrator

__all__ = ["jacobian_at_rest", "rest_is_stable"]


def jacobian_at_rest(
    weight: Tensor,
    coefficients: Coefficients,
    h: float,
    integrator: Integrator,
    recurrence_on: Literal["velocity", "position"],
) -> Tensor:
    """Return d(x', y') / d(x, y) at x = y = 0 without drive, (2 nodes, 2 nodes), displacements first.

    There tanh' = 1: y' = C y - K x with C = c + g W, K = k (recurrence on the velocity) or C = c,
    K = k - g W (on the position); x' = x + h y', explicit Euler x + h y. Heterogeneous networks have no
    shorter form.

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


def rest_is_stable(
    weight: Tensor,
    coefficients: Coefficients,
    h: float,
    integrator: Integrator,
    recurrence_on: Literal["velocity", "position"],
) -> Tensor:
    """Say of equal oscillators whether rest is stable, from the eigenvalues mu of W alone.

    Each mu makes a cell of its own, l^2 + b l + c = 0 with complex b and c; its roots lie within the unit
    circle iff |c| < 1 and |b - conj(b) c| < 1 - |c|^2 (Schur and Cohn). For symplectic Euler with W on the
    velocity, c = 1 - h (2 damping - alpha mu) and b = h^2 omega^2 - 1 - c: a real mu above 2 damping / alpha
    makes rest unstable.

    Args:
        weight: W, (nodes, nodes), as it multiplies the state.
        coefficients: c, k and g, each a scalar tensor.
        h: the integration step, units of time.
        integrator: the update rule that `coefficients` belong to.
        recurrence_on: the state that W reads.

    Returns:
        A boolean scalar.
    """
    velocity, position, force = coefficients
    eigenvalues = torch.linalg.eigvals(weight)
    on_velocity = recurrence_on == "velocity"
    kept = velocity + force * eigenvalues if on_velocity else velocity + 0 * eigenvalues
    stiffness = h * (position + 0 * eigenvalues if on_velocity else position - force * eigenvalues)
    if integrator == "explicit_euler":
        b, c = -(1 + kept), kept + stiffness
    else:
        b, c = -(1 + kept - stiffness), kept
    return ((c.abs() < 1) & ((b - b.conj() * c).abs() < 1 - c.abs() ** 2)).all()
