"""The files of all jobs become one: the statistics of every network of a configuration, over cells and seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hornlib.grid import Grid
from hornlib.grid.labels import labels_of
from hornlib.importance.variables import STATISTICS
from hornlib.results.analysis_files import IMPORTANCE_FILE
from hornlib.results.coordinates import coordinate_values
from hornlib.results.netcdf import load_dataset

__all__ = ["gathered_importance"]

WEIGHT_NAMES = {"units": "1", "long_name": "names of the weights, from the input to the output"}


def gathered_importance(grid: Grid, files: Mapping[str, Sequence[Path]]) -> xr.Dataset:
    """Return the statistics of all cells, (cell, seed, ...); what a cell lacks is NaN, such as runs that diverged.

    Single connections stay in the files of the jobs.

    Args:
        grid: cells and sweeps of the configuration.
        files: name of a cell -> the files of its jobs.

    Raises:
        ResultsError: a file is missing or damaged.
    """
    parts = {name: [load_dataset(path, IMPORTANCE_FILE) for path in paths] for name, paths in files.items()}
    cells = [_cell_statistics(name, jobs, grid.seeds[name]) for name, jobs in parts.items()]
    ds = xr.concat(cells, "cell", join="outer", combine_attrs="drop", coords="minimal", compat="override")
    for name, variable in STATISTICS.items():
        ds[name] = ds[name].astype(np.float32).assign_attrs(variable.netcdf_attributes())
    names = ("cell", [_weight_names(jobs) for jobs in parts.values()], WEIGHT_NAMES)
    ds = ds.assign_coords(
        {"weight_names": names, **_parameters(grid, list(files)), **_sweeps(grid, list(files))}
    )
    ds["cell"].attrs = {"units": "1", "long_name": "name of the cell"}
    return ds.assign_attrs(title="Importance of the connections of trained networks")


def _cell_statistics(name: str, jobs: Sequence[xr.Dataset], seeds: Sequence[int]) -> xr.Dataset:
    """Return the statistics of one cell, (seed, ...), without seeds that no sweep wants."""
    parts = [job[list(STATISTICS)].drop_vars("weight_name") for job in jobs]
    ds = xr.concat(parts, "seed", join="outer", combine_attrs="override")
    return ds.isel(seed=np.flatnonzero(ds["seed"].isin(seeds))).assign_coords(cell=name)


def _weight_names(jobs: Sequence[xr.Dataset]) -> str:
    """Return the names of a cell's weights, from the input to the output; of the deepest network."""
    names: list[list[str]] = [job["weight_name"].values.astype(str).tolist() for job in jobs]
    deepest = max(names, key=len)
    return " ".join(deepest)


def _parameters(grid: Grid, cells: Sequence[str]) -> dict[str, Any]:
    """Return dataset, model and structure, and the parameters that differ between the cells, as coordinates."""
    values_of = [coordinate_values(grid.cells[name]).values for name in cells]
    names = dict.fromkeys(name for values in values_of for name in values)
    coordinates = {}
    for name in names:
        column = [values.get(name) for values in values_of]
        if name in ("dataset", "model", "structure", "metric") or len(set(column)) > 1:
            coordinates[name] = ("cell", _column(column), {"units": "1", "long_name": name.replace("_", " ")})
    return coordinates


def _column(values: Sequence[object]) -> np.ndarray:
    """Return text with "" where a cell has no value, or numbers with NaN."""
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else str(value) for value in values])
    return np.array([np.nan if value is None else value for value in values], float)


def _sweeps(grid: Grid, cells: Sequence[str]) -> dict[str, Any]:
    """Return which cells belong to which sweep and arm, and their labels, as coordinates."""
    coordinates: dict[str, Any] = {}
    for sweep in grid.sweeps.values():
        labels = labels_of(grid, sweep)
        columns = {
            "in_": (np.array([cell in sweep.arms for cell in cells], np.int8), "whether the cell belongs to"),
            "arm_": (np.array([sweep.arms.get(cell, "") for cell in cells]), "arm of"),
            "label_in_": (np.array([labels.get(cell, "") for cell in cells]), "readable name of the cell in"),
        }
        for prefix, (column, words) in columns.items():
            attributes: dict[str, Any] = {"units": "1", "long_name": f"{words} the sweep {sweep.name}"}
            if prefix == "in_":
                attributes["seeds"] = np.array(sweep.seeds)
            coordinates[f"{prefix}{sweep.name}"] = ("cell", column, attributes)
    return coordinates
