"""The route by which recurrences are computed: a fused kernel, or a loop over torch's calls.

Both compute the same numbers to rounding. Seconds of different routes must not be compared, so that run files and
calibrations name the route.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from hornlib.config.settings import Kernel
from hornlib.kernels.devices import obstacle, too_large

__all__ = ["REALS", "is_fused", "loops", "taking"]

REALS = {torch.float32: "float", torch.float64: "double"}

_choice: Kernel = "auto"


@contextmanager
def taking(kernel: Kernel) -> Iterator[None]:
    """Choose the route within the block: fused kernels where they can be used (auto, fused), or always the loop."""
    global _choice
    before, _choice = _choice, kernel
    try:
        yield
    finally:
        _choice = before


def loops() -> AbstractContextManager[None]:
    """Take the loop within the block, whose calls can be counted and traced."""
    return taking("loop")


def is_fused(library: str, tensor: Tensor) -> bool:
    """Return whether a kernel computes a recurrence of this tensor.

    Args:
        library: field or recurrence.
        tensor: what drives the recurrence; of a field maps, (..., height, width).
    """
    device = tensor.device.type
    return (
        _choice != "loop"
        and tensor.dtype in REALS
        and not obstacle(library, device, REALS[tensor.dtype])
        and not torch.is_autocast_enabled(device)
        and not too_large(math.prod(tensor.shape[-2:]), device)
    )
