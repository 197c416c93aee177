"""Which fused kernels run on which type of device; free of torch."""

import sys
from functools import cache
from importlib.util import find_spec

from hornlib.kernels.library import why_not

__all__ = ["MOST_PIXELS", "obstacle", "too_large"]

MOST_PIXELS = {"cuda": 32 * 32}
"""Device -> pixels of the largest map that its field computes. A GPU keeps the states of a map in registers; up to this
size all of them are known to find room (tests/kernels/test_field_triton.py)."""


def obstacle(library: str, device: str, real: str = "float") -> str:
    """Return why a library's kernels cannot be used on a type of device, "" if they can.

    On the CPU the first call compiles them. On a GPU a process that has loaded torch, such as a job, tries them; the
    plan may be made on another machine and asks only whether Triton is installed.

    Args:
        library: field or recurrence.
        device: cpu, cuda or mps.
        real: the type of the numbers, float or double.
    """
    if device == "cpu":
        return why_not(library, real)
    if device != "cuda" or library != "field":
        return f"no fused kernel runs on {device}"
    if not _has_triton():
        return "Triton is not installed"
    return _failure_on_gpu() if "torch" in sys.modules else ""


def too_large(pixels: int, device: str) -> str:
    """Return why maps are too large for the field of a device, "" if they are not.

    Args:
        pixels: of the largest map.
        device: cpu, cuda or mps.
    """
    most = MOST_PIXELS.get(device, pixels)
    return f"the field on {device} covers maps of up to {most} pixels, not {pixels}" if pixels > most else ""


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None  # which reads folders, and this is asked in every forward pass


@cache
def _failure_on_gpu() -> str:
    """Return why a small field cannot be computed on the GPU, "" if it can."""
    import torch

    if not torch.cuda.is_available():
        return ""
    try:
        from hornlib.kernels.field import FieldConstants, FieldOptions
        from hornlib.kernels.field_triton import backward, forward

        ones = torch.ones(1, device="cuda")
        drive, kernel = ones.view(1, 1, 1, 1), ones.expand(1, 1, 3, 3).contiguous()
        constants, options = (
            FieldConstants(kernel, ones, ones, ones),
            FieldOptions(1, "sum", "velocity", False),
        )
        forward(drive, constants, options)
        backward(drive, drive, constants, options, learned=True)
        torch.cuda.synchronize()
    except Exception as error:  # whatever a compiler, a driver or an old GPU raises: the loop runs instead
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"Triton failed: {lines[0]}"
    return ""
