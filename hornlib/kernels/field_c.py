"""Fields of recurrent units on the CPU: calls of the functions of field.c."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from hornlib.kernels.field import FieldConstants, FieldOptions
from hornlib.kernels.library import load
from hornlib.kernels.route import REALS
from hornlib.kernels.threads import share_out

__all__ = ["backward", "forward"]

OUTPUTS = ("sum", "position", "velocity")


class _Shape(ctypes.Structure):
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


class _Constants(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("kernel", "carry", "spring", "scale")]


def forward(drive: Tensor, constants: FieldConstants, options: FieldOptions) -> Tensor:
    """Return the read-out of T steps, (batch, channels, height, width).

    Args:
        drive: u, (batch, channels, height, width), contiguous, float32 or float64, on the CPU.
        constants: of every channel, contiguous and of the same type.
        options: what is computed.

    Raises:
        KernelError: there is no compiled kernel on this machine.
    """
    result = torch.empty_like(drive)
    shape = _shape(drive, constants, options, learned=False)
    _run("field_forward", drive, shape, drive, _pointers(constants), result)
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
    """
    of_drive = torch.empty_like(drive)
    of_constants = FieldConstants._make(
        None if part is None else torch.empty_like(part) for part in constants
    )
    shape = _shape(drive, constants, options, learned)
    _run(
        "field_backward",
        drive,
        shape,
        drive,
        _pointers(constants),
        gradient,
        of_drive,
        _pointers(of_constants),
    )
    return of_drive, of_constants


def _shape(drive: Tensor, constants: FieldConstants, options: FieldOptions, learned: bool) -> _Shape:
    return _Shape(
        *drive.shape,
        options.steps,
        OUTPUTS.index(options.output),
        options.recurrence_on == "position",
        options.explicit,
        constants.kernel is not None,
        learned,
    )


def _pointers(constants: FieldConstants) -> Any:
    return ctypes.byref(_Constants(*(None if part is None else part.data_ptr() for part in constants)))


def _run(name: str, maps: Tensor, shape: _Shape, *arguments: Any) -> None:
    """Call a function of field.c for all channels of maps (batch, channels, height, width)."""
    function = getattr(load("field", REALS[maps.dtype]), name)
    pointers = [
        ctypes.c_void_p(argument.data_ptr()) if isinstance(argument, Tensor) else argument
        for argument in arguments
    ]

    def call(first: int, last: int) -> int:
        status: int = function(ctypes.byref(shape), *pointers, ctypes.c_long(first), ctypes.c_long(last))
        return status

    share_out(call, maps.shape[1])
