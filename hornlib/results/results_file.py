"""The writer of results.nc: how each of its arrays is filled from run files, calibrations and choices."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hornlib.config.reading import SECTIONS
from hornlib.grid import Grid
from hornlib.grid.cell import Cell
from hornlib.grid.labels import labels_of
from hornlib.grid.shapes import distinct_shapes
from hornlib.results.calibrated_seconds import calibrated_seconds, interpolated_steps
from hornlib.results.calibration_file import Calibration, Measurement, median_bounds, read_calibrations
from hornlib.results.choice_variables import choice_variables
from hornlib.results.coordinates import CellValues, Coordinate, add_derived, coordinate_values, coordinates_of
from hornlib.results.declaration import Variable
from hornlib.results.file_kind import SCHEMA_VERSION, FileKind, provenance
from hornlib.results.final_network import final_forward_flops, may_change
from hornlib.results.netcdf import add_variable, new_file
from hornlib.results.run_file import RunFile
from hornlib.results.unit_events import unit_events
from hornlib.results.variables import (
    CALIBRATED,
    CELL_PROPERTIES,
    CURVES,
    GATHERED_PROFILES,
    PROVENANCE,
    RESULTS_VARIABLES,
    SWEEP_COORDINATES,
)

if TYPE_CHECKING:
    import netCDF4

    from hornlib.results.selection_file import Choice

__all__ = ["RESULTS_FILE", "ResultsWriter"]

RESULTS_FILE = FileKind(
    "results file",
    SCHEMA_VERSION,
    "`hornlib gather` writes it anew",
    missing="`snakemake --cores N` makes it, and `hornlib gather --partial` writes the finished runs of an unfinished "
    "sweep to partial.nc",
    essential=("cell", "seed", "step", "samples", "status"),
)

DIMENSIONS = ("cell", "seed", "step")

NOT_MEASURED = Measurement("", "")

CELLS_A_CHUNK = 128
"""Cells that are compressed together, so that reading one sweep out of many need not decompress all."""


class ResultsWriter:
    """Writer of results.nc; it makes one array at a time, so that memory holds the run files and one array.

    Args:
        grid: cells, sweeps and wanted seeds.
        runs: the chosen run files of every cell, by name; at least one file in all.
        choices: choices for the tuned cells by name; the grid's cells have their values already.
    """

    def __init__(
        self,
        grid: Grid,
        runs: Mapping[str, list[RunFile]],
        choices: Mapping[str, "Choice"] | None = None,
    ) -> None:
        self.grid, self.runs, self.choices = grid, runs, choices or {}
        files = [run for cell_runs in runs.values() for run in cell_runs]
        wanted = (seed for seeds in grid.seeds.values() for seed in seeds)
        seeds = np.array(sorted({*wanted, *(seed for run in files for seed in run.job.range.seeds())}))
        steps = np.unique(np.concatenate([run.variables["step"] for run in files]))
        self.axes = {"cell": np.array(list(grid.cells), str), "seed": seeds, "step": steps}
        self.curves = [name for name in CURVES if any(name in run.variables for run in files)]
        self.places = {
            id(run): {
                name: np.searchsorted(self.axes[name], run.variables[name]) for name in ("seed", "step")
            }
            for run in files
        }
        self.unit_events = unit_events(runs, self.axes)

    def write(self, path: Path, mixed_versions: str) -> None:
        """Write everything, whole or not at all.

        Args:
            path: the file.
            mixed_versions: run files of each version of hornlib as JSON; "" for a single version.

        Raises:
            ResultsError: the disk is full or cannot be written.
        """
        with new_file(path) as file:
            for dimension, values in self.axes.items():
                _write(file, dimension, values)
            on_cell = [*self._write_parameters(file), *self._write_sweeps(file)]
            self._write_curves(file)
            self._write_profiles(file)
            for name, values in self.unit_events.items():
                _write(file, name, values)
            self._write_runs(file)
            self._write_calibrations(file)
            self._write_choices(file)
            file.setncatts(
                {
                    "title": "Results of hornlib sweeps",
                    **provenance(RESULTS_FILE),
                    "mixed_versions": mixed_versions,
                    "coordinates": " ".join(on_cell),
                }
            )

    def _write_parameters(self, file: "netCDF4.Dataset") -> list[str]:
        """Write every parameter and every property of cells; return the names."""
        values_of = {cell: coordinate_values(cell) for cell in self.grid.cells.values()}
        declared = {
            **{name: coordinate.declared(name) for name, coordinate in _parameters(values_of).items()},
            **CELL_PROPERTIES,
        }
        for name, variable in declared.items():
            models = dict.fromkeys(
                cell.model.name for cell, values in values_of.items() if name in values.follows
            )
            column = _column(
                [values.values.get(name) for values in values_of.values()], variable.attributes["kind"]
            )
            _write(file, name, column, _with(variable, derived_for=" ".join(models)))
        return list(declared)

    def _write_sweeps(self, file: "netCDF4.Dataset") -> list[str]:
        """Write which cells belong to which sweep and arm, and their labels; return the names."""
        first_labels: dict[str, str] = {}
        names = []
        for sweep in self.grid.sweeps.values():
            labels = labels_of(self.grid, sweep)
            first_labels = {**labels, **first_labels}
            columns = {
                "in_": [cell in sweep.arms for cell in self.axes["cell"]],
                "arm_": [sweep.arms.get(cell, "") for cell in self.axes["cell"]],
                "label_in_": [labels.get(cell, "") for cell in self.axes["cell"]],
            }
            for prefix, column in columns.items():
                variable = SWEEP_COORDINATES[prefix]
                variable = variable._replace(
                    long_name=variable.long_name.replace("the sweep", f"the sweep {sweep.name}"),
                    attributes={"seeds": np.array(sweep.seeds)} if prefix == "in_" else {},
                )
                names.append(f"{prefix}{sweep.name}")
                _write(file, names[-1], np.array(column), variable)
        _write(file, "label", np.array([first_labels.get(cell, "") for cell in self.axes["cell"]], str))
        return ["label", *names]

    def _write_curves(self, file: "netCDF4.Dataset") -> None:
        for name in self.curves:
            _write(file, name, self._filled(DIMENSIONS, partial(_variable, name)))
        for name in self.curves:
            _write(file, f"final_{name}", self._filled(DIMENSIONS[:2], partial(_last, name)))
        _write(file, "samples", self._filled(("cell", "step"), partial(_variable, "samples")))

    def _write_profiles(self, file: "netCDF4.Dataset") -> None:
        """Write the densities and active units of layers, and their widths where units come and go.

        There is no variable and no dimension without sparse networks and without networks whose units come and go.
        """
        recorded = [run.variables for cell_runs in self.runs.values() for run in cell_runs]
        wanted = (*GATHERED_PROFILES, "width") if self.unit_events else GATHERED_PROFILES
        names = [name for name in wanted if any(name in variables for variables in recorded)]
        depths = [variables[name].shape[2] for variables in recorded for name in names if name in variables]
        layers = max(depths, default=0)
        if names:
            _write(file, "layer", np.arange(layers))
        for name in names:
            by_layer = [self._filled(DIMENSIONS, partial(_of_layer, name, layer)) for layer in range(layers)]
            _write(file, name, np.stack(by_layer, -1))

    def _write_runs(self, file: "netCDF4.Dataset") -> None:
        """Write the outcome and the provenance of every run."""
        for name in ("diverged_at_step", "lanes"):
            _write(file, name, self._filled(DIMENSIONS[:2], partial(_variable, name)))
        for name in PROVENANCE:
            fill = np.nan if name == "threads" else ""
            _write(file, name, self._filled(DIMENSIONS[:2], partial(_provenance, name), fill))
        _write(file, "status", self._status())
        if any(may_change(cell) for cell in self.grid.cells.values()):  # elsewhere it equals `forward_flops`
            flops = self._filled(
                DIMENSIONS[:2], lambda run: final_forward_flops(run, self.grid.cells[run.job.cell])
            )
            _write(file, "final_forward_flops", flops)

    def _write_calibrations(self, file: "netCDF4.Dataset") -> None:
        """Write step time and peak memory by device; no variable and no dimension without a calibration."""
        measured = read_calibrations(self.grid.settings.results)
        cells = [self.grid.cells[cell] for cell in self.axes["cell"]] if measured else []
        shapes_of_cells = [list(distinct_shapes([cell])) for cell in cells]  # the first is the cell's own
        first_shapes = {first for first, *_ in shapes_of_cells}
        calibrations = [
            calibration for calibration in measured if not first_shapes.isdisjoint(calibration.shapes)
        ]
        if not calibrations:
            return
        _write(file, "calibration_device", np.array([calibration.device for calibration in calibrations]))
        _write(file, "bound", np.array(["low", "high"]))
        for name in CALIBRATED:
            values = [
                [_calibrated(calibration, shapes, name) for calibration in calibrations]
                for shapes in shapes_of_cells
            ]
            _write(file, name, np.array(values))
        if any(len(shapes) > 1 for shapes in shapes_of_cells):  # elsewhere they equal step_time * step
            by_device = [
                self._filled(DIMENSIONS, partial(self._seconds, calibration)) for calibration in calibrations
            ]
            _write(file, "calibrated_seconds", np.stack(by_device, -1))
        if self.unit_events:
            steps = self._filled(
                DIMENSIONS[:2], lambda run: interpolated_steps(run, self.grid.cells[run.job.cell])
            )
            _write(file, "interpolated_steps", steps)

    def _seconds(self, calibration: Calibration, run: RunFile) -> np.ndarray:
        return calibrated_seconds(run, self.grid.cells[run.job.cell], calibration)

    def _write_choices(self, file: "netCDF4.Dataset") -> None:
        """Write the outcome of tuning; no variable and no dimension without tuned cells."""
        variables = choice_variables(self.axes["cell"].tolist(), self.choices)
        if variables:
            _write(file, "trial", np.arange(variables["trial_score"].shape[1]))
        for name, values in variables.items():
            _write(file, name, values)

    def _status(self) -> np.ndarray:
        status = self._filled(DIMENSIONS[:2], partial(_variable, "status"), "missing")
        for row, cell in zip(status, self.axes["cell"], strict=True):
            row[~np.isin(self.axes["seed"], self.grid.seeds[cell])] = "unwanted"
        return status

    def _filled(
        self,
        dims: tuple[str, ...],
        values_of: Callable[[RunFile], np.ndarray | None],
        fill: float | str = np.nan,
    ) -> np.ndarray:
        """Return an array over `dims` with the values of every run file at its cell, seeds and steps.

        Args:
            dims: `cell`, and then `seed`, `step` or both.
            values_of: values of a run file over the other dimensions; None where it has none.
            fill: value elsewhere.
        """
        shape = [len(self.axes[dimension]) for dimension in dims]
        array = np.full(shape, fill, object if isinstance(fill, str) else np.float64)
        for part, cell in zip(array, self.axes["cell"], strict=True):
            for run in self.runs[cell]:
                if (values := values_of(run)) is not None:
                    part[np.ix_(*(self.places[id(run)][name] for name in dims[1:]))] = values
        return array


def _calibrated(calibration: Calibration, shapes: list[str], name: str) -> float | str | tuple[float, float]:
    """Return a variable of `CALIBRATED`: of the cell's first shape, or the largest peak memory of all its shapes.

    It is NaN, or "", where such a shape was not measured.
    """
    first, *_ = measurements = [calibration.shapes.get(shape, NOT_MEASURED) for shape in shapes]
    if name == "step_time_kernel":
        return first.kernel
    if name == "peak_memory":
        return float(np.max([measurement.peak_memory for measurement in measurements]))
    return median_bounds(first.block_times) if name == "step_time_bound" else first.step_time


def _parameters(values_of: Mapping[Cell, CellValues]) -> dict[str, Coordinate]:
    """Return the coordinates of all parameters that these cells have."""
    classes = {(section, type(getattr(cell, section))): None for section in SECTIONS for cell in values_of}
    coordinates = coordinates_of(classes)
    for cell, values in values_of.items():
        add_derived(coordinates, values.derived, cell.model.name)
    return coordinates


def _variable(name: str, run: RunFile) -> np.ndarray | None:
    return run.variables.get(name)


def _of_layer(name: str, layer: int, run: RunFile) -> np.ndarray | None:
    """Return the profile of a layer, (seed, step); None for a run without the profile or with fewer layers."""
    profile = run.variables.get(name)
    return None if profile is None or profile.shape[2] <= layer else profile[:, :, layer]


def _last(name: str, run: RunFile) -> np.ndarray | None:
    curve = run.variables.get(name)
    return None if curve is None else curve[:, -1]


def _provenance(name: str, run: RunFile) -> np.ndarray:
    """Return an attribute of a run file for each of its seeds, (seed,)."""
    if name == "hornlib_version" and "hornlib_versions_trained" in run.attributes:
        name = "hornlib_versions_trained"
    value = run.attributes.get(name, np.nan if name == "threads" else "")
    return np.full(len(run.variables["seed"]), value, np.float64 if name == "threads" else object)


def _with(variable: Variable, **attributes: Any) -> Variable:
    return variable._replace(attributes={**variable.attributes, **attributes})


def _column(values: Iterable[Any], kind: str) -> np.ndarray:
    """Return a coordinate over cells, (cell): text with "" where absent, or float64 with NaN."""
    if kind == "string":
        return np.array(["" if value is None else value for value in values], str)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _write(file: "netCDF4.Dataset", name: str, values: np.ndarray, declared: Variable | None = None) -> None:
    """Write a variable; without a declaration, that of `RESULTS_VARIABLES` counts."""
    declared = declared or RESULTS_VARIABLES[name]
    storage: dict[str, Any] = {}
    if values.ndim > 1:
        chunk = (min(CELLS_A_CHUNK, values.shape[0]), *values.shape[1:])
        storage = {"compression": "zlib", "complevel": 1, "chunksizes": chunk}
    add_variable(file, name, declared, values, **storage)
