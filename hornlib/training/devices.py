"""The device of a job: which one it is, how precisely it computes, and what becomes of its memory."""

import ctypes
from collections.abc import Callable
from contextlib import suppress

import torch

from hornlib.errors import ConfigError
from hornlib.grid.cell import Cell

__all__ = ["is_out_of_memory", "keep_freed_memory", "require_products", "resolve_device", "set_precision"]

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Options of glibc's mallopt; the numbers are those of its malloc.h."""


def resolve_device(device: str) -> torch.device:
    """Return the device. `auto` takes CUDA, else MPS, else the CPU.

    Raises:
        ConfigError: this machine has no such device.
    """
    available: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if device == "auto":
        return torch.device(next(kind for kind, is_available in available.items() if is_available()))
    kind = device.split(":")[0]
    if kind not in available or not available[kind]():
        kinds = ", ".join(name for name, is_available in available.items() if is_available())
        raise ConfigError(f"device: {device!r} is not available on this machine; it has {kinds}")
    return torch.device(device)


def require_products(cell: Cell, device: torch.device) -> None:
    """Check that torch has the products of the cell's network on the device.

    On MPS there are no matrices in CSR form (pytorch/pytorch issue 196192), which networks that store connections alone
    need.

    Args:
        cell: of the runs.
        device: where they are to be trained.

    Raises:
        ConfigError: it has not.
    """
    task = cell.task()
    model = cell.structure.trained_model(cell.model, task)
    if device.type == "mps" and model.masked_form(task)[1]:
        raise ConfigError(
            f"{cell.name}: device: mps has no products with connections alone; give device: cpu, or dense weights "
            "(structure: storage: masked, or a model without `connections:`)"
        )


def set_precision(precision: str, device: torch.device) -> None:
    """Set torch's precision of products, and kernels that always give the same numbers.

    A resumed run is then the same run.

    Args:
        precision: `tf32` for products in TF32; anything else for full fp32.
        device: where products are computed.
    """
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def keep_freed_memory() -> None:
    """Let this process keep memory that a training step frees for the next step. Results do not depend on it.

    glibc gives large blocks back to the system, and the next step waits until the system has cleared them again. At
    28x28 pixels this took a third of a CNN's step. Other C libraries are left as they are.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_MAX, 0)


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Return whether torch or a fused kernel ran out of memory; on a CPU torch raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
