"""A field of recurrent units over feature maps: T steps under a constant drive in one call, and their adjoint.

For every example, channel c and pixel, from v = p = 0:

    v <- carry_c v - spring_c p + tanh(u + K_c * r),  p <- p + v (explicit Euler: the v before the step)

with r = v or p and a 3x3 convolution K_c with zero padding 1. The result is scale_c times the sum of p over the steps,
the last p, or the last v. An oscillator has p = x / (h g) and v = y / g with c, k, g of
`hornlib.dynamics.oscillator.coefficients`: carry = c, spring = h k. A leaky unit is v with spring = 0, and the sum of
its states is then the last p.

The backward pass needs the drive only. It computes the states again while they are in the cache, and then, with
`(dv, dp)` the adjoints of (v, p) after a step, `a = (dv + dp) (1 - tanh^2)`:

    du += a,  dK_j += sum a r[. + j],  dp <- dp - spring (dv + dp),  dv <- carry (dv + dp) + K^T * a

(for r = v; for explicit Euler dv alone stands in place of dv + dp, and dp is added to the new dv).
"""

from importlib import import_module
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hornlib.kernels.calls import contiguous

__all__ = ["BACKENDS", "FieldConstants", "FieldOptions", "field"]

BACKENDS = {"cpu": "hornlib.kernels.field_c", "cuda": "hornlib.kernels.field_triton"}
"""The module that computes fields on each type of device by its functions `forward` and `backward`."""


class FieldOptions(NamedTuple):
    """What a field computes.

    Attributes:
        steps: T, number of steps.
        output: what is read out: the sum of p over the steps, the last p, or the last v.
        recurrence_on: the state that K reads.
        explicit: whether p changes by the v before the step, as in explicit Euler.
    """

    steps: int
    output: Literal["sum", "position", "velocity"]
    recurrence_on: Literal["velocity", "position"]
    explicit: bool


class FieldConstants(NamedTuple):
    """Constants of every channel.

    Attributes:
        kernel: K, (channels, 1, 3, 3); None without recurrence.
        carry: factor of v, (channels,).
        spring: factor of p, (channels,).
        scale: factor of the result, (channels,).
    """

    kernel: Tensor | None
    carry: Tensor
    spring: Tensor
    scale: Tensor


def field(drive: Tensor, constants: FieldConstants, options: FieldOptions) -> Tensor:
    """Return the read-out of T steps, (batch, channels, height, width).

    The function works under `torch.vmap`, with the backward pass outside of it, and is differentiable once.

    Args:
        drive: u, (batch, channels, height, width), float32 or float64.
        constants: of every channel, of the same type.
        options: what is computed.

    Raises:
        KernelError: there is no compiled kernel on this machine; see `hornlib.kernels.route.is_fused`.
        ValueError: the constants have other shapes, or another type or device than the drive.
    """
    result: Tensor = _Field.apply(drive, *constants, options)
    return result


class _Field(torch.autograd.Function):
    """The field with (channels,) = (lanes x channels,), since every channel is computed alone."""

    @staticmethod
    def forward(
        drive: Tensor,
        kernel: Tensor | None,
        carry: Tensor,
        spring: Tensor,
        scale: Tensor,
        options: FieldOptions,
    ) -> Tensor:
        """Return the read-out, (batch, channels, height, width); arguments as in `field`."""
        drive, constants = _checked(drive, kernel, carry, spring, scale)
        result: Tensor = _backend(drive).forward(drive, constants, options)
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Store the inputs; the output, (batch, channels, height, width), is not needed."""
        *tensors, ctx.options = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the inputs in their shapes from that of the result, (batch, channels, H, W)."""
        drive, constants = _checked(*ctx.saved_tensors)
        learned = any(ctx.needs_input_grad[2:5])
        of_drive, of_constants = _backend(drive).backward(
            gradient.contiguous(), drive, constants, ctx.options, learned
        )
        return of_drive, of_constants.kernel, *(of_constants[1:] if learned else (None,) * 3), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        """Make the axis of vmap further channels: (batch, lanes x channels, height, width)."""
        *tensors, options = inputs
        drive, *constants = (
            None if part is None else _lanes_at(part, dim, info.batch_size, axis)
            for part, dim, axis in zip(tensors, in_dims, (1, 0, 0, 0, 0), strict=False)
        )
        result = _Field.apply(drive, *constants, options)
        return result.unflatten(1, (info.batch_size, -1)), 1


def _lanes_at(tensor: Tensor, dim: int | None, lanes: int, axis: int) -> Tensor:
    """Merge the axis of vmap, `dim`, with the channels that stand at `axis` of the other axes."""
    if dim is None:
        moved = tensor.unsqueeze(axis).expand(*tensor.shape[:axis], lanes, *tensor.shape[axis:])
    else:
        moved = tensor.movedim(dim, axis)
    return moved.flatten(axis, axis + 1)


def _checked(drive: Tensor, *constants: Tensor | None) -> tuple[Tensor, FieldConstants]:
    """Return drive and constants as a kernel needs them."""
    _, channels, _, _ = drive.shape
    shapes = (drive.shape, (channels, 1, 3, 3), (channels,), (channels,), (channels,))
    drive, *rest = contiguous((drive, *constants), shapes)
    return drive, FieldConstants(*rest)


def _backend(drive: Tensor) -> Any:
    return import_module(BACKENDS[drive.device.type])
