"""The driven harmonic oscillator: its step, which is affine for every integrator, and draws of its constants."""

from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.dynamics.parameters import Integrator, Oscillator

__all__ = ["Coefficients", "Constants", "OscillatorState", "coefficients", "draw_constants", "step"]


class OscillatorState(NamedTuple):
    """State of an oscillator.

    Attributes:
        x: displacement, of any shape.
        y: velocity, of the same shape.
    """

    x: Tensor
    y: Tensor


class Constants(NamedTuple):
    """Constants of every node, tensors of one shape.

    Attributes:
        omega: natural angular frequency, radians / unit of time.
        damping: HORN's gamma, 1 / unit of time.
        alpha: excitability, the largest force.
    """

    omega: Tensor
    damping: Tensor
    alpha: Tensor


class Coefficients(NamedTuple):
    """One step as an affine map: y' = c y - k x + g f, x' = x + h y' (explicit Euler: x' = x + h y).

    Attributes:
        velocity: c.
        position: k, 1 / unit of time.
        force: g, unit of time.
    """

    velocity: Tensor
    position: Tensor
    force: Tensor


def coefficients(constants: Constants, h: float | Tensor, integrator: Integrator) -> Coefficients:
    """Return c, k, g of the integrator for x'' + 2 damping x' + omega^2 x = alpha f.

    symplectic_euler and explicit_euler: c = 1 - 2 h damping, k = h omega^2, g = h alpha.
    implicit_damping uses the new velocity in the damping term: c = 1 / d, k = h omega^2 / d, g = h alpha / d with
    d = 1 + 2 h damping.

    Args:
        constants: omega, damping and alpha, of any one shape, such as (nodes,). The result has that shape too.
        h: integration step, units of time; a number or a scalar tensor.
        integrator: the update rule.
    """
    omega, damping, alpha = constants
    if integrator == "implicit_damping":
        divisor = 1 + 2 * h * damping
        return Coefficients(1 / divisor, h * omega**2 / divisor, h * alpha / divisor)
    return Coefficients(1 - 2 * h * damping, h * omega**2, h * alpha)


def step(
    state: OscillatorState, force: Tensor, c: Coefficients, h: float | Tensor, integrator: Integrator
) -> OscillatorState:
    """Return the state after one step of length h under `force` = tanh(drive + recurrence).

    This is the readable form. While networks are trained, fused kernels run in its place, or loops where there is none:

    - `hornlib.dynamics.adjoint.displacements` in `horn` and `cnn_horn`, with `hornlib.kernels.recurrence`;
      tests/dynamics/test_adjoint.py holds both equal to a loop over this step, gradients included;
    - `hornlib.models.horn_cnn.network.OscillatorStage` in `horn_cnn`; tests/models/test_horn_cnn.py holds its loop
      equal, and tests/models/test_recurrent_cnn.py holds `hornlib.kernels.field` equal to that loop.

    Both loops compute tanh(a) / 2 as sigma(2 a) - 1/2, which takes a third of the time of tanh on a CPU. In float32 the
    difference has an absolute error of up to 8e-8, so that a force has a relative error of about 1e-7 / |a|. With
    inputs near 1e-3, states and the gradient of the recurrence have a relative error of 1e-4; with tanh it would be
    1e-6.

    Args:
        state: x and y, (batch, *nodes) each.
        force: f, (batch, *nodes).
        c: the coefficients of the integrator; broadcast to (*nodes,).
        h: integration step, units of time; a number or a scalar tensor.
        integrator: the update rule that `c` belongs to.
    """
    y = c.velocity * state.y - c.position * state.x + c.force * force
    x = state.x + h * (state.y if integrator == "explicit_euler" else y)
    return OscillatorState(x, y)


def draw_constants(
    oscillator: Oscillator,
    shape: tuple[int, ...],
    heterogeneity: float,
    heterogeneity_draw: str,
    generator: torch.Generator,
) -> Constants:
    """Return every node's constants, the homogeneous ones times factors in [2^-heterogeneity, 2^heterogeneity].

    log_uniform: omega_i = omega 2^(heterogeneity u), u ~ U[-1, 1]; damping_i / omega_i and alpha_i / omega_i^2 are
    constant, so that every node has the damping ratio and the DC gain of the homogeneous oscillator.
    uniform: omega_i and damping_i are multiplied by independent draws from U[2^-heterogeneity, 2^heterogeneity], and
    alpha is constant, as in the public HORN code.

    The same state of the generator gives the same underlying draws, whatever the heterogeneity.

    Args:
        oscillator: the homogeneous constants.
        shape: of one constant, for example (nodes,).
        heterogeneity: binary logarithm of the largest factor; 0 gives equal nodes.
        heterogeneity_draw: log_uniform or uniform.
        generator: two uniform numbers are taken from it for every node.
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
