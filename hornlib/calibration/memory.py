"""Peak memory of a lone lane's training step: the count of torch's allocator on CUDA, a fresh process on a CPU.

On a CPU, a new process loads torch and nothing else, and forks for each shape. A fork has a clean heap; its peak
resident memory, minus that just before the network is built, is what training needs beside the data.
"""

import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Sequence

import torch

from hornlib.calibration.timing import TimedLane, random_examples
from hornlib.config.settings import Kernel
from hornlib.errors import ResourceError
from hornlib.grid.cell import Cell, parse_specification
from hornlib.kernels.route import taking

__all__ = ["peak_memory", "serve"]

STEPS = 3
"""Training steps over which the peak is taken; the optimiser has its state from the second step on."""

GIVING_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Makes glibc return freed memory at once, so that memory freed by one step cannot serve the next one unseen."""

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Unit of getrusage's peak memory, byte."""


def peak_memory(cells: Sequence[Cell], device: torch.device, threads: int, kernel: Kernel) -> list[float]:
    """Return the peak memory of each cell's training step beside its data, byte; NaN where it cannot be measured.

    It includes parameters, gradients, the optimiser's state, the activations for the backward pass and the kernels'
    workspace, but not examples, torch itself and evaluations. A network that stores connections alone begins as a dense
    one: the peak holds the dense weights. A CPU's memory is counted in pages: differences below
    some 0.1 MB mean nothing. MPS reports no peak.

    Args:
        cells: one cell of each shape.
        device: the device.
        threads: number of CPU threads.
        kernel: the setting that chooses the route of recurrences.
    """
    if device.type == "cuda":
        return [_on_cuda(cell, device) for cell in cells]
    if device.type == "cpu":
        return _on_cpu(cells, threads, kernel)
    return [math.nan] * len(cells)


def _on_cuda(cell: Cell, device: torch.device) -> float:
    examples = random_examples(cell, device)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    TimedLane(cell, examples).steps(STEPS)
    return float(torch.cuda.max_memory_allocated(device) - before)


def _on_cpu(cells: Sequence[Cell], threads: int, kernel: Kernel) -> list[float]:
    if not hasattr(os, "fork") or not cells:
        return [math.nan] * len(cells)
    specifications = [
        {section: parameters.given() for section, parameters in cell.sections().items()} for cell in cells
    ]
    request = {"threads": threads, "kernel": kernel, "cells": specifications}
    # -P: import the package that is installed, or first on PYTHONPATH, and not a folder of that name here
    command = [sys.executable, "-P", "-c", "from hornlib.calibration.memory import serve; serve()"]
    environment = {**os.environ, **GIVING_BACK}
    answer = subprocess.run(
        command, input=json.dumps(request), capture_output=True, text=True, check=False, env=environment
    )
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        raise ResourceError(f"the process that measures memory ended with status {answer.returncode}: {last}")
    return [math.nan if size is None else float(size) for size in json.loads(answer.stdout)]


def serve() -> None:
    """Read cells from standard input as JSON, and print the peak memory of each; null if the fork was killed."""
    request = json.load(sys.stdin)
    with taking(request["kernel"]):
        print(json.dumps([_forked(cell, request["threads"]) for cell in request["cells"]]))


def _forked(specification: dict[str, dict[str, object]], threads: int) -> int | None:
    """Return the memory that a fork measures, byte; None if the fork was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            cell = parse_specification(specification)
            os.write(writing, str(_growth(cell, threads)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return int(answer) if answer else None


def _growth(cell: Cell, threads: int) -> int:
    torch.set_num_threads(threads)
    cpu = torch.device("cpu")
    examples = random_examples(cell, cpu)
    _load_libraries()
    before = _peak_resident()
    TimedLane(cell, examples).steps(STEPS)
    return _peak_resident() - before


def _load_libraries() -> None:
    """Train a network of few channels, so that libraries loaded at first use do not count as memory of a network."""
    tiny = parse_specification(
        {
            "data": {"name": "digits"},
            "model": {"name": "cnn", "channels": "2-2"},
            "training": {"batch_size": 2},
        }
    )
    TimedLane(tiny, random_examples(tiny, torch.device("cpu"))).steps(STEPS)


def _peak_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
