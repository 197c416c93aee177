"""Strength of a layer's recurrence: its spectrum, relative to the value at which rest becomes unstable."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from hornlib.dynamics.linearisation import jacobian_at_rest
from hornlib.dynamics.oscillator import Coefficients
from hornlib.dynamics.probes.convolution import channel_matrices, convolution_matrix, symbol
from hornlib.dynamics.probes.units import FirstOrder, Oscillators, Unit

__all__ = ["DENSE_PIXELS", "MOST_UNITS", "Strength", "strength"]

DENSE_PIXELS = 64
"""Up to so many pixels a depthwise kernel's eigenvalues are those of its matrix, else those of the unbounded field."""

MOST_UNITS = 256
"""Up to so many units the eigenvalues of all units together are computed."""


class Strength(NamedTuple):
    """A layer linearised at rest, without drive, where tanh' = 1; NaN where it is not computed.

    Attributes:
        abscissa_ratio: largest real part of the recurrence's eigenvalues, divided by the critical value, at which a
            real eigenvalue makes rest unstable. For equal oscillators with W / sqrt(n) on the velocity it is the
            largest real part of the eigenvalues of W divided by 2 damping sqrt(n) / alpha.
        spectral_radius: largest modulus of the eigenvalues of the step's Jacobian; rest is stable below 1.
    """

    abscissa_ratio: Tensor
    spectral_radius: Tensor


def strength(unit: Unit, shape: tuple[int, ...]) -> Strength:
    """Return the strength of a layer's recurrence.

    Oscillators: the abscissa is that of diag(alpha / (2 damping)) W s where W reads the velocity, and of
    diag(alpha / omega^2) W s where W reads the displacement. At 1 a mode's drive balances its damping, or its spring.
    First-order units: the abscissa is that of G W with eigenvalues mu, and the radius is max |1 - r + r G mu|. Gated
    units have no such form: NaN.

    Args:
        unit: the update rule.
        shape: of a layer's state without the batch axis: (nodes,) or (channels, height, width).
    """
    if isinstance(unit, Oscillators):
        return _of_oscillators(unit, shape)
    if isinstance(unit, FirstOrder):
        return _of_first_order(unit, shape)
    return _unknown(unit.weights_of_parts()[0])


def _of_oscillators(unit: Oscillators, shape: tuple[int, ...]) -> Strength:
    constants = unit.constants
    if unit.reads_velocity:
        critical = constants.alpha / (2 * constants.damping)
    else:
        critical = constants.alpha / constants.omega.square()
    if unit.weight is None or (_is_depthwise(unit.weight) and unit.source_scale is None):
        modes = _modes(unit.weight, shape, critical)
        # Constants have the shape (channels, 1, 1) or (nodes,).
        factors = Coefficients(*(value.reshape(-1, 1) for value in unit.coefficients))
        radius = _roots(modes, factors, unit).abs().amax()
        return _masked(unit.weight, (modes.real * critical.reshape(-1, 1)).amax(), radius)
    matrix = _matrix(unit.weight, shape)
    if matrix is None:
        return _unknown(critical)
    if unit.source_scale is not None:
        matrix = matrix * _per_unit(unit.source_scale, shape)
    full = Coefficients(*(_per_unit(value, shape) for value in unit.coefficients))
    reads = "velocity" if unit.reads_velocity else "position"
    jacobian = jacobian_at_rest(
        _finite(matrix),
        full,
        unit.integration_step,  # type: ignore[arg-type]
        unit.integrator,
        reads,  # type: ignore[arg-type]
    )
    scaled = _per_unit(critical, shape).unsqueeze(1) * matrix
    return _masked(unit.weight, _eigenvalues(scaled).real.amax(), _eigenvalues(jacobian).abs().amax())


def _of_first_order(unit: FirstOrder, shape: tuple[int, ...]) -> Strength:
    weight = unit.weight
    if weight is None or _is_depthwise(weight):
        modes = _modes(weight, shape, unit.gain)
    else:
        matrix = _matrix(weight, shape)
        if matrix is None:
            return _unknown(unit.gain)
        modes = _eigenvalues(matrix)
    driven = unit.gain * modes
    return _masked(weight, driven.real.amax(), (1 - unit.rate + unit.rate * driven).abs().amax())


def _modes(weight: Tensor | None, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return the eigenvalues of each channel's kernel, (channels, modes); one zero without recurrence."""
    if weight is None:
        return torch.zeros_like(like).reshape(-1, 1)
    if shape[1] * shape[2] > DENSE_PIXELS:
        return symbol(weight)
    return _eigenvalues(channel_matrices(weight, shape[1], shape[2]))


def _roots(modes: Tensor, c: Coefficients, unit: Oscillators) -> Tensor:
    """Return both roots of l^2 + b l + d = 0, the oscillator's step under feedback by each mode."""
    h = unit.integration_step
    carry = c.velocity + (c.force * modes if unit.reads_velocity else 0 * modes)
    stiffness = h * (c.position - (0 * modes if unit.reads_velocity else c.force * modes))
    if unit.integrator == "explicit_euler":
        b, d = -(1 + carry), carry + stiffness
    else:
        b, d = -(1 + carry - stiffness), carry
    root = torch.sqrt(torch.complex((b * b - 4 * d).real, _imaginary(b * b - 4 * d)))
    return torch.stack([(-b + root) / 2, (-b - root) / 2])


def _imaginary(values: Tensor) -> Tensor:
    return values.imag if values.is_complex() else torch.zeros_like(values)


def _matrix(weight: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Return the recurrence as one matrix over all units, or None where that is too large."""
    num_units = torch.Size(shape).numel()
    if num_units > MOST_UNITS:
        return None
    return weight if weight.dim() == 2 else convolution_matrix(weight, *shape)


def _is_depthwise(weight: Tensor) -> bool:
    return weight.dim() == 4 and weight.shape[1] == 1


def _per_unit(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    return values.expand(shape).flatten()


def _eigenvalues(matrix: Tensor) -> Tensor:
    return _Eigenvalues.apply(_finite(matrix))


class _Eigenvalues(torch.autograd.Function):
    """`torch.linalg.eigvals`, on the CPU: under vmap torch would compute eigenvectors too, and not every device can."""

    @staticmethod
    def forward(matrix: Tensor) -> Tensor:
        """Return the eigenvalues (..., units) of matrices (..., units, units)."""
        return torch.linalg.eigvals(matrix.cpu()).to(matrix.device)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Mark the eigenvalues, (..., units), as values without a gradient."""
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], matrix: Tensor) -> tuple[Tensor, int]:
        """Return the eigenvalues (lanes, ..., units) of the matrices of all lanes, from one call."""
        return _Eigenvalues.apply(matrix.movedim(in_dims[0], 0)), 0


def _finite(values: Tensor) -> Tensor:
    """Replace values that are not finite, at which LAPACK stops; such lanes are masked afterwards."""
    return torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _masked(weight: Tensor | None, abscissa_ratio: Tensor, spectral_radius: Tensor) -> Strength:
    if weight is None:
        return Strength(abscissa_ratio, spectral_radius)
    sound = torch.isfinite(weight).all()
    lost = torch.full_like(spectral_radius, torch.nan)
    return Strength(torch.where(sound, abscissa_ratio, lost), torch.where(sound, spectral_radius, lost))


def _unknown(like: Tensor | float) -> Strength:
    unknown = torch.full((), torch.nan, dtype=torch.as_tensor(like).dtype)
    return Strength(unknown, unknown)
