"""Calibrating a device: every distinct shape of a grid timed over rounds of random order, resumable."""

import json
import math
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from hornlib.calibration.memory import peak_memory
from hornlib.calibration.timing import Trial, random_examples
from hornlib.grid import Grid
from hornlib.grid.cell import Cell
from hornlib.grid.shapes import describe_shape, distinct_shapes
from hornlib.provenance import version
from hornlib.randomness import derive_seed
from hornlib.results.calibration_file import (
    Calibration,
    Measurement,
    calibration_path,
    read_calibration,
    write_calibration,
)
from hornlib.training.job import is_out_of_memory, resolve_device, set_precision

__all__ = ["ROUNDS", "calibrate", "device_name"]

ROUNDS = 7
"""Blocks of steps a shape; 6 are the fewest from which a median has an interval of 95 %."""


def calibrate(grid: Grid, rounds: int = ROUNDS) -> Path:
    """Measure what is not yet known of the grid's shapes on this device, and return the device's file.

    In each round every shape that lacks it is timed for one block of steps, in a random order, so that a
    drift of the machine's speed hits all alike; after each round the file is written, and a call that was
    interrupted goes on from there. Shapes of other grids stay in the file as they are. Run it alone on the
    machine: whatever runs beside it is measured too.

    Args:
        grid: its cells are measured, seeds do not matter.
        rounds: blocks of steps a shape.

    Raises:
        ConfigError: the device is not there.
        ResultsError: the file that is there is damaged, or cannot be written.
    """
    device, threads = resolve_device(grid.settings.device), grid.settings.threads
    torch.set_num_threads(threads)
    name = device_name(device, threads)
    path = calibration_path(grid.settings.results, name)
    known = read_calibration(path) if path.exists() else Calibration(name)
    wanted = distinct_shapes(grid.cells.values())
    for shape, cell in wanted.items():
        text = json.dumps(describe_shape(cell), sort_keys=True)
        known.shapes.setdefault(shape, Measurement(text, _software()))
    started = {shape: len(known.shapes[shape].block_times) for shape in wanted}
    _say(f"{name}: {len(wanted)} shapes, {sum(done < rounds for done in started.values())} to be measured")
    too_large: set[str] = set()
    for number in range(min(started.values(), default=rounds), rounds):
        pending = [shape for shape, done in started.items() if done <= number and shape not in too_large]
        too_large |= _time_round(known, {shape: wanted[shape] for shape in pending}, device, number)
        write_calibration(path, known)
        _say(f"round {number + 1} of {rounds}: {len(pending)} shapes timed")
    unknown = [shape for shape in wanted if math.isnan(known.shapes[shape].peak_memory)]
    _measure_memory(known, wanted, [shape for shape in unknown if shape not in too_large], device, threads)
    write_calibration(path, known)
    return path


def device_name(device: torch.device, threads: int) -> str:
    """Return kind and model of a device; of a CPU its threads too, on which its times depend."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        return f"cpu {_processor()}, {threads} thread{'s' if threads > 1 else ''}"
    return f"{device.type} {platform.machine()}"


def _processor() -> str:
    """Return the model of the processor: as Linux tells it, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _time_round(known: Calibration, cells: Mapping[str, Cell], device: torch.device, number: int) -> set[str]:
    """Time one block of every shape, in an order of the round's own; return those that memory does not hold."""
    names = list(cells)
    too_large = set()
    for index in np.random.default_rng(derive_seed("calibration order", number)).permutation(len(names)):
        shape = names[index]
        cell = cells[shape]
        set_precision(cell.training.precision, device)
        try:
            seconds, steps = Trial(cell, random_examples(cell, device)).block()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            too_large.add(shape)
            _say(f"{shape}: out of memory, not measured: {known.shapes[shape].specification}")
            continue
        known.shapes[shape] = known.shapes[shape].with_block(seconds, steps, _software())
    return too_large


def _measure_memory(
    known: Calibration,
    cells: Mapping[str, Cell],
    shapes: Sequence[str],
    device: torch.device,
    threads: int,
) -> None:
    sizes = peak_memory([cells[shape] for shape in shapes], device, threads)
    for shape, size in zip(shapes, sizes, strict=True):
        known.shapes[shape] = known.shapes[shape].with_memory(size)
    told = sum(not math.isnan(size) for size in sizes)
    _say(f"peak memory of {told} shapes measured")


def _software() -> str:
    return f"hornlib {version()}, torch {torch.__version__}"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
