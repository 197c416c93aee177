"""Reading dynamics files: one of them verified, and many as one dataset."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hornlib.errors import ResultsError, nearest
from hornlib.grid.jobs import Range, parse_run_name
from hornlib.results.dynamics_file.dynamics_variables import (
    DYNAMICS_COORDINATES,
    DYNAMICS_FILE,
    DYNAMICS_VARIABLES,
    full_states,
)
from hornlib.results.netcdf import read_arrays
from hornlib.results.text import with_plain_text

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["open_dynamics", "read_dynamics_file"]


def read_dynamics_file(path: str | Path) -> "xr.Dataset":
    """Read and verify a dynamics file.

    Args:
        path: the file. Its name gives the cell and the seeds.

    Returns:
        The variables of `DYNAMICS_VARIABLES`, with dimensions such as (seed, probe_step, layer, timestep).

    Raises:
        ResultsError: the file is not there, damaged, renamed or of another schema.
    """
    import xarray as xr

    path = Path(path)
    variables, attributes = read_arrays(path, DYNAMICS_FILE)
    job = parse_run_name(path.name)
    identity = attributes.get("cell", "no cell"), variables["seed"].tolist()
    if job is None or identity != (job.cell, list(job.range.seeds())):
        raise ResultsError(
            f"{path}: the file holds the seeds {identity[1]} of {identity[0]}: it was renamed. {DYNAMICS_FILE.remedy}"
        )
    declared = {**DYNAMICS_COORDINATES, **DYNAMICS_VARIABLES}
    for layer in variables.get("layer", ()):
        declared |= full_states(str(layer))
    entries = {
        name: (declared[name].dims, values, declared[name].netcdf_attributes())
        for name, values in variables.items()
    }
    coordinates = {
        name: entries.pop(name)
        for name in list(entries)
        if name in DYNAMICS_COORDINATES or entries[name][0] == (name,)
    }
    return xr.Dataset(entries, coordinates, attributes)


def open_dynamics(
    folder: str | Path = "results/dynamics", cells: Sequence[str] | None = None
) -> "xr.Dataset":
    """Read the dynamics files of several cells as one dataset with the dimension `cell` in front.

    Cells may differ in layers, time steps and moments; missing numbers are NaN, and missing kinds of layers "".

    Args:
        folder: folder of the dynamics files.
        cells: names of the cells; None for all that have a file.

    Returns:
        The variables of `DYNAMICS_VARIABLES` with dimensions such as (cell, seed, probe_step, layer, timestep).

    Raises:
        ResultsError: a cell has no file, or a file is damaged.
    """
    import xarray as xr

    files: dict[str, list[tuple[Range, Path]]] = {}
    for path in sorted(Path(folder).glob("*.nc")):
        if job := parse_run_name(path.name):
            files.setdefault(job.cell, []).append((job.range, path))
    names = list(files) if cells is None else list(cells)
    for name in names:
        if name not in files:
            raise ResultsError(
                f"{folder}: no dynamics file of {name!r}{nearest(name, files)}; `snakemake --cores N` makes them, "
                "unless `probes: off` stands in config.yaml"
            )
    if not names:
        raise ResultsError(f"{folder}: there are no dynamics files")
    parts = [xr.concat(list(_parts(files[name])), "seed", join="outer", **_SAME_VARIABLES) for name in names]
    parts = [
        _with_layers(ds).assign_coords(cell=name).drop_attrs(deep=False)
        for ds, name in zip(parts, names, strict=True)
    ]
    ds = xr.concat(parts, "cell", join="outer", coords=["layer_kind", "num_units"], **_NEW_DIMENSION)
    kinds = ds["layer_kind"]
    ds["layer_kind"] = kinds.where(kinds.notnull(), "").astype(object).assign_attrs(kinds.attrs)
    ds["cell"].attrs = {"units": "1", "long_name": "name of the cell"}
    return with_plain_text(ds.assign_attrs(schema_version=DYNAMICS_FILE.schema_version))


def _with_layers(ds: "xr.Dataset") -> "xr.Dataset":
    """Return the dataset, with a dimension `layer` of length 0 where no layer was probed."""
    if "layer" in ds.dims:
        return ds
    import numpy as np

    empty = np.array([], object)
    return ds.assign_coords(
        layer=empty, layer_kind=("layer", empty), num_units=("layer", np.array([], float))
    )


_SAME_VARIABLES: dict[str, Any] = {
    "data_vars": "minimal",
    "coords": "minimal",
    "compat": "override",
    "combine_attrs": "override",
}
_NEW_DIMENSION: dict[str, Any] = {"data_vars": "all", "compat": "override", "combine_attrs": "override"}


def _parts(files: Sequence[tuple[Range, Path]]) -> Iterator["xr.Dataset"]:
    """Yield the files of one cell in the order of their seeds, each without the seeds of an earlier file."""
    last = -1
    for seeds, path in sorted(files, key=lambda file: (file[0].first, -file[0].last)):
        if seeds.last > last:
            ds = read_dynamics_file(path)
            yield ds.sel(seed=ds["seed"] > last)
            last = seeds.last
