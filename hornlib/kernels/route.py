"""The route by which recurrences are computed: a fused kernel, or a loop over torch's calls.

Both compute the same numbers to rounding. Seconds of different routes must not be compared, so that run files and
calibrations name the route.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from hornlib.kernels.library import KernelError, load

__all__ = ["Kernel", "choose", "is_fused", "loops", "why_not"]

Kernel = Literal["auto", "fused", "loop"]

REALS = {torch.float32: "float", torch.float64: "double"}

_choice: Kernel = "auto"


def choose(kernel: Kernel) -> None:
    """Set the route of this process: the kernel where it can be used (auto, fused), or always the loop."""
    global _choice
    _choice = kernel


@contextmanager
def loops() -> Iterator[None]:
    """Take the loop within the block, whose calls can be counted and traced."""
    before = _choice
    choose("loop")
    try:
        yield
    finally:
        choose(before)


def is_fused(library: str, tensor: Tensor) -> bool:
    """Return whether a kernel computes a recurrence of this tensor.

    Args:
        library: field or recurrence.
        tensor: what drives the recurrence, of any shape.
    """
    return (
        _choice != "loop"
        and tensor.device.type == "cpu"
        and tensor.dtype in REALS
        and not torch.is_autocast_enabled("cpu")
        and not why_not(library, REALS[tensor.dtype])
    )


@cache
def why_not(library: str, real: str = "float") -> str:
    """Return why a library cannot be used on this machine, "" if it can; it is compiled by the first call.

    Args:
        library: field or recurrence.
        real: float or double.
    """
    try:
        load(library, real)
    except KernelError as error:
        return str(error)
    return ""
