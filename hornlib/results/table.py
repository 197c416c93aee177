"""The layout of results.nc: which arrays it has, how each is filled from run files, and how it is written."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hornlib import __version__
from hornlib.config import SECTIONS
from hornlib.grid import Grid
from hornlib.grid.cell import Cell
from hornlib.grid.shapes import distinct_shapes
from hornlib.provenance import commit
from hornlib.results.calibrated_seconds import LONG_NAME, calibrated_seconds
from hornlib.results.calibration import (
    CALIBRATED,
    EXPLAINED,
    Calibration,
    Measurement,
    median_bounds,
    read_calibrations,
)
from hornlib.results.choices import CHOSEN, chosen_variables
from hornlib.results.coordinates import (
    DESCRIBED,
    CellValues,
    Coordinate,
    add_derived,
    coordinate_values,
    coordinates_of,
)
from hornlib.results.final_network import FORWARD_FLOPS, final_forward_flops, may_change
from hornlib.results.run_file import SCHEMA_VERSION, RunFile
from hornlib.results.run_variables import CURVES, PROVENANCE, VARIABLES

if TYPE_CHECKING:
    import netCDF4

    from hornlib.results.selection_file import Choice

__all__ = ["Table"]

DIMENSIONS = ("cell", "seed", "step")

NOT_MEASURED = Measurement("", "")

CELLS_A_CHUNK = 128
"""Cells compressed together: reading one sweep out of many should not unpack all."""


class Table:
    """What is gathered; its arrays are made one at a time, so that memory is the run files' and one array's.

    Args:
        grid: cells, sweeps and wanted seeds.
        runs: the chosen run files of every cell, by name; at least one file in all.
        choices: what was chosen for the tuned cells, whose values the grid's cells already have.
    """

    def __init__(
        self,
        grid: Grid,
        runs: Mapping[str, list[RunFile]],
        choices: Mapping[str, "Choice"] | None = None,
    ) -> None:
        self.grid, self.runs, self.choices = grid, runs, choices or {}
        files = [run for own in runs.values() for run in own]
        wanted = (seed for seeds in grid.seeds.values() for seed in seeds)
        seeds = np.array(sorted({*wanted, *(seed for run in files for seed in run.job.range.seeds())}))
        steps = np.unique(np.concatenate([run.variables["step"] for run in files]))
        self.axes = {"cell": np.array(list(grid.cells), object), "seed": seeds, "step": steps}
        self.curves = [name for name in CURVES if any(name in run.variables for run in files)]
        self.places = {
            id(run): {
                name: np.searchsorted(self.axes[name], run.variables[name]) for name in ("seed", "step")
            }
            for run in files
        }

    def write(self, path: Path, mixed_versions: str) -> None:
        """Write everything under the name given, be it temporary.

        Args:
            path: where.
            mixed_versions: files of each version as JSON, or nothing.
        """
        import netCDF4

        with netCDF4.Dataset(path, "w") as file:
            for dimension, values in self.axes.items():
                file.createDimension(dimension, len(values))
            _write(
                file, "cell", ("cell",), self.axes["cell"], {"units": "1", "long_name": "name of the cell"}
            )
            _write(file, "seed", ("seed",), self.axes["seed"], _attributes("seed"))
            _write(file, "step", ("step",), self.axes["step"], _attributes("step"))
            on_cell = [*self._write_parameters(file), *self._write_sweeps(file)]
            self._write_curves(file)
            self._write_runs(file)
            self._write_calibrations(file)
            self._write_choices(file)
            file.setncatts(
                {
                    "title": "Results of hornlib sweeps",
                    "schema_version": SCHEMA_VERSION,
                    "hornlib_version": __version__,
                    "hornlib_commit": commit(),
                    "mixed_versions": mixed_versions,
                    "coordinates": " ".join(on_cell),
                }
            )

    def _write_parameters(self, file: "netCDF4.Dataset") -> list[str]:
        """Write every parameter and what follows from it; return the names."""
        cells = {cell: coordinate_values(cell) for cell in self.grid.cells.values()}
        described = _described(cells)
        for name, coordinate in described.items():
            models = dict.fromkeys(cell.model.name for cell, own in cells.items() if name in own.follows)
            attributes = {**coordinate.attributes(name), "derived_for": " ".join(models)}
            column = _column([own.values.get(name) for own in cells.values()], coordinate)
            _write(file, name, ("cell",), column, attributes)
        return list(described)

    def _write_sweeps(self, file: "netCDF4.Dataset") -> list[str]:
        """Write which cells belong to which sweep and arm; return the names."""
        names = []
        for name, arms, seeds, *_ in self.grid.sweeps.values():
            attributes = {"units": "1", "long_name": f"whether the cell belongs to the sweep {name}"}
            members = np.array([cell in arms for cell in self.axes["cell"]])
            _write(file, f"in_{name}", ("cell",), members, {**attributes, "seeds": np.array(seeds)})
            attributes = {"units": "1", "long_name": f"arm of the sweep {name}"}
            labels = np.array([arms.get(cell, "") for cell in self.axes["cell"]], object)
            _write(file, f"arm_{name}", ("cell",), labels, attributes)
            names += [f"in_{name}", f"arm_{name}"]
        return names

    def _write_curves(self, file: "netCDF4.Dataset") -> None:
        for name in self.curves:
            values = self._filled(DIMENSIONS, partial(_variable, name))
            _write(file, name, DIMENSIONS, values, _attributes(name))
        for name in self.curves:
            values = self._filled(DIMENSIONS[:2], partial(_last, name))
            _write(file, f"final_{name}", DIMENSIONS[:2], values, _attributes(name, "at the last evaluation"))
        samples = self._filled(("cell", "step"), lambda run: run.variables["samples"])
        _write(file, "samples", ("cell", "step"), samples, _attributes("samples"))

    def _write_runs(self, file: "netCDF4.Dataset") -> None:
        """Write what there is once a run: how it ended, and on what it was trained."""
        for name in ("diverged_at_step", "lanes"):
            values = self._filled(DIMENSIONS[:2], partial(_variable, name))
            _write(file, name, DIMENSIONS[:2], values, _attributes(name))
        for name, (_, units, long_name, _) in PROVENANCE.items():
            values = self._filled(
                DIMENSIONS[:2], partial(_provenance, name), np.nan if name == "threads" else ""
            )
            _write(file, name, DIMENSIONS[:2], values, {"units": units, "long_name": long_name})
        attributes = {"units": "1", "long_name": "how the run ended: complete, diverged, missing or unwanted"}
        _write(file, "status", DIMENSIONS[:2], self._status(), attributes)
        if any(may_change(cell) for cell in self.grid.cells.values()):  # elsewhere `forward_flops` says it
            flops = self._filled(
                DIMENSIONS[:2], lambda run: final_forward_flops(run, self.grid.cells[run.job.cell])
            )
            _write(file, "final_forward_flops", DIMENSIONS[:2], flops, FORWARD_FLOPS)

    def _write_calibrations(self, file: "netCDF4.Dataset") -> None:
        """Write step time and peak memory by device; nothing, not even the dimension, where none is calibrated."""
        known = read_calibrations(self.grid.settings.results)
        cells = [self.grid.cells[cell] for cell in self.axes["cell"]] if known else []
        shapes = [list(distinct_shapes([cell])) for cell in cells]  # its own first, then what it may become
        found = [own for own in known if not {first for first, *_ in shapes}.isdisjoint(own.shapes)]
        if not found:
            return
        axes = {
            "calibration_device": np.array([own.device for own in found], object),
            "bound": np.array(["low", "high"], object),
        }
        for name, long_name in (
            ("calibration_device", "device that step times were measured on"),
            ("bound", "end of the interval"),
        ):
            file.createDimension(name, len(axes[name]))
            _write(file, name, (name,), axes[name], {"units": "1", "long_name": long_name})
        for name, (dims, units, long_name) in CALIBRATED.items():
            values = np.array([[_calibrated(own, those, name) for own in found] for those in shapes], float)
            attributes = {"units": units, "long_name": long_name, **EXPLAINED[name]}
            _write(file, name, ("cell", "calibration_device", *dims[1:]), values, attributes)
        if any(len(those) > 1 for those in shapes):  # elsewhere step times say it
            self._write_calibrated_seconds(file, found)

    def _write_calibrated_seconds(self, file: "netCDF4.Dataset", calibrations: list[Calibration]) -> None:
        """Write the seconds of every run by device."""
        by_device = [self._filled(DIMENSIONS, partial(self._seconds, own)) for own in calibrations]
        attributes = {"units": "s", "long_name": LONG_NAME}
        dims = (*DIMENSIONS, "calibration_device")
        _write(file, "calibrated_seconds", dims, np.stack(by_device, -1), attributes)

    def _seconds(self, calibration: Calibration, run: RunFile) -> np.ndarray:
        return calibrated_seconds(run, self.grid.cells[run.job.cell], calibration)

    def _write_choices(self, file: "netCDF4.Dataset") -> None:
        """Write what tuning found; nothing, not even the dimension, where nothing was tuned."""
        found = chosen_variables(self.axes["cell"].tolist(), self.choices)
        if not found:
            return
        trials = np.arange(found["trial_score"][1].shape[1])
        file.createDimension("trial", len(trials))
        _write(file, "trial", ("trial",), trials, {"units": "1", "long_name": "trial"})
        for name, (dims, values) in found.items():
            attributes = {"units": CHOSEN[name].units, "long_name": CHOSEN[name].long_name}
            _write(file, name, dims, values, attributes)

    def _status(self) -> np.ndarray:
        status = self._filled(DIMENSIONS[:2], lambda run: run.variables["status"], "missing")
        for row, cell in zip(status, self.axes["cell"], strict=True):
            row[~np.isin(self.axes["seed"], self.grid.seeds[cell])] = "unwanted"
        return status

    def _filled(
        self, dims: tuple[str, ...], values: Callable[[RunFile], Any], fill: float | str = np.nan
    ) -> np.ndarray:
        """Return an array over `dims` with the values of every run file in their place."""
        shape = [len(self.axes[dimension]) for dimension in dims]
        array = np.full(shape, fill, object if isinstance(fill, str) else np.float64)
        for part, cell in zip(array, self.axes["cell"], strict=True):
            for run in self.runs[cell]:
                if (found := values(run)) is not None:
                    part[np.ix_(*(self.places[id(run)][name] for name in dims[1:]))] = found
        return array


def _calibrated(calibration: Calibration, shapes: list[str], name: str) -> float | tuple[float, float]:
    """Return one of `CALIBRATED` of a cell's first shape, of memory the most of all; NaN where one was not measured."""
    own, *_ = measured = [calibration.shapes.get(shape, NOT_MEASURED) for shape in shapes]
    if name == "peak_memory":
        return float(np.max([each.peak_memory for each in measured]))
    return median_bounds(own.block_times) if name == "step_time_bound" else own.step_time


def _described(cells: Mapping[Cell, CellValues]) -> dict[str, Coordinate]:
    """Return every coordinate that these cells have."""
    classes = {(section, type(getattr(cell, section))): None for section in SECTIONS for cell in cells}
    found = coordinates_of(classes)
    for cell, own in cells.items():
        add_derived(found, own.derived, cell.model.name)
    return {**found, **DESCRIBED}


def _variable(name: str, run: RunFile) -> np.ndarray | None:
    return run.variables.get(name)


def _last(name: str, run: RunFile) -> np.ndarray | None:
    curve = run.variables.get(name)
    return None if curve is None else curve[:, -1]


def _provenance(name: str, run: RunFile) -> np.ndarray:
    """Return what a run file's attributes say of its training, (seed,)."""
    if name == "hornlib_version" and "hornlib_versions_trained" in run.attributes:
        name = "hornlib_versions_trained"
    value = run.attributes.get(name, np.nan if name == "threads" else "")
    return np.full(len(run.variables["seed"]), value, np.float64 if name == "threads" else object)


def _attributes(name: str, suffix: str = "") -> dict[str, Any]:
    variable = VARIABLES[name]
    return {"units": variable.units, "long_name": f"{variable.long_name} {suffix}".strip()}


def _column(values: list[Any], coordinate: Coordinate) -> np.ndarray:
    """Return a parameter over cells: text with "" where absent, or float64 with NaN."""
    if coordinate.kind == "string":
        return np.array(["" if value is None else value for value in values], object)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _write(
    file: "netCDF4.Dataset",
    name: str,
    dims: tuple[str, ...],
    values: np.ndarray,
    attributes: Mapping[str, Any],
) -> None:
    """Write one variable as xarray would: text as netCDF strings, a bool as int8 that says so."""
    text, flags = values.dtype == object, values.dtype == bool
    options: dict[str, Any] = {"fill_value": np.nan} if values.dtype.kind == "f" else {}
    if len(dims) > 1 and not text:
        chunk = (min(CELLS_A_CHUNK, values.shape[0]), *values.shape[1:])
        options |= {"compression": "zlib", "complevel": 1, "chunksizes": chunk}
    variable = file.createVariable(name, str if text else "i1" if flags else values.dtype, dims, **options)
    variable.setncatts({**attributes, "dtype": "bool"} if flags else attributes)
    variable[...] = values.astype("i1") if flags else values
