"""Fields of recurrent units on the CPU: calls of the functions of field.c."""

import ctypes

import torch
from torch import Tensor

from hornlib.kernels.calls import call
from hornlib.kernels.field import FieldConstants, FieldOptions
from hornlib.kernels.library import load
from hornlib.kernels.route import REALS

__all__ = ["backward", "forward"]

OUTPUTS = ("sum", "position", "velocity")


class _FieldSizes(ctypes.Structure):
    """The structure `Field` of field.c."""

    _fields_ = [
        (name, ctypes.c_long)
        for name in (
            "batch",
            "channels",
            "height",
            "width",
            "steps",
            "output",
            "position",
            "explicit",
            "coupled",
            "learned",
        )
    ]


def forward(drive: Tensor, constants: FieldConstants, options: FieldOptions) -> Tensor:
    """Return the read-out of T steps, (batch, channels, height, width).

    Args:
        drive: u, (batch, channels, height, width), contiguous, float32 or float64, on the CPU.
        constants: of every channel, contiguous and of the same type.
        options: what is computed.

    Raises:
        KernelError: there is no compiled kernel on this machine.
        MemoryError: no memory was left.
    """
    result = torch.empty_like(drive)
    sizes = _sizes(drive, constants, options, learned=False)
    function = load("field", REALS[drive.dtype]).field_forward
    call(function, drive.shape[1], sizes, drive, constants, result)
    return result


def backward(
    gradient: Tensor, drive: Tensor, constants: FieldConstants, options: FieldOptions, learned: bool
) -> tuple[Tensor, FieldConstants]:
    """Return the gradients of drive and constants, in their shapes.

    Args:
        gradient: that of the result, (batch, channels, height, width), contiguous.
        drive: as in `forward`.
        constants: as in `forward`.
        options: as in `forward`.
        learned: whether the gradients of carry, spring and scale are computed; otherwise they hold no numbers.

    Raises:
        MemoryError: no memory was left.
    """
    of_drive = torch.empty_like(drive)
    of_constants = FieldConstants._make(
        None if part is None else torch.empty_like(part) for part in constants
    )
    sizes = _sizes(drive, constants, options, learned)
    function = load("field", REALS[drive.dtype]).field_backward
    call(function, drive.shape[1], sizes, drive, constants, gradient, of_drive, of_constants)
    return of_drive, of_constants


def _sizes(drive: Tensor, constants: FieldConstants, options: FieldOptions, learned: bool) -> _FieldSizes:
    return _FieldSizes(
        *drive.shape,
        options.steps,
        OUTPUTS.index(options.output),
        options.recurrence_on == "position",
        options.explicit,
        constants.kernel is not None,
        learned,
    )
