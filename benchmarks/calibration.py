"""Calibrated step times against the training loop's own clock, on the shapes of a sweep.

Usage: python benchmarks/calibration.py [--configfile FILE] [--repeats 3] [--steps 60] > benchmarks/calibration.md
"""

import argparse
import os
import platform
import statistics
import tempfile
from dataclasses import replace
from importlib.metadata import version

import torch

from hornlib.calibration.calibrate import calibrate
from hornlib.data.loading import load
from hornlib.grid import Grid, read_grid
from hornlib.grid.cell import Cell
from hornlib.grid.shapes import distinct_shapes
from hornlib.kernels.route import taking
from hornlib.results.calibration_file import Calibration, median_bounds, read_calibration
from hornlib.training.chunk import Run, start_chunk
from hornlib.training.devices import keep_freed_memory, set_precision
from hornlib.training.loop import train_chunk, warm_up


def calibrated(grid: Grid) -> Calibration:
    """Calibrate the grid's shapes anew, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        settings = grid.settings.model_copy(update={"results": folder, "device": "cpu"})
        return read_calibration(calibrate(replace(grid, settings=settings)))


def trained(cell: Cell, steps: int) -> float:
    """Train one lane on the real data, and return the loop's own seconds a step."""
    short = replace(
        cell, training=cell.training.model_copy(update={"steps": steps, "evaluation_examples": 16})
    )
    device = torch.device("cpu")
    set_precision(cell.training.precision, device)
    splits = load(short.data, device)
    warm_up([Run(short, 0)], splits)
    chunk = start_chunk(short, [0], device)
    train_chunk(chunk, splits)
    return chunk.seconds / chunk.step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", default="config.yaml")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    grid = read_grid([options.configfile])
    cells = distinct_shapes(grid.cells.values())
    torch.set_num_threads(grid.settings.threads)
    keep_freed_memory()
    loops: dict[str, list[float]] = {shape: [] for shape in cells}
    loads, calibrations = [os.getloadavg()[0]], [calibrated(grid)]
    for _ in range(options.repeats):
        for shape, cell in cells.items():
            with taking(grid.settings.kernel):
                loops[shape].append(trained(cell, options.steps))
        loads.append(os.getloadavg()[0])
    calibrations.append(calibrated(grid))
    report(options, cells, loops, calibrations, loads)


def report(
    options: argparse.Namespace,
    cells: dict[str, Cell],
    loops: dict[str, list[float]],
    calibrations: list[Calibration],
    loads: list[float],
) -> None:
    """Print the table."""
    print("# Calibrated step times\n")
    print(
        f"`python benchmarks/calibration.py --configfile {options.configfile} --repeats {options.repeats} --steps "
        f"{options.steps}`: two calibrations of the distinct shapes, one before and one after {options.repeats} real "
        f"trainings of {options.steps} steps a shape, the shapes in turn. Milliseconds a step: median over 7 blocks "
        "with its interval (order statistics, 98 %), and the loop's own clock, median over trainings (smallest to "
        f"largest). {calibrations[0].device}, {os.cpu_count()} cores, "
        f"load average {min(loads):.1f} to {max(loads):.1f}: "
        "above the number of cores, times are also the neighbours'. "
        f"Python {platform.python_version()}, torch {version('torch')}.\n"
    )
    print("| model | first calibration | second | training loop | peak memory, MB |\n|---|---|---|---|---|")
    for shape, cell in cells.items():
        one, other = (calibration.shapes[shape] for calibration in calibrations)
        columns = [_with_bounds(timing.block_times) for timing in (one, other)]
        milliseconds = [1000 * seconds for seconds in loops[shape]]
        loop = f"{statistics.median(milliseconds):.2f} ({min(milliseconds):.2f} to {max(milliseconds):.2f})"
        memory = f"{one.peak_memory / 1e6:.1f}, {other.peak_memory / 1e6:.1f}"
        label = ", ".join(f"{key} {value}" for key, value in cell.model.changed().items() if key != "name")
        print(f"| {cell.model.name} ({label}) | {' | '.join(columns)} | {loop} | {memory} |")


def _with_bounds(times: tuple[float, ...]) -> str:
    low, high = median_bounds(times)
    return f"{1000 * statistics.median(times):.2f} [{1000 * low:.2f}, {1000 * high:.2f}]"


if __name__ == "__main__":
    main()
