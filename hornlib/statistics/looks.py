"""Looks: which looks at a sequential sweep are complete, and the results with the seeds of one look."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

__all__ = ["finished_looks", "first_seeds", "without_later_looks"]

ABSENT = {"O": "", "U": "", "b": False}
"""Kind of dtype -> the value that stands for a missing one; NaN for numbers."""


def finished_looks(ds: xr.Dataset, looks: Sequence[int]) -> np.ndarray:
    """Return, for each cell, the largest look of which all seeds have ended, (cell,); 0 for none.

    Args:
        ds: from `open_results(path, sweep=...)`.
        looks: rising numbers of first seeds.
    """
    ended = ds["status"].isin(["complete", "diverged"]).transpose("cell", "seed").values
    leading = np.cumprod(ended, axis=1).sum(1)
    steps = np.array([0, *looks])
    return steps[np.searchsorted(steps, leading, side="right") - 1]


def first_seeds(ds: xr.Dataset, number: np.ndarray) -> xr.Dataset:
    """Return the results with the first seeds of each cell; later runs have the status `unwanted` and no values.

    Args:
        ds: from `open_results(path, sweep=...)`.
        number: (cell,), number of first seeds.
    """
    is_first = xr.DataArray(np.arange(ds.sizes["seed"]) < number[:, None], dims=("cell", "seed"))
    masked = {
        name: variable.where(is_first, ABSENT.get(variable.dtype.kind, np.nan)).transpose(*variable.dims)
        for name, variable in ds.data_vars.items()
        if {"cell", "seed"} <= set(variable.dims)
    }
    masked["status"] = ds["status"].where(is_first, "unwanted")
    masked["samples"] = ds["samples"].where(xr.DataArray(number > 0, dims="cell"))
    return ds.assign(masked)


def without_later_looks(ds: xr.Dataset, summary: xr.Dataset) -> xr.Dataset:
    """Return the results in which a missing run that no look needs yet is `unwanted` instead of `missing`.

    Args:
        ds: from `open_results(path, sweep=...)`.
        summary: statistics of the sweep. If it has no looks, the results stay as they are.
    """
    if "seeds_to_train" not in summary:
        return ds
    seeds_to_train = dict(zip(summary["cell_name"].values, summary["seeds_to_train"].values, strict=True))
    number = np.array([seeds_to_train.get(cell, ds.sizes["seed"]) for cell in ds["cell"].values])
    later = xr.DataArray(np.arange(ds.sizes["seed"]) >= number[:, None], dims=("cell", "seed"))
    return ds.assign(status=ds["status"].where(~(later & (ds["status"] == "missing")), "unwanted"))
