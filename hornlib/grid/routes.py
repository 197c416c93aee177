"""The route of a cell's recurrence: a fused kernel, or a loop over torch's calls, and why; free of torch."""

import math
import re
from typing import Literal, NamedTuple

from hornlib.config.settings import Kernel
from hornlib.errors import ResourceError
from hornlib.grid.cell import Cell
from hornlib.kernels.devices import obstacle, too_large
from hornlib.kernels.library import SOURCES

__all__ = [
    "REMEDY",
    "THEN",
    "Route",
    "device_type",
    "kinds_of",
    "required_route",
    "route_of",
    "routes_on",
    "uncovered",
]

THEN = ", then "
"""Stands between the routes of the processes that trained a job one after the other."""

REMEDY = "Mend this, or write `kernel: auto`, which takes a loop where there is no fused kernel"


class Route(NamedTuple):
    """How a recurrence is computed.

    Attributes:
        kind: fused, loop, or none for a model without recurrence.
        reason: why a loop computes it; "" for any other kind.
    """

    kind: Literal["fused", "loop", "none"]
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}" if self.reason else self.kind


def kinds_of(words: str) -> str:
    """Return the routes of a run file or of a calibration without the reasons of loops, e.g. "loop, then fused"."""
    return THEN.join(re.findall(rf"(?:^|{THEN})(fused|loop|none|unknown)\b", words)) or words


def device_type(device: str) -> str:
    """Return cpu, cuda or mps of the setting `device`; `auto`, which only the job resolves, counts as a CPU."""
    kind = device.partition(":")[0]
    return "cpu" if kind == "auto" else kind


def route_of(cell: Cell, kernel: Kernel, device: str) -> Route:
    """Return the route of a cell on this machine, which compiles the kernel if it is not in the cache.

    Args:
        cell: the cell.
        kernel: the setting.
        device: cpu, cuda or mps.
    """
    recurrence = cell.model.recurrence_kernel()
    if recurrence is None:
        return Route("none")
    if kernel == "loop":
        return Route("loop", "the setting is kernel: loop")
    if parameter := uncovered(cell):
        return Route("loop", f"no fused kernel covers {parameter}")
    reason = obstacle(recurrence.library, device)
    if recurrence.library == "field":
        reason = reason or too_large(math.prod(cell.task().input_shape[-2:]), device)
    return Route("loop", reason) if reason else Route("fused")


def required_route(cell: Cell, kernel: Kernel, device: str) -> Route:
    """Return the route of a cell on this machine, as `route_of` does.

    Args:
        cell: the cell.
        kernel: the setting.
        device: cpu, cuda or mps.

    Raises:
        ResourceError: `kernel: fused`, and only the loop can be taken.
    """
    route = route_of(cell, kernel, device)
    if kernel == "fused" and route.kind == "loop":
        raise ResourceError(f"{cell.name}: kernel: fused, but {route.reason}. {REMEDY}")
    return route


def routes_on(kernel: Kernel, device: str) -> str:
    """Return the libraries of fused kernels that this machine uses, or "loops": part of a calibration's device.

    Args:
        kernel: the setting.
        device: cpu, cuda or mps.
    """
    libraries = [library for library in SOURCES if kernel != "loop" and not obstacle(library, device)]
    return f"fused {' and '.join(libraries)}" if libraries else "loops"


def uncovered(cell: Cell) -> str:
    """Return the parameter that no fused kernel covers, such as "readout: rms"; "" if there is none."""
    recurrence = cell.model.recurrence_kernel()
    if recurrence is None:
        return ""
    return recurrence.lacks or ("training.precision: bf16" if cell.training.precision == "bf16" else "")
