"""A small file of every kind that hornlib writes and reads again, with the function that reads it."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import netCDF4
import numpy as np
import xarray as xr

from hornlib.data import DATASETS, MAXWELL_SMALL
from hornlib.data.prepare import prepare
from hornlib.data.reading import read
from hornlib.errors import ResultsError
from hornlib.grid import Grid, read_grid
from hornlib.grid.cell import Cell, Selection
from hornlib.mechanism.record import open_experiment, write
from hornlib.models.remembered_counts import read_counts, remember_counts
from hornlib.results import open_results
from hornlib.results.analysis_files import STABILITY_FILE, STATISTICS_FILE
from hornlib.results.calibration_file import Calibration, Measurement, read_calibration, write_calibration
from hornlib.results.dynamics_file import (
    DYNAMICS_VARIABLES,
    DynamicsRecord,
    LayerRecord,
    read_dynamics_file,
    sizes_of,
    write_dynamics_file,
)
from hornlib.results.gather import gather
from hornlib.results.netcdf import digest, load_groups, write_groups
from hornlib.results.run_file import RunRecord, read_run_file, write_run_file
from hornlib.results.seal import seal
from hornlib.results.sealing import LimitedReader
from hornlib.results.selection_file import Choice, read_choice, write_choice
from hornlib.results.tuning_file import TrialRecord, read_trials, write_trials
from hornlib.results.variables import CURVES
from hornlib.statistics.write import open_statistics

CONFIGURATION = """
results: {results}
seeds: 2
statistics: {{baseline: cnn}}
defaults:
  data: {{name: digits}}
  training: {{steps: 20, batch_size: 64}}
sweeps:
  plain:
    model:
      - {{name: horn_cnn, num_nodes: 4, timesteps: [2, 4]}}
      - {{name: cnn, channels: 4-8}}
"""

TUNED = """
  tuned:
    model:
      - {name: horn_cnn, num_nodes: 4, timesteps: 4, num_cycles: {tune: {low: 0.3, high: 0.6, scale: log}}}
      - {name: cnn, channels: 4-8}
    training: {learning_rate: {tune: {low: 1e-3, high: 1e-1, scale: log}}}
    tuning: {trials: 4, seeds: 2}
"""


class Example(NamedTuple):
    """One kind of file.

    Attributes:
        write: writes the file into a folder and returns its path.
        read: returns what the file says, or raises an error that a person can understand.
        remedy: words of the error that say what to do; "" where the program does it by itself.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], Any]
    remedy: str = "Delete it and "


def write_run(folder: Path) -> Path:
    """Write the run file of the first cell."""
    grid = _grid(folder)
    return _write_run(grid, next(iter(grid.cells.values())))


def write_unsealed_run(folder: Path) -> Path:
    """Write a run file as hornlib 0.2 did: without a seal, with a checksum of its values inside."""
    path = write_run(folder)
    contents = read_run_file(path)
    path.write_bytes(path.read_bytes()[: -len("\nhornlib sha256 \n") - 64])
    with netCDF4.Dataset(path, "a") as file:
        file.digest = digest(contents.variables)
    return path


def read_unsealed_run(path: Path) -> object:
    """Read a run file as `hornlib seal` does, then as it is read once it is sealed."""
    _limited_reader().read(path)
    seal(path)
    return read_run_file(path)


def write_dynamics(folder: Path) -> Path:
    """Write the dynamics file of the first cell."""
    grid = _grid(folder)
    cell = next(iter(grid.cells.values()))
    layers = [LayerRecord("stage_1", "oscillators", ("displacement", "velocity"), 4, (4, 8, 8))]
    sizes, random = sizes_of(2, 3, layers, 8), np.random.default_rng(0)
    numbers = {
        name: random.normal(size=[sizes[dimension] for dimension in variable.dims]).astype(np.float32)
        for name, variable in DYNAMICS_VARIABLES.items()
        if set(variable.dims) <= set(sizes)
    }
    path = folder / "dynamics" / f"{cell.name}.seeds-0-1.nc"
    write_dynamics_file(path, cell, DynamicsRecord([0, 1], [0, 3, 12], layers, 8, numbers, {}))
    return path


def write_tuning(folder: Path) -> Path:
    """Write the trials of the first tuned arm."""
    grid = _grid(folder, TUNED)
    arm = next(iter(grid.tuned_arms.values()))
    steps = _steps(arm.cell)
    shape = (arm.trials, arm.seeds, len(steps))
    values = {
        key: [span.at(trial / arm.trials) for trial in range(arm.trials)] for key, span in arm.ranges.items()
    }
    nothing = np.full(shape[:2], np.nan)
    path = folder / "tuning" / f"{arm.name}.nc"
    write_trials(path, arm, TrialRecord(range(arm.trials), values, steps, _curves(shape), nothing, {}))
    return path


def write_selection(folder: Path) -> Path:
    """Write a choice for the first tuned cell."""
    grid = _grid(folder, TUNED)
    name = next(name for name, cell in grid.cells.items() if cell.tuned is not None)
    path = grid.selection_path(name)
    selection = Selection(2, {"training.learning_rate": 0.01, "model.num_cycles": 0.4})
    write_choice(path, Choice(name, selection, [], [3.0, 2.0, 1.0, 4.0], 0.9, {"samples": 1e4}))
    return path


def write_one_calibration(folder: Path) -> Path:
    """Write the calibration of a device with three shapes."""
    measured = Measurement('{"data": {}}', "hornlib, torch", (0.2, 0.1, 0.3), 30, 2e6)
    path = folder / "calibration" / "cpu.nc"
    write_calibration(path, Calibration("cpu", {f"cnn-{number}": measured for number in range(3)}))
    return path


def write_results(folder: Path) -> Path:
    """Gather the run files of all cells."""
    grid = _grid(folder)
    for cell in grid.cells.values():
        _write_run(grid, cell)
    gather(grid)
    return folder / "results.nc"


def read_dense(path: Path) -> xr.Dataset:
    """Read one model of results.nc with dense dimensions."""
    return open_results(path, model="horn_cnn")


def write_statistics_file(folder: Path) -> Path:
    """Write a statistics file with one group."""
    attributes = {"sweeps": ["plain"], "made_from": "0" * 64}
    write_groups(folder / "statistics.nc", STATISTICS_FILE, attributes, [("plain", _dataset())])
    return folder / "statistics.nc"


def read_statistics_file(path: Path) -> xr.Dataset:
    """Read the group of a statistics file."""
    return open_statistics(path, "plain")


def write_stability_file(folder: Path) -> Path:
    """Write a stability file with two groups."""
    groups = [("cells", _dataset()), ("plane", _dataset())]
    write_groups(folder / "stability.nc", STABILITY_FILE, {}, groups)
    return folder / "stability.nc"


def read_stability_file(path: Path) -> dict[str, xr.Dataset]:
    """Read all groups of a stability file."""
    return load_groups(path, STABILITY_FILE)


def write_experiment(folder: Path) -> Path:
    """Write the file of an experiment."""
    return write(_dataset(), folder / "mechanism" / "scale.nc")


def write_checkpoint(folder: Path) -> Path:
    """Write a checkpoint with two tensors."""
    import torch

    from hornlib.training.checkpoint import save_checkpoint

    state = {"step": 7, "weights": torch.arange(500.0), "seeds": torch.arange(5), "name": "cnn"}
    save_checkpoint(folder / "checkpoints" / "cnn.pt", state)
    return folder / "checkpoints" / "cnn.pt"


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint. A job sets a damaged one aside and trains from the start."""
    from hornlib.training.checkpoint import load_checkpoint

    return load_checkpoint(path)


def write_maxwell(folder: Path) -> Path:
    """Compute the small examples of the Maxwell problem."""
    prepare("maxwell_inverse_small", folder)
    return folder / MAXWELL_SMALL.file


def read_maxwell(path: Path) -> object:
    """Read the examples of the Maxwell problem, as a job does."""
    return read(DATASETS["maxwell_inverse_small"], path.parent)


def write_counts(folder: Path) -> Path:
    """Write a cache of counts."""
    for number in range(20):
        remember_counts(folder / "counts.json", "code", f"cnn {number}", [1000 + number, 2000, 30])
    return folder / "counts.json"


def read_cached_counts(path: Path) -> dict[str, list[int]]:
    """Read a cache of counts. A damaged cache is silently empty, and the counts are made anew."""
    counts = read_counts(path, "code", 3)
    if not counts:
        raise ResultsError(f"{path}: the counts are made anew")
    return counts


EXAMPLES: Mapping[str, Example] = {
    "run file": Example(write_run, read_run_file),
    "run file of hornlib 0.2, as `hornlib seal` reads it": Example(write_unsealed_run, read_unsealed_run, ""),
    "dynamics file": Example(write_dynamics, read_dynamics_file),
    "tuning file": Example(write_tuning, read_trials),
    "selection file": Example(write_selection, read_choice),
    "calibration file": Example(write_one_calibration, read_calibration),
    "results.nc": Example(write_results, open_results, "`hornlib gather` writes it anew"),
    "results.nc, `model=`": Example(write_results, read_dense, "`hornlib gather` writes it anew"),
    "statistics.nc": Example(
        write_statistics_file, read_statistics_file, "`hornlib statistics` writes it anew"
    ),
    "stability.nc": Example(write_stability_file, read_stability_file, "`hornlib stability` writes it anew"),
    "file of an experiment": Example(write_experiment, open_experiment, "`hornlib mechanism` writes it anew"),
    "checkpoint": Example(write_checkpoint, read_checkpoint, ""),
    "examples of the Maxwell problem": Example(write_maxwell, read_maxwell, "delete them and run"),
    "cache of counts": Example(write_counts, read_cached_counts, ""),
}


@lru_cache(maxsize=1)
def _limited_reader() -> LimitedReader:
    """Return the process that reads unsealed files, with a shorter limit than that of `hornlib seal`."""
    return LimitedReader(seconds=5.0)


def _grid(folder: Path, more: str = "") -> Grid:
    path = folder / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONFIGURATION.format(results=folder) + more, encoding="utf-8")
    return read_grid([path])


def _steps(cell: Cell) -> np.ndarray:
    return np.array(cell.training.evaluation_steps(cell.data.num_train))


def _curves(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.random(shape) for name, curve in CURVES.items() if not curve.optional}


def _write_run(grid: Grid, cell: Cell) -> Path:
    """Write the run file of a cell with two seeds."""
    steps, nothing = _steps(cell), np.full(2, np.nan)
    curves = _curves((2, len(steps)))
    record = RunRecord([0, 1], steps, curves, ["complete"] * 2, nothing, np.ones(2), {"device": "cpu"})
    path = next(grid.run_path(job) for job in grid.jobs({}) if job.cell == cell.name)
    write_run_file(path, cell, record)
    return path


def _dataset() -> xr.Dataset:
    random = np.random.default_rng(0)
    attributes = {"units": "1", "long_name": "a number"}
    return xr.Dataset(
        {"ratio": (("cell", "seed"), random.random((6, 40)), attributes)},
        {"cell": [f"cell {number}" for number in range(6)], "seed": np.arange(40)},
        {"sentence": "one is faster than the other"},
    )
