"""Opening results.nc: one sweep of it, or one model with its parameters as dense dimensions."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from hornlib.errors import ResultsError, nearest
from hornlib.results.run_file import SCHEMA_VERSION

__all__ = ["axes_of", "dense", "open_results", "select_sweep"]

POINTS_A_CELL = 100
"""A grid with more points for each of its cells is no grid, and would mostly fill memory with NaN."""


def open_results(
    path: str | Path = "results/results.nc", sweep: str | None = None, model: str | None = None
) -> xr.Dataset:
    """Open results.nc, whole or in part, with counts as integers and without parameters that no cell has.

    Without `model`, values are read when they are used. `xarray.open_dataset(path)` works too, and gives
    everything as it is stored.

    Args:
        path: the file, or partial.nc.
        sweep: keep this sweep's cells, seeds and steps; its arms stand in the coordinate `arm`.
        model: keep this model's cells; parameters that differ among them become dimensions, in which a point
            without a cell is NaN, and the others become scalars. The cells' names stand in `cell_name`.

    Raises:
        ResultsError: there is no such file, sweep or model.
    """
    ds = _open(Path(path))
    if sweep is not None:
        ds = select_sweep(ds, sweep)
    if model is not None:
        ds = dense(ds, model)
    return _restore_integers(_drop_absent(ds)).drop_encoding()


def select_sweep(ds: xr.Dataset, sweep: str) -> xr.Dataset:
    """Return the cells of a sweep with the seeds it wants and the steps it has, its arms in `arm`.

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
    ds = ds.isel(step=np.flatnonzero(ds["samples"].notnull().any("cell")))
    others = [name for other in sweeps for name in (f"in_{other}", f"arm_{other}") if name != f"arm_{sweep}"]
    return ds.drop_vars(others).rename({f"arm_{sweep}": "arm"}).assign_attrs(sweep=sweep)


def dense(ds: xr.Dataset, model: str) -> xr.Dataset:
    """Return one model's cells on the grid of its varying parameters.

    Raises:
        ResultsError: there is no such model, or its cells are too scattered for a grid.
    """
    models = np.unique(ds["model"].values).tolist()
    if model not in models:
        raise ResultsError(f"there is no model {model!r}{nearest(model, models)}; valid: {', '.join(models)}")
    ds = ds.isel(cell=np.flatnonzero(ds["model"] == model)).load()
    ds = ds.drop_vars([name for name in ds.coords if str(name).startswith(("in_", "arm_"))])
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
    """Turn `cell` into the axes; they pass through as codes, since unstack would lose a value that is NaN."""
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
    """Return the fewest varying parameters that tell all cells of a model apart.

    What follows from other parameters goes first, then what stands last, while no two cells become alike.
    """
    codes = {name: _coded(ds[name])[1] for name in _parameters(ds)}
    axes = [name for name, code in codes.items() if code.any()]
    derived = [name for name in axes if model in ds[name].attrs.get("derived_for", "").split()]
    given = [name for name in axes if name not in derived]
    for name in [*reversed(derived), *reversed(given)]:
        rest = [other for other in axes if other != name]
        told_apart = np.unique(np.array([codes[other] for other in rest]), axis=1).shape[1] if rest else 1
        if told_apart == ds.sizes["cell"]:
            axes = rest
    return axes


def _coded(values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values, ascending, and which of them each cell has; NaN and "" are values too."""
    return np.unique(values.values, return_inverse=True)


def _parameters(ds: xr.Dataset) -> list[str]:
    """Return the coordinates on `cell` that are parameters, or follow from them."""
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
    """Turn counts, which NaN keeps as floats in the file, back into integers where every cell has one."""
    whole = [
        name
        for name, values in ds.coords.items()
        if values.attrs.get("kind") == "integer" and not np.isnan(values.values).any()
    ]
    return ds.assign_coords({name: ds[name].astype(np.int64) for name in whole})


def _open(path: Path) -> xr.Dataset:
    try:
        ds = xr.open_dataset(path, engine="netcdf4")
    except FileNotFoundError:
        raise ResultsError(
            f"{path}: there is no such file; `snakemake --cores N` makes it, and `hornlib gather --partial` "
            "writes what is there of an unfinished sweep to partial.nc"
        ) from None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read ({error}); `hornlib gather` writes it anew") from error
    if (version := ds.attrs.get("schema_version")) != SCHEMA_VERSION:
        raise ResultsError(
            f"{path}: has schema version {version}, this hornlib reads {SCHEMA_VERSION}; "
            "`hornlib gather` writes it anew"
        )
    return ds
