"""What a grid will cost: device seconds by the rate of earlier runs, and bytes on disk."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hornlib.errors import ConfigError, ResultsError
from hornlib.grid import Grid
from hornlib.grid.cell import Cell, parse_specification
from hornlib.grid.jobs import Job, Range
from hornlib.grid.matching import forward_flops
from hornlib.results.run_file import read_contents

__all__ = ["Estimates", "training_forward_flops"]

MOST_FILES_READ = 64
"""Opening a run file takes milliseconds; so many give every group of cells a few."""

FILE_BYTES, EVALUATION_BYTES = 18_000, 80
"""Of a run file: netCDF-4's own structures, and some ten numbers of 8 bytes an evaluation and seed."""


def training_forward_flops(cell: Cell) -> float:
    """Return examples times forward FLOPs of a whole training; seconds grow with it within one model."""
    steps = cell.training.total_steps(cell.data.num_train)
    examples = min(cell.training.batch_size, cell.data.num_train)
    return steps * examples * forward_flops(cell.model, cell.task())


@dataclass
class Estimates:
    """Costs learned from run files; what was never measured is None, and never guessed.

    Attributes:
        seconds: cell name -> seconds of one run, where it was measured.
        rates: (model, dataset) and (model, "") -> seconds of a run over its `training_forward_flops`.
        bytes_per_file: mean size of the run files there are, or None.
        num_files: how many files were read.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    rates: dict[tuple[str, str], float] = field(default_factory=dict)
    bytes_per_file: float | None = None
    num_files: int = 0

    @classmethod
    def from_runs(cls, grid: Grid, present: Mapping[str, Sequence[Range]]) -> "Estimates":
        """Learn from a sample of the run files in the results folder, those of the grid's own cells first."""
        found = _sample(grid, present)
        seconds: dict[str, list[float]] = {}
        rates: dict[tuple[str, str], list[float]] = {}
        sizes = []
        for path in found:
            measured = _read(path)
            if measured is None:
                continue
            cell, runs = measured
            seconds.setdefault(cell.name, []).extend(runs)
            for key in ((cell.model.name, cell.data.name), (cell.model.name, "")):
                rates.setdefault(key, []).extend(run / training_forward_flops(cell) for run in runs)
            sizes.append(path.stat().st_size)
        return cls(
            {name: statistics.median(runs) for name, runs in seconds.items()},
            {key: statistics.median(values) for key, values in rates.items()},
            statistics.mean(sizes) if sizes else None,
            len(sizes),
        )

    def run_seconds(self, cell: Cell) -> float | None:
        """Return the device seconds of one run: as measured, else by the rate of its model, else None."""
        if cell.name in self.seconds:
            return self.seconds[cell.name]
        by_dataset = self.rates.get((cell.model.name, cell.data.name))
        rate = by_dataset if by_dataset is not None else self.rates.get((cell.model.name, ""))
        return None if rate is None else rate * training_forward_flops(cell)

    def job_bytes(self, cell: Cell, seeds: Range) -> float:
        """Return the size of a job's run file: the mean of those there are, else in closed form."""
        if self.bytes_per_file is not None:
            return self.bytes_per_file
        evaluations = len(cell.training.evaluation_steps(cell.data.num_train))
        return FILE_BYTES + EVALUATION_BYTES * evaluations * len(seeds.seeds())


def _sample(grid: Grid, present: Mapping[str, Sequence[Range]]) -> list[Path]:
    """Return up to `MOST_FILES_READ` paths, evenly spread, one a cell; the grid's own before others."""
    first_files = [
        grid.run_path(Job(cell, min(ranges)))
        for cell, ranges in sorted(present.items(), key=lambda item: item[0] not in grid.cells)
    ]
    own = sum(cell in grid.cells for cell in present)
    return _spread(first_files[:own] or first_files)


def _spread(paths: Sequence[Path]) -> list[Path]:
    stride = max(1, math.ceil(len(paths) / MOST_FILES_READ))
    return list(paths[::stride])


def _read(path: Path) -> tuple[Cell, list[float]] | None:
    """Return a run file's cell and the seconds of its runs; None where there is nothing to learn.

    A diverged run stopped early, so its seconds say nothing; a damaged file is for gather to tell.
    """
    try:
        contents = read_contents(path)
        cell = parse_specification(contents.specification)
        last = contents.variables["seconds"][:, -1]
    except (ResultsError, ConfigError, KeyError, IndexError):
        return None
    runs = [float(seconds) for seconds in last if not math.isnan(seconds)]
    return (cell, runs) if runs else None
