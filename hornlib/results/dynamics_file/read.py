"""Reading dynamics files: one of them verified, and many as one dataset."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hornlib.errors import ResultsError, nearest
from hornlib.grid.jobs import Range, parse_run_name
from hornlib.results.dynamics_file.schema import COORDINATES, SCHEMA_VERSION, VARIABLES, full_states
from hornlib.results.run_file import read_contents

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["open_dynamics", "read_dynamics_file"]


def read_dynamics_file(path: str | Path) -> "xr.Dataset":
    """Read and verify a dynamics file.

    Raises:
        ResultsError: the file is not there, damaged, renamed or of another schema.
    """
    import xarray as xr

    path = Path(path)
    contents = read_contents(path)
    attributes: dict[str, Any] = dict(contents.attributes)
    if (version := attributes.get("schema_version")) != SCHEMA_VERSION:
        raise ResultsError(
            f"{path}: has schema version {version}, this hornlib reads {SCHEMA_VERSION}; "
            "use the hornlib that wrote it, or delete it and its run file: only that job is trained"
        )
    job = parse_run_name(path.name)
    named = attributes.get("cell", "no cell"), contents.variables["seed"].tolist()
    if job is None or named != (job.cell, list(job.range.seeds())):
        raise ResultsError(f"{path}: the file holds the seeds {named[1]} of {named[0]}: it was renamed")
    table = {**COORDINATES, **VARIABLES}
    for layer in contents.variables.get("layer", ()):
        table |= full_states(str(layer))
    held = {
        name: (
            table[name].dims,
            values,
            {"units": table[name].units, "long_name": table[name].long_name}
            | ({"absent": table[name].absent} if table[name].absent else {}),
        )
        for name, values in contents.variables.items()
    }
    coordinates = {
        name: held.pop(name) for name in list(held) if name in COORDINATES or held[name][0] == (name,)
    }
    return xr.Dataset(held, coordinates, attributes)


def open_dynamics(
    folder: str | Path = "results/dynamics", cells: Sequence[str] | None = None
) -> "xr.Dataset":
    """Return what probes saw in several cells, as one dataset with the dimension `cell` in front.

    Cells may differ in layers, time steps and moments: what one of them lacks is NaN (a kind, "").

    Args:
        folder: of the dynamics files.
        cells: their names; None for all that are there.

    Raises:
        ResultsError: a cell has no file there, or a file is damaged.
    """
    import xarray as xr

    files: dict[str, list[tuple[Range, Path]]] = {}
    for path in sorted(Path(folder).glob("*.nc")):
        if job := parse_run_name(path.name):
            files.setdefault(job.cell, []).append((job.range, path))
    wanted = list(files) if cells is None else list(cells)
    for name in wanted:
        if name not in files:
            raise ResultsError(
                f"{folder}: no dynamics file of {name!r}{nearest(name, files)}; `snakemake --cores N` makes them, "
                "unless `probes: off` stands in config.yaml"
            )
    if not wanted:
        raise ResultsError(f"{folder}: there are no dynamics files")
    each = [xr.concat(list(_parts(files[name])), "seed", join="outer", **_PLAIN) for name in wanted]
    each = [
        _with_layers(ds).assign_coords(cell=name).drop_attrs(deep=False)
        for ds, name in zip(each, wanted, strict=True)
    ]
    together = xr.concat(each, "cell", join="outer", coords=["layer_kind", "num_units"], **_NEW)
    kinds = together["layer_kind"]
    together["layer_kind"] = kinds.where(kinds.notnull(), "").astype(object).assign_attrs(kinds.attrs)
    together["cell"].attrs = {"units": "1", "long_name": "cell"}
    return together.assign_attrs(schema_version=SCHEMA_VERSION)


def _with_layers(ds: "xr.Dataset") -> "xr.Dataset":
    """Return what was seen of a network, with no layers where its inside is not probed."""
    if "layer" in ds.dims:
        return ds
    import numpy as np

    empty = np.array([], object)
    return ds.assign_coords(
        layer=empty, layer_kind=("layer", empty), num_units=("layer", np.array([], float))
    )


_PLAIN: dict[str, Any] = {
    "data_vars": "minimal",
    "coords": "minimal",
    "compat": "override",
    "combine_attrs": "override",
}
_NEW: dict[str, Any] = {"data_vars": "all", "compat": "override", "combine_attrs": "override"}


def _parts(files: Sequence[tuple[Range, Path]]) -> Iterator["xr.Dataset"]:
    """Yield one cell's files, first seeds first, each without the seeds that an earlier one has."""
    last = -1
    for seeds, path in sorted(files, key=lambda found: (found[0].first, -found[0].last)):
        if seeds.last > last:
            ds = read_dynamics_file(path)
            yield ds.sel(seed=ds["seed"] > last)
            last = seeds.last
