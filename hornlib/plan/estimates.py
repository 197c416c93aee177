"""What a grid will cost: device seconds by the rate of earlier runs, or guessed from FLOPs, and bytes on disk."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hornlib.errors import ConfigError, ResultsError
from hornlib.grid import Grid
from hornlib.grid.cell import Cell, parse_specification
from hornlib.grid.jobs import Job, Range
from hornlib.grid.planned import planned_costs
from hornlib.grid.routes import device_type, kinds_of, route_of

__all__ = ["Estimates", "RunTime", "rate_keys", "training_forward_flops"]

MOST_FILES_READ = 64
"""Opening a run file takes milliseconds; so many give every group of cells a few."""

FILE_BYTES, EVALUATION_BYTES = 18_000, 80
"""Of a run file: netCDF-4's own structures, and some ten numbers of 8 bytes an evaluation and seed."""


TRAINING_OVER_FORWARD = 3
"""FLOPs of a training step over those of its forward pass: a backward pass costs about two forward passes."""

USUAL_GFLOPS = {"cpu": 3.0, "cuda": 30.0, "mps": 10.0}
"""Training GFLOP/s of one run by the type of the device, for guesses before any run is measured.

On one thread of an x86-64 CPU eight pairs of small models and datasets reach 1.1 to 5.4, in the median 3.7. The numbers
for CUDA and MPS are orders of magnitude only: small networks are limited by the launches of kernels.
"""

SPARSE_OVER_DENSE_RATE = 0.15
"""GFLOP/s of a network that stores its connections alone over those of a dense one, for guesses.

Steps of multilayer perceptrons of 300 to 1568 nodes a layer at densities of .01 to .1 reach .11 to .23 on one thread of
an x86-64 CPU.
"""


def training_forward_flops(cell: Cell) -> float:
    """Return examples times forward FLOPs of a whole training; seconds grow with it within one kind of network.

    The FLOPs are those that are really computed: masks save none. A network that grows counts step by step.
    """
    examples = min(cell.training.batch_size, cell.data.num_train) * cell.model.networks_per_example
    return examples * sum(steps * cost.flops.total for steps, cost in planned_costs(cell))


def rate_keys(cell: Cell) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return under which keys the rate of a cell's runs is kept: for its dataset, and for any dataset.

    Networks of one model have one rate. A network that stores connections alone has another one than the dense model.
    """
    kind = cell.model.name
    if cell.trained_model() != cell.model:
        kind = f"{kind}, {cell.structure.name}"
    return (kind, cell.data.name), (kind, "")


class RunTime(NamedTuple):
    """Device seconds of one run, or of several together.

    Attributes:
        seconds: device seconds.
        is_guess: whether they, or a part of them, follow from FLOPs alone, since no run of the model was measured.
    """

    seconds: float
    is_guess: bool


@dataclass
class Estimates:
    """Costs that follow from run files. Seconds follow from files of the route that a recurrence takes here and now.

    Attributes:
        seconds: cell name -> seconds of one run, where it was measured.
        rates: `rate_keys` -> seconds of a run over its `training_forward_flops`.
        bytes_per_file: mean size of the run files on disk, or None.
        num_files: number of files whose seconds count.
        num_of_other_routes: number of files whose seconds do not count.
        device: type of the device: cpu, cuda or mps.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    rates: dict[tuple[str, str], float] = field(default_factory=dict)
    bytes_per_file: float | None = None
    num_files: int = 0
    num_of_other_routes: int = 0
    device: str = "cpu"

    @classmethod
    def from_runs(cls, grid: Grid, present: Mapping[str, Sequence[Range]]) -> "Estimates":
        """Return the estimates from a sample of the run files, those of the grid's cells first.

        Args:
            grid: cells, and the results folder.
            present: cell name -> the ranges of seeds of its run files.
        """
        seconds: dict[str, list[float]] = {}
        rates: dict[tuple[str, str], list[float]] = {}
        sizes, num_files, settings = [], 0, grid.settings
        for path in _sample(grid, present):
            measured = _read(path)
            if measured is None:
                continue
            cell = measured.cell
            sizes.append(path.stat().st_size)
            device = measured.device if settings.device == "auto" else device_type(settings.device)
            if measured.route != route_of(cell, settings.kernel, device).kind:
                continue
            num_files += 1
            seconds.setdefault(cell.name, []).extend(measured.seconds)
            for key in rate_keys(cell):
                rates.setdefault(key, []).extend(
                    run / training_forward_flops(cell) for run in measured.seconds
                )
        return cls(
            {name: statistics.median(runs) for name, runs in seconds.items()},
            {key: statistics.median(values) for key, values in rates.items()},
            statistics.mean(sizes) if sizes else None,
            num_files,
            len(sizes) - num_files,
            device_type(settings.device),
        )

    @property
    def measured_gflops(self) -> float | None:
        """Training GFLOP/s of one run: the median over the models that were measured, None without any."""
        rates = [rate for (_, dataset), rate in self.rates.items() if dataset == "" and rate > 0]
        return TRAINING_OVER_FORWARD / statistics.median(rates) / 1e9 if rates else None

    @property
    def gflops(self) -> float:
        """Training GFLOP/s behind the guesses: as measured on other models, else usual for the device."""
        return self.measured_gflops or USUAL_GFLOPS[self.device]

    def run_time(self, cell: Cell) -> RunTime:
        """Return the time of one run: as measured, else by the rate of its model, else guessed from its FLOPs."""
        seconds = self.run_seconds(cell)
        if seconds is not None:
            return RunTime(seconds, is_guess=False)
        flops = TRAINING_OVER_FORWARD * training_forward_flops(cell)
        rate = self.gflops * (1 if cell.trained_model() == cell.model else SPARSE_OVER_DENSE_RATE)
        return RunTime(flops / (rate * 1e9), is_guess=True)

    def run_seconds(self, cell: Cell) -> float | None:
        """Return the device seconds of one run: as measured, else by the rate of its model, else None."""
        if cell.name in self.seconds:
            return self.seconds[cell.name]
        rate = next((self.rates[key] for key in rate_keys(cell) if key in self.rates), None)
        return None if rate is None else rate * training_forward_flops(cell)

    def job_bytes(self, cell: Cell, seeds: Range) -> float:
        """Return the bytes of a job's run file: the mean of the files on disk, else a closed form.

        Args:
            cell: what the job trains.
            seeds: its seeds.
        """
        if self.bytes_per_file is not None:
            return self.bytes_per_file
        evaluations = len(cell.training.evaluation_steps(cell.data.num_train))
        return FILE_BYTES + EVALUATION_BYTES * evaluations * len(seeds.seeds())


def _sample(grid: Grid, present: Mapping[str, Sequence[Range]]) -> list[Path]:
    """Return up to `MOST_FILES_READ` paths, evenly spread, one a cell: of the grid's cells, else of other cells."""
    cells = [cell for cell in present if cell in grid.cells] or list(present)
    return _spread([grid.run_path(Job(cell, min(present[cell]))) for cell in cells])


def _spread(paths: Sequence[Path]) -> list[Path]:
    stride = max(1, math.ceil(len(paths) / MOST_FILES_READ))
    return list(paths[::stride])


class _Measured(NamedTuple):
    """What a run file says: its cell, the seconds of its runs, the kinds of its routes, and the type of its device."""

    cell: Cell
    seconds: list[float]
    route: str
    device: str


def _read(path: Path) -> _Measured | None:
    """Return what a run file says; None where there is nothing to learn.

    A diverged run stopped early, so that its seconds say nothing. Gather reports damaged files.
    """
    from hornlib.results.run_file import read_contents

    try:
        contents = read_contents(path)
        cell = parse_specification(contents.specification)
        last = contents.variables["seconds"][:, -1]
    except (ResultsError, ConfigError, KeyError, IndexError):
        return None
    runs = [float(seconds) for seconds in last if not math.isnan(seconds)]
    route = kinds_of(str(contents.attributes.get("kernel", _route_before_kernels(cell))))
    device = str(contents.attributes.get("device", "")).partition(" ")[0]
    return _Measured(cell, runs, route, device if device in USUAL_GFLOPS else "cpu") if runs else None


def _route_before_kernels(cell: Cell) -> str:
    """Return the kind of route of a run file that does not name it, since its hornlib had loops alone."""
    return "none" if cell.model.recurrence_kernel() is None else "loop"
