"""The driven harmonic oscillator: one affine step for every integrator, and draws of its constants."""

from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.dynamics.parameters import Integrator, Oscillator

__all__ = ["Coefficients", "Constants", "State", "coefficients", "draw_constants", "step"]


class State(NamedTuple):
    """Displacement x and velocity y, of one shape."""

    x: Tensor
    y: Tensor


class Constants(NamedTuple):
    """omega, damping (HORN's gamma) and alpha of every node, one tensor each, of one shape."""

    omega: Tensor
    damping: Tensor
    alpha: Tensor


class Coefficients(NamedTuple):
    """The step as an affine map: y' = c y - k x + g f;  x' = x + h y' (explicit Euler: x + h y)."""

    velocity: Tensor
    position: Tensor
    force: Tensor


def coefficients(constants: Constants, h: float | Tensor, integrator: Integrator) -> Coefficients:
    """Return c, k, g of the integrator for x'' + 2 damping x' + omega^2 x = alpha f.

    symplectic_euler and explicit_euler: c = 1 - 2 h damping, k = h omega^2, g = h alpha;
    implicit_damping (the new velocity in the damping term): 1 and the same k and g, over 1 + 2 h damping.
    """
    omega, damping, alpha = constants
    if integrator == "implicit_damping":
        divisor = 1 + 2 * h * damping
        return Coefficients(1 / divisor, h * omega**2 / divisor, h * alpha / divisor)
    return Coefficients(1 - 2 * h * damping, h * omega**2, h * alpha)


def step(state: State, force: Tensor, c: Coefficients, h: float | Tensor, integrator: Integrator) -> State:
    """Advance the state by h under `force` = tanh(drive + recurrence); pure, for shapes that broadcast.

    `hornlib.dynamics.adjoint.displacements` runs instead in `horn` and `cnn_horn`, the stage of
    `hornlib.models.horn_cnn.network` in `horn_cnn`. tests/dynamics/test_adjoint.py and tests/models/test_horn_cnn.py
    hold them equal to this step. Both take tanh(a) / 2 as sigma(2 a) - 1/2, in a third of the time of tanh on a CPU.
    In float32 this difference has an absolute error of up to 8e-8, so that a force has a relative error of about
    1e-7 / |a|: with inputs near 1e-3, states and the gradient of the recurrence are 1e-4 off; a plain tanh would leave
    1e-6.
    """
    y = c.velocity * state.y - c.position * state.x + c.force * force
    x = state.x + h * (state.y if integrator == "explicit_euler" else y)
    return State(x, y)


def draw_constants(
    oscillator: Oscillator,
    shape: tuple[int, ...],
    heterogeneity: float,
    heterogeneity_draw: str,
    generator: torch.Generator,
) -> Constants:
    """Draw every node's constants with factors within [2^-heterogeneity, 2^heterogeneity].

    log_uniform: omega_i = omega 2^(heterogeneity u), u ~ U[-1, 1]; damping_i / omega_i and
    alpha_i / omega_i^2 stay constant, so that damping ratio and DC gain are those of the homogeneous cell.
    uniform: omega_i and damping_i each times U[2^-heterogeneity, 2^heterogeneity], alpha constant, as in the
    public HORN code.
    The same generator state gives the same draw whatever the heterogeneity.
    """
    first, second = (torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    if heterogeneity_draw == "log_uniform":
        factor = 2.0 ** (heterogeneity * (2 * first - 1))
        drawn = (oscillator.omega * factor, oscillator.damping * factor, oscillator.alpha * factor**2)
    else:
        low, high = 2.0**-heterogeneity, 2.0**heterogeneity
        drawn = (
            oscillator.omega * (low + (high - low) * first),
            oscillator.damping * (low + (high - low) * second),
            torch.full(shape, oscillator.alpha, dtype=torch.float64),
        )
    return Constants(*(values.to(torch.get_default_dtype()) for values in drawn))
