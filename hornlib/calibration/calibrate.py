"""Calibration of a device: every distinct shape of a grid is timed in rounds of random order; it can be resumed."""

import json
import math
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from hornlib.calibration.memory import peak_memory
from hornlib.calibration.timing import TimedLane, random_examples
from hornlib.config.settings import Kernel
from hornlib.grid import Grid
from hornlib.grid.cell import Cell
from hornlib.grid.routes import kinds_of, required_route, routes_on
from hornlib.grid.shapes import describe_shape, distinct_shapes
from hornlib.kernels.library import cpu_model
from hornlib.kernels.route import taking
from hornlib.provenance import version
from hornlib.randomness import derive_seed
from hornlib.results.calibration_file import (
    Calibration,
    Measurement,
    calibration_path,
    read_calibration,
    write_calibration,
)
from hornlib.training.devices import (
    is_out_of_memory,
    keep_freed_memory,
    require_products,
    resolve_device,
    set_precision,
)

__all__ = ["ROUNDS", "calibrate", "device_name"]

ROUNDS = 7
"""Blocks of steps for each shape; a median of fewer than 6 has no interval of 95 %."""


def calibrate(grid: Grid, rounds: int = ROUNDS) -> Path:
    """Measure the shapes of a grid that the device's file does not have yet, and return the path of that file.

    Each round times one block of steps of every shape that needs it, in random order, so that a drift of the machine's
    speed affects all shapes alike. The file is written after each round, and an interrupted call continues from there.
    Shapes of other grids stay in the file. Nothing else should run on the machine: it would be measured too.

    Args:
        grid: its cells are measured; seeds do not matter.
        rounds: number of blocks of steps for each shape.

    Raises:
        ConfigError: the machine has no such device, or the device lacks products that a shape needs.
        ResourceError: there is no fused kernel for a shape, and the setting `kernel` asks for one.
        ResultsError: the present file is damaged, or the new one cannot be written.
    """
    with taking(grid.settings.kernel):
        return _calibrated(grid, rounds)


def _calibrated(grid: Grid, rounds: int) -> Path:
    device, threads = resolve_device(grid.settings.device), grid.settings.threads
    torch.set_num_threads(threads)
    keep_freed_memory()  # as in a job
    name = device_name(device, threads, grid.settings.kernel)
    path = calibration_path(grid.settings.results, name)
    calibration = read_calibration(path) if path.exists() else Calibration(name)
    # a generation's networks have no one shape, so that its step has no calibrated time
    cells = distinct_shapes(cell for cell in grid.cells.values() if cell.model.trainer == "gradient")
    for shape, cell in cells.items():
        require_products(cell, device)
        route = required_route(cell, grid.settings.kernel, device.type)
        measured = calibration.shapes.get(shape)
        if measured is None or kinds_of(measured.kernel) != route.kind:
            text = json.dumps(describe_shape(cell), sort_keys=True)
            calibration.shapes[shape] = Measurement(text, _software(), kernel=str(route))
    num_blocks = {shape: len(calibration.shapes[shape].block_times) for shape in cells}
    num_pending = sum(number < rounds for number in num_blocks.values())
    _say(f"{name}: {len(cells)} shapes, {num_pending} to be measured")
    too_large: set[str] = set()
    for number in range(min(num_blocks.values(), default=rounds), rounds):
        pending = [
            shape for shape, blocks in num_blocks.items() if blocks <= number and shape not in too_large
        ]
        too_large |= _time_round(calibration, {shape: cells[shape] for shape in pending}, device, number)
        write_calibration(path, calibration)
        _say(f"round {number + 1} of {rounds}: {len(pending)} shapes timed")
    unmeasured = [shape for shape in cells if math.isnan(calibration.shapes[shape].peak_memory)]
    unmeasured = [shape for shape in unmeasured if shape not in too_large]
    _measure_memory(
        calibration, {shape: cells[shape] for shape in unmeasured}, device, threads, grid.settings.kernel
    )
    write_calibration(path, calibration)
    return path


def device_name(device: torch.device, threads: int, kernel: Kernel) -> str:
    """Return kind and model of a device, for a CPU with the number of threads, and the routes of recurrences.

    Args:
        device: the device.
        threads: number of CPU threads.
        kernel: the setting that chooses the route.
    """
    model = f"{device.type} {platform.machine()}"
    if device.type == "cuda":
        model = f"cuda {torch.cuda.get_device_name(device)}"
    elif device.type == "cpu":
        model = f"cpu {cpu_model()}, {threads} thread{'s' if threads > 1 else ''}"
    return f"{model}, {routes_on(kernel, device.type)}"


def _time_round(
    calibration: Calibration, cells: Mapping[str, Cell], device: torch.device, number: int
) -> set[str]:
    """Time one block of every shape in the random order of this round; return the shapes that memory does not hold."""
    names = list(cells)
    too_large = set()
    for index in np.random.default_rng(derive_seed("calibration order", number)).permutation(len(names)):
        shape = names[index]
        cell = cells[shape]
        measurement = calibration.shapes[shape]
        set_precision(cell.training.precision, device)
        try:
            seconds, steps = TimedLane(cell, random_examples(cell, device)).block()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            too_large.add(shape)
            _say(f"{shape}: out of memory, not measured: {measurement.specification}")
            continue
        calibration.shapes[shape] = measurement.with_block(seconds, steps, _software())
    return too_large


def _measure_memory(
    calibration: Calibration, cells: Mapping[str, Cell], device: torch.device, threads: int, kernel: Kernel
) -> None:
    sizes = peak_memory(list(cells.values()), device, threads, kernel)
    for shape, size in zip(cells, sizes, strict=True):
        calibration.shapes[shape] = calibration.shapes[shape].with_memory(size)
    num_measured = sum(not math.isnan(size) for size in sizes)
    _say(f"peak memory of {num_measured} shapes measured")


def _software() -> str:
    return f"hornlib {version()}, torch {torch.__version__}"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
