"""The dynamics file: what probes saw inside one job's networks while they trained; and reading many of them."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hornlib.cell import Cell
from hornlib.errors import ResultsError, nearest
from hornlib.jobs import Job, Range, parse_run_name
from hornlib.results.atomic import written_atomically
from hornlib.results.run_file import digest, read_contents

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "COORDINATES",
    "SCHEMA_VERSION",
    "VARIABLES",
    "DynamicsRecord",
    "LayerRecord",
    "Probed",
    "open_dynamics",
    "read_dynamics_file",
    "sizes_of",
    "write_dynamics_file",
]

SCHEMA_VERSION = 1


class Probed(NamedTuple):
    """One variable of a dynamics file.

    Attributes:
        dims: of `COORDINATES`.
        units: as UDUNITS writes them; "1" is dimensionless.
        long_name: what an axis label says.
        absent: where it is NaN, and why; besides runs that have diverged and time steps that a layer lacks.
    """

    dims: tuple[str, ...]
    units: str
    long_name: str
    absent: str = ""


_RUN = ("seed", "probe_step")
_LAYER = (*_RUN, "layer")
_TIME = (*_LAYER, "timestep")
_NO_VELOCITY = "NaN where units have no velocity: all but oscillators"
_NO_TIME = "NaN in feed-forward layers: they have no time to run on in"

COORDINATES: dict[str, Probed] = {
    "seed": Probed(("seed",), "1", "seed"),
    "probe_step": Probed(("probe_step",), "1", "training steps done before the probe"),
    "layer": Probed(("layer",), "1", "layer, from the input on"),
    "timestep": Probed(("timestep",), "1", "time step, 1 to T; feed-forward layers have one"),
    "run_on_time": Probed(("run_on_time",), "1", "time steps after T, the last drive of each layer held"),
    "frequency": Probed(("frequency",), "1", "frequency, cycles per time step"),
    "layer_kind": Probed(("layer",), "1", "oscillators, first_order, gated or feed_forward"),
    "num_units": Probed(("layer",), "1", "units of the layer: nodes, or channels times pixels"),
}

VARIABLES: dict[str, Probed] = {
    "probe_loss": Probed(_RUN, "1", "loss on the probe's inputs, in evaluation mode"),
    "state_rms": Probed(_TIME, "1", "root mean square of the state: displacement x, or output"),
    "velocity_rms": Probed(_TIME, "1", "root mean square of the velocity y", _NO_VELOCITY),
    "activation_magnitude": Probed(
        _TIME, "1", "mean magnitude of the activation, |tanh| in recurrent layers"
    ),
    "saturation": Probed(_TIME, "1", "share of pre-activations beyond +-2"),
    "bound_share": Probed(
        _TIME, "1", "largest |x| over its bound (4/pi) alpha / (2 damping omega)", _NO_VELOCITY
    ),
    "energy": Probed(_TIME, "1", "energy (y^2 + omega^2 x^2) / 2, mean over units", _NO_VELOCITY),
    "participation_ratio": Probed(
        _TIME, "1", "directions that states use, of nodes or channels", "NaN where nothing varies"
    ),
    "state_gradient_norm": Probed(
        _TIME, "1", "gradient of an example's loss by its state, length over units"
    ),
    "velocity_gradient_norm": Probed(
        _TIME, "1", "gradient of an example's loss by its velocity, length over units", _NO_VELOCITY
    ),
    "recurrence_abscissa_ratio": Probed(
        _LAYER,
        "1",
        "spectral abscissa of the recurrence over its critical value",
        "NaN in gated and feed-forward layers, and with recurrences too large for eigenvalues",
    ),
    "recurrence_spectral_radius": Probed(
        _LAYER,
        "1",
        "spectral radius of the trained recurrence, linearised at rest",
        "NaN in gated and feed-forward layers, and with recurrences too large for eigenvalues",
    ),
    "lyapunov_exponent": Probed(
        _LAYER, "1", "largest finite-time Lyapunov exponent of the layer, per time step", _NO_TIME
    ),
    "dominant_frequency": Probed(
        _LAYER, "1", "frequency of the state with the most power, cycles per time step", _NO_TIME
    ),
    "run_on_state_rms": Probed((*_LAYER, "run_on_time"), "1", "root mean square of the state", _NO_TIME),
    "phase_coherence": Probed(
        (*_LAYER, "run_on_time"), "1", "phase coherence over units: Kuramoto's order parameter", _NO_VELOCITY
    ),
    "state_power": Probed((*_LAYER, "frequency"), "1", "power of the state, mean over units", _NO_TIME),
}
"""What a probe measures: the one source of dimensions, units and long names."""


class LayerRecord(NamedTuple):
    """A layer as probes see it.

    Attributes:
        name: e.g. stage_1.
        kind: oscillators, first_order, gated or feed_forward.
        parts: names of the parts of its state.
        timesteps: T; 1 in a layer without time.
        shape: of a part, without the batch axis.
    """

    name: str
    kind: str
    parts: tuple[str, ...]
    timesteps: int
    shape: tuple[int, ...]

    @property
    def num_units(self) -> int:
        """Nodes, or channels times pixels."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class DynamicsRecord:
    """What a trainer hands over of one job.

    Attributes:
        seeds: trained, ascending and without a gap.
        probe_steps: training steps of the probes.
        layers: from the input on; none of a network whose inside cannot be seen.
        run_on_steps: steps beyond the last time step; 0 where no layer has time.
        numbers: name -> array, as `VARIABLES` says, and `states_<layer>` of full states, each (seed, probe_step,
            part, timestep, input, unit).
        attributes: provenance, and how the probe was made.
    """

    seeds: list[int]
    probe_steps: list[int]
    layers: list[LayerRecord]
    run_on_steps: int
    numbers: Mapping[str, np.ndarray]
    attributes: Mapping[str, str | int | float]


def sizes_of(
    num_seeds: int, num_probes: int, layers: Sequence[LayerRecord], run_on_steps: int
) -> dict[str, int]:
    """Return the length of every dimension; one that would be 0 is left out, and the variables on it too."""
    sizes = {
        "seed": num_seeds,
        "probe_step": num_probes if layers else 0,
        "layer": len(layers),
        "timestep": max((layer.timesteps for layer in layers), default=0),
        "run_on_time": run_on_steps,
        "frequency": run_on_steps // 2 + 1 if run_on_steps else 0,
    }
    return {name: size for name, size in sizes.items() if size}


def write_dynamics_file(path: str | Path, cell: Cell, record: DynamicsRecord) -> None:
    """Write what probes saw, under a temporary name first.

    Args:
        path: `<cell>.seeds-<first>-<last>.nc` in the folder of dynamics files.
        cell: what was trained.
        record: what was measured.

    Raises:
        ResultsError: the name is not the job's, or the disk is full or cannot be written.
        ValueError: a variable is lacking, unknown or of a wrong shape.
    """
    path = Path(path)
    job = parse_run_name(path.name)
    if job is None or job.cell != cell.name or list(job.range.seeds()) != list(record.seeds):
        own = Job(cell.name, Range(record.seeds[0], record.seeds[-1])).file_name
        raise ResultsError(f"{path}: the dynamics file of the seeds {record.seeds} is called {own}")
    described = _described(record)
    variables = _variables(record, described)
    with written_atomically(path) as temporary:
        _write(temporary, cell, record, described, variables)


def _described(record: DynamicsRecord) -> dict[str, Probed]:
    """Return every variable of this file."""
    sizes = sizes_of(len(record.seeds), len(record.probe_steps), record.layers, record.run_on_steps)
    found = {
        name: probed
        for name, probed in {**COORDINATES, **VARIABLES}.items()
        if set(probed.dims) <= set(sizes)
    }
    for layer in record.layers:
        if f"states_{layer.name}" in record.numbers:
            found |= _full(layer.name)
    return found


def _full(layer: str) -> dict[str, Probed]:
    part, timestep, unit = (f"{dimension}_{layer}" for dimension in ("part", "timestep", "unit"))
    return {
        part: Probed((part,), "1", f"part of the state of {layer}"),
        timestep: Probed((timestep,), "1", f"time step of {layer}"),
        "input": Probed(("input",), "1", "example of the probe"),
        unit: Probed((unit,), "1", f"unit of {layer}, row-major in (channel, row, column)"),
        f"states_{layer}": Probed((*_RUN, part, timestep, "input", unit), "1", f"states of {layer}"),
    }


def _variables(record: DynamicsRecord, described: Mapping[str, Probed]) -> dict[str, np.ndarray]:
    """Return every array of the file.

    Raises:
        ValueError: a variable is lacking, unknown or of a wrong shape.
    """
    coordinates = _coordinates(record)
    wanted = [name for name in described if name not in coordinates]
    if set(wanted) != set(record.numbers):
        raise ValueError(f"the record has {sorted(record.numbers)}, its layers ask for {sorted(wanted)}")
    arrays = {name: values for name, values in coordinates.items() if name in described}
    lengths = {name: len(values) for name, values in arrays.items()}
    for name in wanted:
        arrays[name] = np.asarray(record.numbers[name], np.float32)
        shape = tuple(lengths[dimension] for dimension in described[name].dims)
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has the shape {arrays[name].shape} instead of {shape}")
    return arrays


def _coordinates(record: DynamicsRecord) -> dict[str, np.ndarray]:
    sizes = sizes_of(len(record.seeds), len(record.probe_steps), record.layers, record.run_on_steps)
    steps = record.run_on_steps
    found = {
        "seed": np.asarray(record.seeds, np.int64),
        "probe_step": np.asarray(record.probe_steps, np.int64),
        "layer": np.asarray([layer.name for layer in record.layers], object),
        "layer_kind": np.asarray([layer.kind for layer in record.layers], object),
        "num_units": np.asarray([layer.num_units for layer in record.layers], np.int64),
        "timestep": np.arange(1, sizes.get("timestep", 0) + 1),
        "run_on_time": np.arange(1, steps + 1),
        "frequency": np.arange(sizes.get("frequency", 0)) / max(steps, 1),
    }
    for layer in record.layers:
        states = record.numbers.get(f"states_{layer.name}")
        if states is not None:
            found[f"part_{layer.name}"] = np.asarray(layer.parts, object)
            found[f"timestep_{layer.name}"] = np.arange(1, layer.timesteps + 1)
            found["input"] = np.arange(states.shape[-2])
            found[f"unit_{layer.name}"] = np.arange(states.shape[-1])
    return found


def _write(
    path: Path,
    cell: Cell,
    record: DynamicsRecord,
    described: Mapping[str, Probed],
    variables: Mapping[str, np.ndarray],
) -> None:
    import netCDF4

    with netCDF4.Dataset(path, "w") as file:
        for name in dict.fromkeys(name for probed in described.values() for name in probed.dims):
            file.createDimension(name, len(variables[name]))
        for name, values in variables.items():
            text = values.dtype == object
            variable = file.createVariable(
                name,
                str if text else values.dtype,
                described[name].dims,
                fill_value=np.nan if values.dtype.kind == "f" else None,
                zlib=not text,
            )
            attributes = {"units": described[name].units, "long_name": described[name].long_name}
            absent = described[name].absent
            variable.setncatts({**attributes, **({"absent": absent} if absent else {})})
            variable[:] = values
        file.setncatts(
            {
                **record.attributes,
                "schema_version": SCHEMA_VERSION,
                "cell": cell.name,
                "specification": json.dumps(cell.specification()),
                "digest": digest(variables),
            }
        )


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
        table |= _full(str(layer))
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
    each = [ds.assign_coords(cell=name).drop_attrs(deep=False) for ds, name in zip(each, wanted, strict=True)]
    together = xr.concat(each, "cell", join="outer", coords=["layer_kind", "num_units"], **_NEW)
    kinds = together["layer_kind"]
    together["layer_kind"] = kinds.where(kinds.notnull(), "").astype(object).assign_attrs(kinds.attrs)
    together["cell"].attrs = {"units": "1", "long_name": "cell"}
    return together.assign_attrs(schema_version=SCHEMA_VERSION)


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
