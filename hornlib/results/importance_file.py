"""Opening importance.nc: the importance of connections of all cells of a configuration, or of one sweep."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hornlib.errors import ResultsError, nearest
from hornlib.results.analysis_files import IMPORTANCE_FILE
from hornlib.results.netcdf import load_dataset

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["importance_sweeps", "open_importance", "sweep_of_importance"]


def open_importance(path: str | Path = "results/importance.nc", sweep: str | None = None) -> "xr.Dataset":
    """Read importance.nc into memory.

    Args:
        path: the file.
        sweep: keep the cells and seeds of this sweep; the coordinates `arm` and `label` are those of the sweep.

    Returns:
        Statistics with dimensions such as (cell, seed, split, layer, proxy); parameters that differ between cells are
        coordinates on `cell`.

    Raises:
        ResultsError: the file is missing or damaged, or there is no such sweep.
    """
    ds = load_dataset(Path(path), IMPORTANCE_FILE)
    return ds if sweep is None else sweep_of_importance(ds, sweep)


def sweep_of_importance(ds: "xr.Dataset", sweep: str) -> "xr.Dataset":
    """Return the cells and seeds of one sweep, (cell, seed, ...).

    Args:
        ds: from `open_importance`, all of it (cell, seed, ...).
        sweep: its name.

    Raises:
        ResultsError: there is no such sweep.
    """
    sweeps = importance_sweeps(ds)
    if sweep not in sweeps:
        raise ResultsError(f"there is no sweep {sweep!r}{nearest(sweep, sweeps)}; valid: {', '.join(sweeps)}")
    member = ds[f"in_{sweep}"]
    seeds = [seed for seed in np.atleast_1d(member.attrs["seeds"]) if seed in ds["seed"].values]
    part = ds.isel(cell=np.flatnonzero(member)).sel(seed=seeds)
    part = part.assign_coords(arm=part[f"arm_{sweep}"], label=part[f"label_in_{sweep}"])
    names = [f"{prefix}{name}" for name in sweeps for prefix in ("in_", "arm_", "label_in_")]
    return part.drop_vars(names)


def importance_sweeps(ds: "xr.Dataset") -> list[str]:
    """Return the names of the sweeps in importance.nc.

    Args:
        ds: from `open_importance`, all of it (cell, seed, ...).
    """
    return [str(name).removeprefix("in_") for name in ds.coords if str(name).startswith("in_")]
