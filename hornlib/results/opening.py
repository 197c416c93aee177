"""Opening results.nc: all of it, one sweep, or one model with its parameters as dense dimensions."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from hornlib.errors import ResultsError, nearest
from hornlib.results.netcdf import load_dataset
from hornlib.results.results_file import RESULTS_FILE
from hornlib.results.text import with_plain_text
from hornlib.results.variables import SWEEP_COORDINATES

__all__ = ["axes_of", "dense", "open_results", "part_of_results", "select_sweep"]

POINTS_A_CELL = 100
"""Most points of a dense grid for each cell; above, memory would mostly hold NaN."""


def open_results(
    path: str | Path = "results/results.nc", sweep: str | None = None, model: str | None = None
) -> xr.Dataset:
    """Read results.nc into memory and close it; counts are integers, and parameters that no cell has are left out.

    `xarray.open_dataset(path)` works too, gives everything as it is stored, and does not verify the file.

    Args:
        path: the file, or partial.nc.
        sweep: keep the cells, seeds and steps of this sweep; the coordinates `arm` and `label` are those of the sweep.
        model: keep the cells of this model; parameters that differ among them become dimensions, in which a point
            without a cell is NaN, and the others become scalars. The coordinate `cell_name` has the cells' names.

    Raises:
        ResultsError: there is no such file, sweep or model, or the file is damaged, or another program wrote it.
    """
    return part_of_results(load_dataset(Path(path), RESULTS_FILE), sweep, model)


def part_of_results(ds: xr.Dataset, sweep: str | None = None, model: str | None = None) -> xr.Dataset:
    """Return a part of results that are read already, as `open_results` gives it: many sweeps need one reading.

    Args:
        ds: from `open_results`, all of it (cell, seed, step).
        sweep, model: as for `open_results`.

    Raises:
        ResultsError: there is no such sweep or model.
    """
    if sweep is not None:
        ds = select_sweep(ds, sweep)
    if model is not None:
        ds = dense(ds, model)
    return with_plain_text(_restore_integers(_drop_absent(ds)))


def select_sweep(ds: xr.Dataset, sweep: str) -> xr.Dataset:
    """Return the cells of a sweep with the seeds it wants and the steps it has.

    Args:
        ds: from `open_results` (cell, seed, step).
        sweep: its name.

    Returns:
        The part of `ds`; its coordinates `arm` and `label` are those of the sweep.

    Raises:
        ResultsError: there is no such sweep.
    """
    if ds.attrs.get("sweep") == sweep:
        return ds
    sweeps = [str(name).removeprefix("in_") for name in ds.coords if str(name).startswith("in_")]
    if sweep not in sweeps:
        raise ResultsError(f"there is no sweep {sweep!r}{nearest(sweep, sweeps)}; valid: {', '.join(sweeps)}")
    member = ds[f"in_{sweep}"]
    ds = ds.isel(cell=np.flatnonzero(member)).sel(seed=np.atleast_1d(member.attrs["seeds"]))
    is_evaluated = ds["samples"].notnull().any("cell")
    if is_evaluated.any():  # a sweep without any run yet has no steps of its own
        ds = ds.isel(step=np.flatnonzero(is_evaluated))
    label = f"label_in_{sweep}"
    if label in ds.coords:  # files of hornlib 0.1 have no labels
        ds = ds.assign_coords(label=ds[label])
    ds = ds.assign_coords(arm=ds[f"arm_{sweep}"])
    return _without_sweeps(ds, sweeps).assign_attrs(sweep=sweep)


def _without_sweeps(ds: xr.Dataset, sweeps: list[str]) -> xr.Dataset:
    names = [f"{prefix}{sweep}" for sweep in sweeps for prefix in SWEEP_COORDINATES]
    return ds.drop_vars(names, errors="ignore")


def dense(ds: xr.Dataset, model: str) -> xr.Dataset:
    """Return one model's cells on the grid of its varying parameters.

    Args:
        ds: from `open_results` (cell, seed, step).
        model: its name.

    Returns:
        The variables with one dimension for each varying parameter in place of `cell`: (*parameters, seed, step). A
        point of the grid without a cell has NaN, "", or the status `unwanted`.

    Raises:
        ResultsError: there is no such model, or its cells are too scattered for a grid.
    """
    models = np.unique(ds["model"].values).tolist()
    if model not in models:
        raise ResultsError(f"there is no model {model!r}{nearest(model, models)}; valid: {', '.join(models)}")
    ds = ds.isel(cell=np.flatnonzero(ds["model"] == model)).load()
    ds = ds.drop_vars([name for name in ds.coords if str(name).startswith(tuple(SWEEP_COORDINATES))])
    ds = ds.assign_coords(cell_name=("cell", ds["cell"].values, ds["cell"].attrs)).drop_vars("cell")
    constant = [name for name in _parameters(ds) if len(_coded(ds[name])[0]) == 1]
    axes = axes_of(ds, model)
    coded = {axis: _coded(ds[axis]) for axis in axes}
    points = int(np.prod([len(values) for values, _ in coded.values()]))
    if points > POINTS_A_CELL * ds.sizes["cell"]:
        raise ResultsError(
            f"the {ds.sizes['cell']} cells of {model} vary in {', '.join(axes)}, a grid of {points} points; "
            "choose a sweep too, or use open_results() without `model`, and Dataset.query"
        )
    ds = ds.assign_coords({name: ds[name].isel(cell=0, drop=True) for name in constant})
    if not axes:
        return ds.isel(cell=0)
    return _unstacked(ds, coded)


def _unstacked(ds: xr.Dataset, coded: dict[str, tuple[np.ndarray, np.ndarray]]) -> xr.Dataset:
    """Turn `cell` into the axes; their values are unstacked as codes, since unstack would lose a NaN."""
    text = {name: "" for name, variable in ds.variables.items() if variable.dtype.kind in "UO"}
    described = {axis: ds[axis].attrs for axis in coded}
    # not set_index, which makes no MultiIndex of a single axis
    index = pd.MultiIndex.from_arrays([codes for _, codes in coded.values()], names=list(coded))
    ds = ds.drop_vars(list(coded)).assign_coords(xr.Coordinates.from_pandas_multiindex(index, "cell"))
    others = {name: np.nan for name in ds.variables if name not in text}
    ds = ds.unstack("cell", fill_value={**others, **text, "status": "unwanted"})
    ds = ds.assign_coords({axis: (axis, values, described[axis]) for axis, (values, _) in coded.items()})
    return ds.transpose(*coded, ...)


def axes_of(ds: xr.Dataset, model: str) -> list[str]:
    """Return the fewest varying parameters that distinguish all cells of a model.

    Derived parameters are left out first, then the last ones, as long as no two cells become equal.

    Args:
        ds: the cells of one model (cell, seed, step).
        model: its name.
    """
    codes = {name: _coded(ds[name])[1] for name in _parameters(ds)}
    axes = [name for name, code in codes.items() if code.any()]
    derived = [name for name in axes if model in ds[name].attrs.get("derived_for", "").split()]
    given = [name for name in axes if name not in derived]
    for name in [*reversed(derived), *reversed(given)]:
        rest = [other for other in axes if other != name]
        num_distinct = np.unique(np.array([codes[other] for other in rest]), axis=1).shape[1] if rest else 1
        if num_distinct == ds.sizes["cell"]:
            axes = rest
    return axes


def _coded(values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values, ascending, and the index of each cell's value; NaN and "" are values too."""
    return np.unique(values.values, return_inverse=True)


def _parameters(ds: xr.Dataset) -> list[str]:
    """Return the coordinates on `cell` that are parameters or derived from them."""
    return [
        str(name) for name, values in ds.coords.items() if values.dims == ("cell",) and "kind" in values.attrs
    ]


def _drop_absent(ds: xr.Dataset) -> xr.Dataset:
    """Drop the parameters that no cell has."""
    described = [name for name, values in ds.coords.items() if "kind" in values.attrs]
    return ds.drop_vars([name for name in described if _is_absent(ds[name].values)])


def _is_absent(values: np.ndarray) -> bool:
    return bool((values == "").all()) if values.dtype.kind in "UO" else bool(np.isnan(values).all())


def _restore_integers(ds: xr.Dataset) -> xr.Dataset:
    """Convert counts, which the file holds as floats because of NaN, to integers where every cell has one."""
    counts = [
        name
        for name, values in ds.coords.items()
        if values.attrs.get("kind") == "integer" and not np.isnan(values.values).any()
    ]
    return ds.assign_coords({name: ds[name].astype(np.int64) for name in counts})
