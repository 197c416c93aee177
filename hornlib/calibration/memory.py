"""Peak memory of a lone lane's training step: the allocator's own count on CUDA, a fresh process on a CPU.

On a CPU a process is started that loads torch and nothing else, and forks once a shape: a fork has a clean heap, and
its peak resident memory minus that just before the network is built is what training needs beside the data.
"""

import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Sequence

import torch

from hornlib.calibration.timing import Trial, random_examples
from hornlib.errors import ResourceError
from hornlib.grid.cell import Cell, parse_specification

__all__ = ["peak_memory", "serve"]

STEPS = 3
"""Training steps of which the peak is taken: the optimiser's state is there from the second on."""

GIVING_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""glibc hands freed memory back at once, so that what one step frees does not hide what the next one takes."""

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes that getrusage counts in."""


def peak_memory(cells: Sequence[Cell], device: torch.device, threads: int) -> list[float]:
    """Return the peak memory of each cell's training step beside its data, byte; NaN where it cannot be told.

    Parameters, gradients, the optimiser's state, what the backward pass keeps and the kernels' own room are
    counted; examples, torch itself and evaluations are not. On a CPU the system counts in pages, so that
    differences below some 0.1 MB say nothing. Of MPS no peak is known.

    Args:
        cells: what is trained, one of each shape.
        device: where.
        threads: CPU threads.
    """
    if device.type == "cuda":
        return [_on_cuda(cell, device) for cell in cells]
    if device.type == "cpu":
        return _on_cpu(cells, threads)
    return [math.nan] * len(cells)


def _on_cuda(cell: Cell, device: torch.device) -> float:
    examples = random_examples(cell, device)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    Trial(cell, examples).steps(STEPS)
    return float(torch.cuda.max_memory_allocated(device) - before)


def _on_cpu(cells: Sequence[Cell], threads: int) -> list[float]:
    if not hasattr(os, "fork") or not cells:
        return [math.nan] * len(cells)
    given = [{name: own.given() for name, own in cell.sections().items()} for cell in cells]
    asked = {"threads": threads, "cells": given}
    # -P: the package that is installed, or first on PYTHONPATH, and not what lies in the folder
    command = [sys.executable, "-P", "-c", "from hornlib.calibration.memory import serve; serve()"]
    environment = {**os.environ, **GIVING_BACK}
    answer = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, check=False, env=environment
    )
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        raise ResourceError(f"the process that measures memory ended with status {answer.returncode}: {last}")
    return [math.nan if size is None else float(size) for size in json.loads(answer.stdout)]


def serve() -> None:
    """Read cells from standard input as JSON and print the peak memory of each; what was killed is null."""
    asked = json.load(sys.stdin)
    print(json.dumps([_forked(cell, asked["threads"]) for cell in asked["cells"]]))


def _forked(specification: dict[str, dict[str, object]], threads: int) -> int | None:
    """Measure in a fork, and return None where it did not live to tell."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            cell = parse_specification(specification)
            os.write(writing, str(_growth(cell, threads)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        told = answer.read()
    os.waitpid(child, 0)
    return int(told) if told else None


def _growth(cell: Cell, threads: int) -> int:
    torch.set_num_threads(threads)
    cpu = torch.device("cpu")
    examples = random_examples(cell, cpu)
    _load_libraries()
    before = _peak_resident()
    Trial(cell, examples).steps(STEPS)
    return _peak_resident() - before


def _load_libraries() -> None:
    """Train a network of few channels, so that what is loaded once, at first use, is no network's memory."""
    tiny = parse_specification(
        {
            "data": {"name": "digits"},
            "model": {"name": "cnn", "channels": "2-2"},
            "training": {"batch_size": 2},
        }
    )
    Trial(tiny, random_examples(tiny, torch.device("cpu"))).steps(STEPS)


def _peak_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
